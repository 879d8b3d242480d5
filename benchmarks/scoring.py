"""Batch scoring against decoding alone and the model alone, against a MONAI loop; its start, and its memory along the way."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Lock

import torch
from torch import nn

from benchmarks import scoring_rival, scoring_start
from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.target import TargetSettings
from medmm.dataset.decode import prepare_studies
from medmm.errors import Rejected
from medmm.inputs import INPUTS, gather
from medmm.inputs.base import Fields
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package, save_package
from medmm.scoring.rows import score_tile
from medmm.scoring.run import score
from medmm.types import Study, Tokens
from medmm.workers import get_ready
from medmm.workflows.demo import demo_config, new_studies

PATIENTS, COPIES = 60, 25
REPEATS = 2
TILE = 16
GOAL = 1.10
ONE_AT_A_TIME = Lock()
DECODE, MODEL = "decoding alone", "the model alone"


def run() -> list[Result | scoring_start.Lines]:
    """Measure a whole scoring, the start of its worker processes and the results files included."""
    get_ready(["medmm.dataset.decode"])  # as the command does
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cohort(folder / "cohort", SyntheticSettings(patients=PATIENTS))
        package, found = make_package(folder)
        make_cohort(folder / "incoming", new_studies(PATIENTS))
        save_package(package, folder / "package")
        studies = [replace(study, row=row) for row, study in enumerate([*found] * COPIES, 1)]
        results = [
            _overlap(folder, waiting(package, studies), studies, "an accelerator"),
            _overlap(folder, package, studies, "the cores that decode"),
            scoring_start.start(folder / "package", folder / "incoming", folder),
            scoring_start.memory(folder / "package", folder / "incoming", folder / "long"),
        ]
    return [*results, *scoring_rival.run()]


def make_package(folder: Path) -> tuple[Package, tuple[Study, ...]]:
    """Fit the demo's inputs on a cohort and put fresh weights behind them: speed does not depend on what they have learned."""
    config = demo_config(folder)
    cohort, target = (
        CohortSettings(root=folder / "cohort", time="time"),
        TargetSettings(column="diagnosis", positive="pneumonia"),
    )
    sources = Sources.open(cohort)
    given: Mapping[str, Mapping[str, object]] = config["inputs"]  # type: ignore[assignment]
    opened = {name: INPUTS.pick(str(one["kind"])).model_validate(one).open(name) for name, one in given.items()}
    studies = [
        study for study in gather(opened, sources, read_studies(sources, target)) if study.evidence and not study.rejected
    ]
    inputs = {
        name: one.fit((study.patient_id, one.read(study.evidence[name])) for study in studies if name in study.evidence)
        for name, one in opened.items()
    }
    settings = ModelSettings.model_validate(config["model"])
    model = DiagnosisModel(settings, inputs, CrossEntropy("binary", [1.0])).eval()
    return Package("benchmark", cohort, target, inputs, settings, model, 1.0, (0.5,), digest="0" * 64, tile=TILE), tuple(
        studies
    )


class Accelerator(nn.Module):
    """An encoder that takes its time without a core of this machine, as one on a GPU does."""

    def __init__(self, seconds: float, width: int) -> None:
        super().__init__()
        self.seconds, self.width = seconds, width

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Wait, and give a token of zeros."""
        with ONE_AT_A_TIME:
            time.sleep(self.seconds)
        count = len(next(iter(fields.values())))
        return Tokens(torch.zeros(count, 1, self.width), torch.ones(count, 1, dtype=torch.bool))


def waiting(package: Package, studies: Sequence[Study]) -> Package:
    """Give the package with a model that waits as long as decoding takes: then it matters most that they overlap."""
    list(prepare_studies(studies[:TILE], package.inputs))
    begun = time.perf_counter()
    list(prepare_studies(studies, package.inputs))
    each = (time.perf_counter() - begun) / len(studies)
    model = DiagnosisModel(package.model_settings, package.inputs, CrossEntropy("binary", [1.0])).eval()
    for name in package.inputs:
        model.encoders[name] = Accelerator(each * TILE / len(package.inputs), package.model_settings.width)
    return replace(package, model=model)


def _overlap(folder: Path, package: Package, studies: Sequence[Study], where: str) -> Result:
    decoded = [
        (study, prepared) for study, prepared in prepare_studies(studies, package.inputs) if not isinstance(prepared, Rejected)
    ]
    out = count()
    ways = {
        OURS: lambda: score(package, studies, folder / f"{where}{next(out)}"),
        DECODE: lambda: sum(1 for _ in prepare_studies(studies, package.inputs)),
        MODEL: lambda: run_model(package, decoded),
    }
    seconds = interleaved(ways, REPEATS)
    slower, both = max(seconds[DECODE], seconds[MODEL]), seconds[DECODE] + seconds[MODEL]
    ratio = seconds[OURS] / slower
    said = "reached" if ratio <= GOAL else "not reached"
    verdict = f"Ours takes {ratio:.2f} of the time of the slower part, and {seconds[OURS] / both:.2f} of the sum of both"
    verdict += f"; the goal is {GOAL:g} of the slower part, {said}."
    title = f"Scoring: {len(studies)} studies, four inputs, tiles of {TILE}; the model computes on {where}"
    return Result(title, {name: Timed(s) for name, s in seconds.items()}, len(studies), "studies", verdict)


def run_model(package: Package, decoded: Sequence[tuple[Study, Mapping[str, Fields]]]) -> None:
    """Compute prepared studies, tile by tile, with all that a row says."""
    book = package.rulebook()
    for at in range(0, len(decoded), TILE):
        score_tile(package, book, decoded[at : at + TILE], TILE)
