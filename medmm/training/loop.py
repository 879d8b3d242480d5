"""From batches to trained weights, resumable at every epoch."""

import logging
import pickle
import signal
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from medmm.dataset.batches import Batches
from medmm.errors import DataError
from medmm.training.checkpoint import SafeCheckpoints
from medmm.training.learner import Learner
from medmm.training.objective import Objective
from medmm.training.settings import LoopSettings

LAST = "last.ckpt"


@dataclass(frozen=True)
class Fitted:
    """How a training ended; the objective holds the best weights.

    Attributes:
        epochs: Epochs that were run.
        best_epoch: The one whose weights were kept, from 1.
        validation_loss: Of those weights.
    """

    epochs: int
    best_epoch: int
    validation_loss: float


class _Report(Callback):
    """Hands the measures of each epoch on."""

    def __init__(self, report: Callable[[int, Mapping[str, float]], None]) -> None:
        self._report = report

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        measures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        measures["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        self._report(trainer.current_epoch + 1, measures)


def fit(
    objective: Objective,
    training: Callable[[Callable[[], int]], Batches],
    validation: Batches,
    settings: LoopSettings,
    folder: Path,
    report: Callable[[int, Mapping[str, float]], None],
) -> Fitted:
    """Train until the validation loss stops falling, and put the best weights into the objective.

    A checkpoint of the last epoch lies in `folder`; where one is there already, training goes on from it and ends with
    the weights of a run that was never broken.

    Args:
        objective: What learns, and what is minimised; changed in place.
        training: Makes the training batches, given what tells the number of the epoch.
        validation: Batches that choose the best epoch.
        settings: The loop.
        folder: Holds the checkpoints.
        report: Told the epoch (from 1) and its measures.

    Raises:
        KeyboardInterrupt: Interrupted; the last checkpoint stays.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips are not this command's
    trainer = _trainer(settings, folder, report)
    batches = training(lambda: trainer.current_epoch)
    learner = Learner(objective, settings, steps=len(batches) * settings.epochs)
    if not _is_finished(folder, settings):
        _fit(trainer, learner, batches, validation, folder / LAST)
    last = _load(folder / LAST)
    (chosen,) = (state for state in last["callbacks"].values() if state.get("monitor") and "best_model_path" in state)
    best = _load(folder / Path(chosen["best_model_path"]).name)
    learner.on_load_checkpoint(best)
    learner.load_state_dict(best["state_dict"])
    objective.finish()
    objective.eval().cpu()
    return Fitted(last["epoch"] + 1, best["epoch"] + 1, float(chosen["best_model_score"]))


def precision(settings: LoopSettings) -> Any:
    """Give Lightning's name of the number format that fits the machine."""
    if settings.precision != "auto":
        return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[settings.precision]
    if settings.accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def _trainer(settings: LoopSettings, folder: Path, report: Callable[[int, Mapping[str, float]], None]) -> L.Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    best = ModelCheckpoint(folder, "best", monitor="validation_loss", mode="min", save_weights_only=True)
    last = ModelCheckpoint(folder, LAST.removesuffix(".ckpt"), every_n_epochs=1, save_on_train_epoch_end=True)
    best.CHECKPOINT_NAME_LAST = last.CHECKPOINT_NAME_LAST = "unused"
    return L.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=precision(settings),
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip,
        callbacks=[EarlyStopping("validation_loss", patience=settings.patience), best, _Report(report), last],
        plugins=[SafeCheckpoints(), LightningEnvironment()],  # one process, also where SLURM is installed
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _fit(trainer: L.Trainer, learner: Learner, batches: Batches, validation: Batches, last: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)  # Lightning's own use of torch
            warnings.filterwarnings("ignore", message=".*srun.*")  # SLURM is installed; one process needs nothing of it
            warnings.filterwarnings("ignore", message=".*exists and is not empty")  # a resumed run's own checkpoints
            trainer.fit(learner, batches, validation, ckpt_path=str(last) if last.exists() else None)
    except SystemExit:  # Lightning turns an interrupt into an exit, and leaves the signal ignored
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _is_finished(folder: Path, settings: LoopSettings) -> bool:
    """Tell whether the last checkpoint is already the end: going on from it would add an epoch."""
    if not (folder / LAST).exists():
        return False
    last = _load(folder / LAST)
    waits = [state["wait_count"] for state in last["callbacks"].values() if "wait_count" in state]
    return bool(last["epoch"] + 1 >= settings.epochs or max(waits) >= settings.patience)


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, FileNotFoundError) as reason:
        raise DataError("a checkpoint of the interrupted run cannot be read: train without --resume") from reason
    return loaded
