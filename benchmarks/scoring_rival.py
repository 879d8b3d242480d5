"""The loop that one would write by hand to score studies: MONAI in a DataLoader, and the same network."""

import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from pydicom.uid import ComputedRadiographyImageStorage

from benchmarks.data import make_ct
from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.dataset.decode import prepare_studies, prepare_study
from medmm.inputs import INPUTS
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package
from medmm.scoring.run import score
from medmm.types import Batch, Evidence, Study

RIVAL, DECODE, MODEL = "MONAI LoadImage, DataLoader with 2 workers, the same network", "decoding alone", "the network alone"
REPEATS = 1
WORKERS, BATCH = 2, 4
GOAL = 3.0
WINDOW = (-1000.0, 200.0)
FILM = 2048
"""Side of a radiograph."""

SERIES = {
    "CT of 128 x 512 x 512 to 96 x 96 x 96": ((96, 96, 96), "CT", 128, 512, 6, 12),
    "radiographs of 2048 x 2048 to 224 x 224": ((224, 224), "CR", 1, FILM, 40, 120),
}
"""What -> size of the network's image, modality, slices, side, series on disk, studies."""


def run() -> list[Result]:
    """Measure a scoring of each kind."""
    return [_measure(what, *given) for what, given in SERIES.items()]


def _measure(what: str, size: Sequence[int], modality: str, slices: int, side: int, series: int, count: int) -> Result:
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, f"{number:03d}") for number in range(series)]
        for folder in folders:
            folder.mkdir()
            make_ct(folder, slices, side)
            if modality == "CR":
                _make_film(folder)
        package = package_of(size, modality)
        studies = [
            Study(row, f"P{row}", f"S{row}", evidence={"image": Evidence(files=tuple(sorted(folder.iterdir())))})
            for row, folder in enumerate(islice(cycle(folders), count), 1)
        ]
        prepared = [prepare_study(study, package.inputs) for study in studies[:BATCH]]
        images = torch.stack([torch.from_numpy(np.asarray(one["image"]["image"], np.float32)) for one in prepared])  # type: ignore[index]
        out = iter(range(1_000))
        ways = {
            OURS: lambda: score(package, studies, Path(temporary, f"out{next(out)}")),
            RIVAL: lambda: rival(package, [study.evidence["image"].files[0].parent for study in studies], size),
            DECODE: lambda: sum(1 for _ in prepare_studies(studies, package.inputs)),
            MODEL: lambda: [_ask(package, images) for _ in range(0, count, BATCH)],
        }
        seconds = interleaved(ways, REPEATS)
        theirs = _prepared_by_monai([folders[0]], size)
        same_way = theirs[0] if len(size) == 3 else theirs[0].transpose(-1, -2)  # columns come first there
        apart = float((images[0] - same_way).abs().mean())
    ratio = seconds[RIVAL] / seconds[OURS]
    said = "reached" if ratio >= GOAL else "not reached"
    verdict = (
        f"Ours is {ratio:.1f} times as fast; the goal is {GOAL:g}, {said}. Both give the network the same image but for the "
        f"way of taking means: {apart:.4f} apart on average, on a scale from 0 to 1."
    )
    return Result(
        f"Scoring: {count} studies, {what}", {name: Timed(s) for name, s in seconds.items()}, count, "studies", verdict
    )


def rival(package: Package, folders: Sequence[Path], size: Sequence[int]) -> list[float]:
    """Score folders, one series each, and give the probabilities."""
    from monai.data import DataLoader, Dataset

    steps = partial(_steps, size)
    loader = DataLoader(Dataset(list(folders), steps()), batch_size=BATCH, num_workers=WORKERS)
    return [float(p) for images in loader for p in torch.sigmoid(_ask(package, images.as_tensor())).flatten()]


def _steps(size: Sequence[int]) -> "object":
    from monai.transforms import Compose, LoadImage, Orientation, Resize, ScaleIntensityRange

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load = LoadImage(reader="PydicomReader", image_only=True, ensure_channel_first=True)
    turn = [Orientation(axcodes="RAS", labels=None)] if len(size) == 3 else []
    return Compose([load, *turn, ScaleIntensityRange(*WINDOW, 0, 1, clip=True), Resize(size, mode="area")])


def _prepared_by_monai(folders: Sequence[Path], size: Sequence[int]) -> list[torch.Tensor]:
    steps = _steps(size)
    return [steps(folder).as_tensor() for folder in folders]  # type: ignore[operator]


@torch.inference_mode()
def _ask(package: Package, images: torch.Tensor) -> torch.Tensor:
    rows = torch.arange(len(images))
    batch = Batch({"image": {"image": images}}, {"image": torch.ones(len(images), dtype=torch.bool)}, None, rows)
    logits: torch.Tensor = package.model(batch).logits
    return logits


def package_of(size: Sequence[int], modality: str, channels: int = 8) -> Package:
    """Put fresh weights behind one image: speed does not depend on what they have learned."""
    image = {
        "kind": "image",
        "path": "dicom",
        "modality": [modality],
        "size": list(size),
        "window": list(WINDOW),
        "encoder": {"name": "resnet18", "channels": channels},
    }
    inputs = {"image": INPUTS.pick("image").model_validate(image).open("image").fit([])}
    settings = ModelSettings()
    model = DiagnosisModel(settings, inputs, CrossEntropy("binary", [1.0])).eval()
    cohort, target = CohortSettings(root=Path()), TargetSettings(column="diagnosis", positive="ill")
    return Package("rival", cohort, target, inputs, settings, model, 1.0, (0.5,), digest="0" * 64, tile=BATCH)


def _make_film(folder: Path) -> None:
    """Turn the one slice of a series into a radiograph."""
    for file in folder.iterdir():
        film = dcmread(file)
        film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
        film.Modality, film.PhotometricInterpretation, film.ViewPosition = "CR", "MONOCHROME2", "PA"
        film.save_as(file)
