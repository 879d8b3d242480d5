"""Training from prepared shards against bare loops over tensors in memory: same model, optimiser, batches and steps."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from medmm.types import Batch

if TYPE_CHECKING:
    from monai.data import DataLoader

STUDIES, VALIDATION, SIDE = 512, 32, 64
SETTINGS = TrainingSettings(epochs=3, patience=3, batch_size=16)
STEPS = STUDIES // SETTINGS.batch_size
REPEATS = 5
GOAL = 0.95
LIMIT, RIVAL = "bare loop, tensors in memory", "bare loop, MONAI CacheDataset"
IMAGE = ImageSettings.model_validate(
    {
        "path": "",
        "size": [SIDE, SIDE],
        "augmentation": dict.fromkeys(["shift", "rotation_degrees", "scale", "noise", "contrast"], 0),
        "encoder": {"name": "resnet18", "channels": 16},
    }
)
INPUTS = {"chest": IMAGE.open("chest")}


@dataclass(frozen=True)
class Data:
    """Random studies; the last `VALIDATION` of them choose.

    Attributes:
        prepared: As the cache gives them.
        images: (S, 1, SIDE, SIDE)
        target: (S, 1)
    """

    prepared: dict[str, PreparedInput]
    images: torch.Tensor
    target: torch.Tensor


def run() -> list[Result]:
    """Measure whole trainings of a few epochs, validation included."""
    with tempfile.TemporaryDirectory() as temporary:
        data = make_data(Path(temporary))
        loader = cached(data)
        loops: dict[str, Callable[[], object]] = {
            OURS: partial(train_ours, data),
            RIVAL: partial(train_on, data, lambda: (_batch(found["image"], found["target"]) for found in loader)),
            LIMIT: partial(train_on, data, lambda: in_memory(data)),
        }
        seconds = interleaved(loops, REPEATS)
    share = seconds[LIMIT] / seconds[OURS]
    title = f"Training: {STUDIES} studies of {SIDE} x {SIDE}, ResNet-18 of 16 channels, batches of {SETTINGS.batch_size}"
    verdict = f"Ours reaches {share:.3f} of the limit; the goal is {GOAL}, {'reached' if share >= GOAL else 'not reached'}."
    return [Result(title, {name: Timed(s) for name, s in seconds.items()}, STUDIES * SETTINGS.epochs, "samples", verdict)]


def make_data(folder: Path) -> Data:
    """Make random studies and write them as a shard."""
    rng = np.random.default_rng(0)
    images = rng.random((STUDIES + VALIDATION, 1, SIDE, SIDE)).astype(np.float16)
    np.save(folder / "image.npy", images)
    place = np.stack([np.zeros(len(images), int), np.arange(len(images))], axis=1)
    shard = {"image": np.load(folder / "image.npy", mmap_mode="r")}
    target = torch.from_numpy(rng.integers(0, 2, (len(images), 1)).astype(np.float32))
    return Data({"chest": PreparedInput(place, (shard,), {})}, torch.from_numpy(images.astype(np.float32)), target)


def new_model() -> DiagnosisModel:
    """Build the network, the same every time."""
    torch.manual_seed(0)
    return DiagnosisModel(ModelSettings.model_validate({"width": 64}), INPUTS, CrossEntropy("binary", [1.0]))


def train_ours(data: Data) -> None:
    """Train as `medmm train` does, checkpoints included."""
    prepared, size = data.prepared, SETTINGS.batch_size

    def training(epoch: Callable[[], int]) -> Batches:
        return TrainingBatches(prepared, range(STUDIES), data.target.numpy(), size, inputs=INPUTS, seed=0, epoch=epoch)

    validation = Batches(prepared, range(STUDIES, STUDIES + VALIDATION), data.target.numpy(), size)
    with tempfile.TemporaryDirectory() as temporary:
        fit(
            SETTINGS.strategy.build(new_model(), Situation()),
            training,
            validation,
            SETTINGS,
            Path(temporary),
            lambda epoch, measures: None,
        )


def train_on(data: Data, epoch_batches: Callable[[], Iterable[Batch]]) -> None:
    """Train with the least code that does the same steps."""

    def validation() -> Iterator[Batch]:
        for rows in torch.arange(STUDIES, STUDIES + VALIDATION).chunk(VALIDATION // SETTINGS.batch_size):
            yield _batch(data.images[rows], data.target[rows])

    train_bare(SETTINGS.strategy.build(new_model(), Situation()), SETTINGS, STEPS, epoch_batches, validation)


def in_memory(data: Data) -> Iterator[Batch]:
    """Give shuffled batches of one tensor in memory."""
    for rows in torch.randperm(STUDIES).split(SETTINGS.batch_size):
        yield _batch(data.images[rows], data.target[rows])


def cached(data: Data) -> "DataLoader":
    """Make shuffled batches as MONAI's tutorials do: CacheDataset and DataLoader, without workers, which would be slower."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import EnsureTyped

    items = [{"image": image, "target": target} for image, target in zip(data.images[:STUDIES], data.target, strict=False)]
    dataset = CacheDataset(items, EnsureTyped(["image", "target"], track_meta=False), progress=False)
    return DataLoader(dataset, batch_size=SETTINGS.batch_size, shuffle=True)


def _batch(images: torch.Tensor, target: torch.Tensor) -> Batch:
    has = torch.ones(len(images), dtype=torch.bool)
    return Batch({"chest": {"image": images}}, {"chest": has}, target, torch.arange(len(has)))
