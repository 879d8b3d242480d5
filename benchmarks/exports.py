"""One network many ways: in 32, 16 and 8 bits, compiled, as torch.export and as ONNX; speed, and what it does to answers."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import interleaved
from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.exporting.export import export_network
from medmm.exporting.formats import FORMATS, Run
from medmm.exporting.network import named_tensors
from medmm.exporting.samples import random_studies
from medmm.inputs import INPUTS, Inputs
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package
from medmm.predict import predict
from medmm.scoring.precision import Effect, compare_answers, prepare_model
from medmm.types import Array, Batch

REPEATS = 3
PLAIN = "eager, fp32"
CPU = torch.device("cpu")
IMAGE = {"kind": "image", "path": "dicom"}


@dataclass(frozen=True)
class Network:
    """What is measured.

    Attributes:
        title: Its encoders and sizes.
        inputs: As of a run file.
        batch: Studies of a batch.
    """

    title: str
    inputs: Mapping[str, Mapping[str, object]]
    batch: int = 16


NETWORKS = (
    Network(
        "four inputs: resnet18 at 128 x 128 and at 32 x 32 x 16, ft_transformer, text transformer",
        {
            "chest": {**IMAGE, "size": [128, 128], "encoder": {"name": "resnet18", "channels": 32}},
            "ct": {**IMAGE, "size": [32, 32, 16], "encoder": {"name": "resnet18", "channels": 16}},
            "labs": {"kind": "tabular", "table": "labs.csv", "layout": "long", "numeric": {"crp": {}, "wbc": {}}},
            "history": {"kind": "text", "table": "notes.csv", "max_tokens": 96},
        },
    ),
    Network("densenet121 at 224 x 224", {"chest": {**IMAGE, "size": [224, 224], "encoder": {"name": "densenet121"}}}),
    Network("resnet18 at 96 x 96 x 96", {"ct": {**IMAGE, "size": [96, 96, 96], "encoder": {"name": "resnet18"}}}, 2),
    Network("vit at 224 x 224, mostly linear layers", {"chest": {**IMAGE, "size": [224, 224], "encoder": {"name": "vit"}}}),
)


@dataclass(frozen=True)
class Way:
    """One way to compute.

    Attributes:
        speed: Studies a second, in batches.
        alone: Studies a second, one at a time.
        effect: On the answers.
        logit: Largest difference of a logit.
        first: Seconds of the first batch: of a compiled network it compiles.
    """

    speed: float
    alone: float
    effect: Effect
    logit: float
    first: float


@dataclass(frozen=True)
class Ways:
    """The table of one network."""

    network: Network
    rows: Mapping[str, Way]

    def markdown(self) -> str:
        """Give the table."""
        head = [
            "way",
            f"studies/s, batches of {self.network.batch}",
            "one at a time",
            "faster by",
            "largest difference of a probability",
            "of a logit",
            "decisions changed",
            "first batch, s",
        ]
        lines = [f"**{self.network.title}**", "", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
        plain = self.rows[PLAIN].speed
        for name, way in self.rows.items():
            effect = f"{way.effect.largest:.1e} | {way.logit:.1e} | {way.effect.changed} of {way.effect.studies}"
            speeds = f"{way.speed:.3g} | {way.alone:.3g} | {way.speed / plain:.2f}"
            lines.append(f"| {name} | {speeds} | {effect} | {way.first:.1f} |")
        return "\n".join(lines)


def run() -> list[Ways]:
    """Measure the networks one after the other, on one thread."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        return [measure(network, package_of(network.inputs), Path(temporary)) for network in NETWORKS]


def package_of(settings: Mapping[str, Mapping[str, object]]) -> Package:
    """Fit the inputs on next to nothing and put fresh weights behind them: speed does not depend on what they have learned."""
    words = [f"{one} {other}" for one in ("no", "some", "much") for other in ("fever", "cough", "pain", "rash")] * 10
    raws: Mapping[str, list[object]] = {
        "image": [],
        "text": list(words),
        "tabular": [{"crp": str(i), "wbc": str(i % 7)} for i in range(50)],
    }
    inputs: Inputs = {
        name: INPUTS.pick(str(one["kind"]))
        .model_validate(one)
        .open(name)
        .fit((str(i), raw) for i, raw in enumerate(raws[str(one["kind"])]))
        for name, one in settings.items()
    }
    torch.manual_seed(0)
    model = DiagnosisModel(ModelSettings(), inputs, CrossEntropy("binary", [1.0])).eval()
    target = TargetSettings(column="diagnosis", positive="pneumonia")
    return Package("benchmark", CohortSettings(root=Path()), target, inputs, ModelSettings(), model, 1.0, (0.5,))


def measure(network: Network, package: Package, folder: Path) -> Ways:
    """Run every way on the same studies, all of which have all inputs."""
    torch.compiler.reset()  # the networks before would be forms of this one
    batch = some(random_studies(package.inputs, max(2, network.batch)), network.batch)
    one = some(batch, 1)
    ways = ways_of(package, folder)
    first: dict[str, float] = {}
    logits: dict[str, Array] = {}
    for name, way in ways.items():
        start = time.perf_counter()
        logits[name] = way(batch)
        first[name] = time.perf_counter() - start
    plain = logits[PLAIN]
    threshold = float(np.median(package.answer(plain)))  # in the midst of the studies, where most decisions are close
    package = replace(package, thresholds=(threshold,))
    seconds = interleaved({name: partial(way, batch) for name, way in ways.items()}, REPEATS)
    alone = interleaved({name: partial(way, one) for name, way in ways.items()}, REPEATS)
    rows = {
        name: Way(
            network.batch / seconds[name],
            1 / alone[name],
            compare_answers(package, said, plain),
            float(np.abs(said - plain).max()),
            first[name],
        )
        for name, said in logits.items()
    }
    return Ways(network, rows)


def ways_of(package: Package, folder: Path) -> dict[str, Callable[[Batch], Array]]:
    """Give every way to the logits of a batch."""
    options = {PLAIN: ("fp32", False), "bf16": ("bf16", False), "int8": ("int8", False), "compiled, fp32": ("fp32", True)}
    ways: dict[str, Callable[[Batch], Array]] = {}
    for name, (precision, compiled) in options.items():
        ways[name] = partial(said_by, prepare_model(package.model, precision, compiled=compiled, device=CPU))
    for name, kind in FORMATS.items():
        path = folder / f"network{kind.suffix}"
        export_network(package, name, path)
        ways[kind.said] = partial(ran_by, kind.open(path))
    return ways


def said_by(model: DiagnosisModel, batch: Batch) -> Array:
    everything = frozenset(model.encoders)
    return predict(model, [batch], [everything]).logits[everything]


def ran_by(way: Run, batch: Batch) -> Array:
    return way(named_tensors(batch))


def some(batch: Batch, count: int) -> Batch:
    """Give the first studies of a batch, with all their inputs."""
    return Batch(
        {name: {field: values[:count] for field, values in fields.items()} for name, fields in batch.inputs.items()},
        {name: torch.ones(count, dtype=torch.bool) for name in batch.present},
        None,
        batch.rows[:count],
    )
