"""The network in Lightning's hands: steps, optimiser, validation loss. B studies, C classes."""

import math
from typing import Any

import lightning as L
import torch

from medmm.model import DiagnosisModel
from medmm.training.settings import TrainingSettings
from medmm.types import Batch

WARM_UP = 0.1  # share of the steps in which the learning rate rises


class Learner(L.LightningModule):
    """Trains a `DiagnosisModel` by the strategy of its settings.

    Args:
        model: The network.
        settings: The loop.
        steps: Training steps of the whole run, for the learning rate.
    """

    def __init__(self, model: DiagnosisModel, settings: TrainingSettings, steps: int) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self._steps = steps

    def on_train_epoch_start(self) -> None:
        """Fix all chance by seed and epoch, so that a resumed run goes the way of an unbroken one."""
        torch.manual_seed(self._settings.seed * 100_003 + self.current_epoch)

    def training_step(self, batch: Batch, _index: int) -> torch.Tensor:
        """Give the loss of the strategy."""
        loss = self._settings.strategy.loss(self.model, batch)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch.rows), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Log the loss of the joint head alone, the measure that chooses the checkpoint."""
        assert batch.target is not None
        loss = self.model.joint_loss(self.model(batch), batch.target)
        self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.rows), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW; no decay on norms, biases and embeddings of a single row; warm-up, then a cosine."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self._settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self._settings.learning_rate)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step / max(1, self._steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch."""
        return batch.to(device)


def rate(progress: float) -> float:
    """Give the share of the highest learning rate at a progress in [0, 1]: a linear rise, then half a cosine."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))
