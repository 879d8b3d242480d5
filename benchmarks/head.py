"""A head on the kept features of a frozen backbone: whole trainings against a bare loop over the same features."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.bare import train_bare
from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.inputs.image import ImageSettings
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.training.loop import fit
from medmm.training.settings import TrainingSettings
from medmm.training.strategies.base import Situation
from medmm.types import Array, Batch

STUDIES, VALIDATION, TOKENS, HIDDEN = 2048, 256, 4, 512
SETTINGS = TrainingSettings(epochs=10, patience=10, batch_size=32, accelerator="cpu")
STEPS = STUDIES // SETTINGS.batch_size
REPEATS = 5
GOAL = 1.5
LIMIT = "bare loop, features in memory"
FROZEN = {"name": "resnet18", "weights": "kept.safetensors", "tuning": {"learn": "none"}}
INPUTS = {"chest": ImageSettings.model_validate({"path": "", "size": [64, 64], "encoder": FROZEN}).open("chest")}


def run() -> list[Result]:
    """Measure whole trainings, validation included."""
    with tempfile.TemporaryDirectory() as temporary:
        prepared, target = make(Path(temporary))
        ways: dict[str, Callable[[], object]] = {
            OURS: partial(train_ours, prepared, target),
            LIMIT: partial(train_in_memory, prepared, target),
        }
        seconds = interleaved(ways, REPEATS)
    ratio = seconds[OURS] / seconds[LIMIT]
    title = (
        f"Head on kept features: {STUDIES} studies of {TOKENS} x {HIDDEN}, {SETTINGS.epochs} epochs, "
        f"batches of {SETTINGS.batch_size}"
    )
    verdict = (
        f"Ours takes {ratio:.2f} times the bare loop; the goal is {GOAL}, {'reached' if ratio <= GOAL else 'not reached'}."
    )
    return [Result(title, {name: Timed(s) for name, s in seconds.items()}, STUDIES * SETTINGS.epochs, "samples", verdict)]


def make(folder: Path) -> tuple[dict[str, PreparedInput], Array]:
    """Make random features as `medmm.dataset.features` keeps them; the last `VALIDATION` studies choose."""
    rng = np.random.default_rng(0)
    studies = STUDIES + VALIDATION
    np.save(folder / "features.npy", rng.normal(size=(studies, TOKENS, HIDDEN)).astype(np.float32))
    np.save(folder / "features_mask.npy", np.ones((studies, TOKENS), np.uint8))
    shard = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("features", "features_mask")}
    place = np.stack([np.zeros(studies, int), np.arange(studies)], axis=1)
    target = rng.integers(0, 2, (studies, 1)).astype(np.float32)
    return {"chest": PreparedInput(place, (shard,), {}, [])}, target


def new_model() -> DiagnosisModel:
    """Build the network, the same every time."""
    torch.manual_seed(0)
    return DiagnosisModel(ModelSettings.model_validate({"width": 64, "fusion": "late"}), INPUTS, CrossEntropy("binary", [1.0]))


def train_ours(prepared: dict[str, PreparedInput], target: Array) -> None:
    """Train as `medmm train` does, checkpoints included."""

    def training(epoch: Callable[[], int]) -> Batches:
        return TrainingBatches(prepared, range(STUDIES), target, SETTINGS.batch_size, inputs=INPUTS, seed=0, epoch=epoch)

    validation = Batches(prepared, range(STUDIES, STUDIES + VALIDATION), target, SETTINGS.batch_size)
    objective = SETTINGS.strategy.build(new_model(), Situation())
    with tempfile.TemporaryDirectory() as temporary:
        fit(objective, training, validation, SETTINGS, Path(temporary), lambda epoch, measures: None)


def train_in_memory(prepared: dict[str, PreparedInput], target: Array) -> None:
    """Train with the least code that does the same steps, and measures once an epoch."""
    (shard,) = prepared["chest"].shards
    features, mask, truth = (torch.from_numpy(np.array(part)) for part in (shard["features"], shard["features_mask"], target))

    def batches(order: torch.Tensor) -> Iterator[Batch]:
        for rows in order.split(SETTINGS.batch_size):
            fields = {"features": features[rows], "features_mask": mask[rows]}
            yield Batch({"chest": fields}, {"chest": torch.ones(len(rows), dtype=torch.bool)}, truth[rows], rows)

    train_bare(
        SETTINGS.strategy.build(new_model(), Situation()),
        SETTINGS,
        STEPS,
        lambda: batches(torch.randperm(STUDIES)),
        lambda: batches(torch.arange(STUDIES, STUDIES + VALIDATION)),
    )
