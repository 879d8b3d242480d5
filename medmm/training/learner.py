"""An objective in Lightning's hands: steps, optimiser, validation loss."""

import math
from collections import defaultdict
from typing import Any

import lightning as L
import torch
from torch import nn

from medmm.encoders.adapted import Adapted
from medmm.training.objective import Objective, adapted
from medmm.training.settings import LoopSettings
from medmm.types import Batch

WARM_UP = 0.1  # share of the steps in which the learning rate rises


class Learner(L.LightningModule):
    """Minimises an objective.

    Args:
        objective: What learns, and what is minimised.
        settings: The loop.
        steps: Training steps of the whole run, for the learning rate.
    """

    def __init__(self, objective: Objective, settings: LoopSettings, steps: int) -> None:
        super().__init__()
        self.objective = objective
        self._settings = settings
        self._steps = steps
        self._total: torch.Tensor | float = 0.0
        self._studies = 0

    def on_fit_start(self) -> None:
        """Put all of the network into training mode; frozen parts leave it by themselves whenever they are run."""
        self.train()

    def on_train_epoch_start(self) -> None:
        """Fix all chance and what learns by seed and epoch, so that a resumed run goes the way of an unbroken one."""
        torch.manual_seed(self._settings.seed * 100_003 + self.current_epoch)
        self.objective.begin_epoch(self.current_epoch)
        self._total, self._studies = 0.0, 0

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Give the loss of a step. Its mean is logged with the last step: logging each would cost more than a small head."""
        loss = self.objective.loss(batch)
        self._total = self._total + loss.detach() * len(batch.rows)
        self._studies += len(batch.rows)
        if index + 1 == self.trainer.num_training_batches:
            self.log("train_loss", self._total / self._studies, on_step=False, on_epoch=True, batch_size=1, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Let the objective follow the step."""
        self.objective.end_step()

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Log the measure that chooses the checkpoint."""
        loss = self.objective.validation_loss(batch)
        self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.rows), prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """Let the objective look back on the validation batches."""
        self.objective.end_validation()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave frozen backbones out: they are large, and stay as the run was given them."""
        for name in self._frozen():
            del checkpoint["state_dict"][name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put in what was left out."""
        checkpoint["state_dict"] |= self._frozen()

    def configure_optimizers(self) -> Any:
        """AdamW; slower towards the input of a backbone where its settings say so; warm-up, then a cosine."""
        groups = parameter_groups(self.objective, self._settings)
        optimizer = torch.optim.AdamW(groups, lr=self._settings.learning_rate)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step / max(1, self._steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch."""
        return batch.to(device)

    def _frozen(self) -> dict[str, torch.Tensor]:
        """Give the weights of frozen backbones by their names in a checkpoint."""
        frozen = [name for name, part in self.named_modules() if isinstance(part, Adapted) and part.frozen]
        starts = tuple(f"{name}.backbone." for name in frozen)
        return {name: value for name, value in self.state_dict().items() if name.startswith(starts)}


def parameter_groups(network: nn.Module, settings: LoopSettings) -> list[dict[str, Any]]:
    """Group the weights that learn, now or in a later epoch, by their rate; the group of the full rate is the first.

    There is no decay on norms, biases and embeddings of a single row.
    """
    shares = {weight: share for encoder in adapted(network) for weight, share in encoder.rates().items()}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
    for weight in network.parameters():
        if weight.requires_grad or weight in shares:
            groups[shares.get(weight, 1.0), weight.ndim > 1].append(weight)
    return [
        {
            "params": weights,
            "lr": settings.learning_rate * share,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (share, decays), weights in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]


def rate(progress: float) -> float:
    """Give the share of the highest learning rate at a progress in [0, 1]: a linear rise, then half a cosine."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))
