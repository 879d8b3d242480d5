"""What each fusion is worth on cohorts whose truth is planted: scores, not seconds.

Laboratory values and notes of synthetic patients, without images, so that a training takes seconds; seeds 0 to 4.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.metrics import roc_auc_score

from medmm.cohort.studies import Sources, read_studies
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.dataset.batches import Batches
from medmm.dataset.cache import prepare_input
from medmm.fusion import FUSIONS
from medmm.inputs import gather
from medmm.package import Package
from medmm.predict import Subset, predict, subsets
from medmm.training.tracking import connect, open_record
from medmm.types import Array
from medmm.workflows.cells import Fold, Method
from medmm.workflows.cohort import Cohort, prepare
from medmm.workflows.compare import compare
from medmm.workflows.learn import Learned
from medmm.workflows.screen import Screen

SEEDS = range(5)
PATIENTS = 300
FOLDS = 3
METHODS = tuple(FUSIONS)
BASE = SyntheticSettings(patients=PATIENTS, images=(), image_strength=0, laboratory_strength=4, note_strength=4, absent={})
LABS, HISTORY = frozenset({"labs"}), frozenset({"history"})
BOTH = LABS | HISTORY


@dataclass(frozen=True)
class Finding:
    """A table of scores.

    Attributes:
        title: What was done.
        columns: Heads.
        rows: Cells.
        verdict: What to read from it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    verdict: str

    def markdown(self) -> str:
        """Give the table."""
        lines = [f"**{self.title}**", "", f"| {' | '.join(self.columns)} |", "| --- " * len(self.columns) + "|"]
        lines += [f"| {' | '.join(map(str, row))} |" for row in self.rows]
        return "\n".join([*lines, "", self.verdict])


def run() -> list[Finding]:
    """Plant, train, judge."""
    return [complementary(), noise(), twenty(), removal(), reversal()]


def complementary() -> Finding:
    """Two inputs that each tell what the other does not."""
    found = [compared(BASE.model_copy(update={"seed": seed}), METHODS) for seed in SEEDS]
    rows = []
    for name in METHODS:
        gains = [one.gains[name] for one in found]
        rows.append((name, _mean([one.auroc[name] for one in found]), _mean(gains), f"{sum(gain > 0 for gain in gains)}/5"))
    rows.sort(key=lambda row: row[1], reverse=True)
    singles = _mean([one.best for one in found])
    verdicts = ", ".join(one.verdict for one in found)
    title = f"Complementary inputs: {PATIENTS} patients, {FOLDS} folds, mean over 5 seeds; best single input {singles}"
    return Finding(
        title, ("fusion", "AUROC", "gain over the best single input", "seeds above it"), rows, f"Verdicts: {verdicts}."
    )


def noise() -> Finding:
    """One input tells all, the other is noise."""
    planted = BASE.model_copy(update={"patients": 2 * PATIENTS, "laboratory_strength": 8.0, "note_strength": 0.0})
    found = [compared(planted.model_copy(update={"seed": seed}), ("late", "transformer", "weighted"), 0.03) for seed in SEEDS]
    rows = [
        (seed, f"{one.best:.3f}", *(f"{one.gains[name]:+.3f}" for name in one.gains), one.verdict)
        for seed, one in enumerate(found)
    ]
    columns = ("seed", "best single input", *found[0].gains, "verdict")
    title = f"Noise beside a telling input: {2 * PATIENTS} patients, margin 0.03, gains over the best single input"
    return Finding(title, columns, rows, "")


def twenty() -> Finding:
    """Too few patients."""
    rows = []
    for seed in SEEDS:
        one = compared(BASE.model_copy(update={"patients": 20, "seed": seed}), ("late",), folds=2)
        rows.append((seed, f"{one.best:.3f}", f"{one.gains['late']:+.3f}", one.verdict))
    return Finding("Twenty patients", ("seed", "best single input", "gain of late", "verdict"), rows, "")


def removal() -> Finding:
    """An input that is taken away at scoring, against a model that never had it."""
    lost: dict[str, list[float]] = {name: [] for name in METHODS}
    for seed in SEEDS:
        planted = BASE.model_copy(update={"seed": seed})
        with trained(planted, METHODS, seed) as (models, singles, folder):
            other = folder / "other"
            make_cohort(other, planted.model_copy(update={"first_patient": 10_000, "patients": 2 * PATIENTS}))
            alone = {some: auroc_on(singles[some].package, other, some) for some in (LABS, HISTORY)}
            for name, learned in models.items():
                lost[name] += [alone[some] - auroc_on(learned.package, other, some) for some in (LABS, HISTORY)]
    rows = [(name, f"{np.mean(values):+.3f}", f"{max(values):+.3f}") for name, values in lost.items()]
    rows.sort(key=lambda row: float(row[1]))
    title = "An input removed at scoring: AUROC of the model trained without it, less that of the fusion, on new patients"
    said = "Above zero, the fusion says less without the input than a model that never had it."
    return Finding(title, ("fusion", "mean of 5 seeds and 2 inputs", "worst"), rows, said)


def reversal() -> Finding:
    """Absence that tells of the label in training, and of the opposite at scoring."""
    shift = 0.3
    told = BASE.model_copy(update={"absent": {"laboratory": 0.4}, "absent_by_label": {"laboratory": shift}})
    turned = told.model_copy(
        update={"absent_by_label": {"laboratory": -shift}, "first_patient": 10_000, "patients": 2 * PATIENTS}
    )
    lost: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for seed in SEEDS:
        planted = told.model_copy(update={"seed": seed})
        with trained(planted, METHODS, seed) as (models, _, folder):
            same = planted.model_copy(update={"first_patient": 10_000, "patients": 2 * PATIENTS})
            make_cohort(folder / "same", same)
            make_cohort(folder / "turned", turned.model_copy(update={"seed": seed}))
            for name, learned in models.items():
                scores = [auroc_on(learned.package, folder / which, BOTH) for which in ("same", "turned")]
                lost[name].append((scores[0], scores[1]))
    rows = []
    for name, pairs in lost.items():
        before, after = np.mean(pairs, axis=0)
        rows.append((name, f"{before:.3f}", f"{after:.3f}", f"{before - after:.3f}", f"{max(a - b for a, b in pairs):.3f}"))
    rows.sort(key=lambda row: float(row[3]))
    title = (
        "Laboratory values absent in 40 % of studies; with the diagnosis 30 % more in training, 30 % fewer at scoring; AUROC"
    )
    said = "What is lost where absence tells of the opposite of what it told in training, over five seeds."
    return Finding(title, ("fusion", "absence as in training", "reversed", "mean loss", "worst loss"), rows, said)


@dataclass(frozen=True)
class Judged:
    """What one comparison gave: AUROC of each fusion, its gain, the best single input's AUROC, and the verdict."""

    auroc: Mapping[str, float]
    gains: Mapping[str, float]
    best: float
    verdict: str


def compared(planted: SyntheticSettings, methods: Sequence[str], margin: float = 0.02, folds: int = FOLDS) -> Judged:
    """Make a cohort and compare methods on it, as the command does."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cohort(folder / "cohort", planted)
        settings = {"folds": folds, "seeds": [planted.seed], "methods": list(methods), "margin": margin}
        ratings = compare(run_file(folder, planted.seed, methods[0], compare=settings), silent()).comparison
    fused = {one.method.name: one for one in ratings.ratings if one.method.kind == "fusion"}
    best = next(one.everywhere.value for one in ratings.ratings if one.method == ratings.best)
    gains = {name: one.contrast.gain.value for name, one in fused.items() if one.contrast is not None}
    return Judged({name: one.everywhere.value for name, one in fused.items()}, gains, best, ratings.verdict.kind)


Trainings = tuple[Mapping[str, Learned], Mapping[Subset, Learned], Path]


@contextmanager
def trained(planted: SyntheticSettings, methods: Sequence[str], seed: int) -> Iterator[Trainings]:
    """Give the fusions and the single inputs trained on one cohort, and a folder that lasts as long."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cohort(folder / "cohort", planted)
        config = run_file(folder, seed, "late", leakage={"waive": {"labs.missing": "planted", "history.missing": "planted"}})
        cohort: Cohort = prepare(config, silent())
        with open_record(connect(config.tracking), config.tracking, "benchmark") as record:
            fold = Fold(cohort, lambda method: folder / "checkpoints" / method.name, silent())
            singles = {
                frozenset({name}): fold.learned(Method(name, "single", name), record, name) for name in ("labs", "history")
            }
            fusions = {name: FUSIONS.pick(name).model_validate({"name": name}) for name in methods}
            models = {name: fold.learned(Method(name, "fusion", fusion=one), record, name) for name, one in fusions.items()}
        yield models, singles, folder


def auroc_on(package: Package, root: Path, keep: Subset) -> float:
    """Give the AUROC on the studies of another export that have any of the inputs that are kept."""
    cohort = package.cohort.model_copy(update={"root": root})
    sources = Sources.open(cohort)
    studies = gather(package.inputs, sources, read_studies(sources, package.target))
    prepared = {name: prepare_input(studies, one, root / "cache", 0) for name, one in package.inputs.items()}
    names = sorted(package.inputs)
    keep = keep & frozenset(names)
    said = predict(package.model, Batches(prepared, range(len(studies)), None, 64), [keep] if keep in subsets(names) else [])
    logits, present = said.logits, said.present
    has = present[:, [names.index(name) for name in sorted(keep)]].any(1)
    target: Array = np.array([study.label for study in studies])[has]
    return float(roc_auc_score(target[:, 0], logits[keep][has, 0]))


def run_file(folder: Path, seed: int, fusion: str, **changes: object) -> RunConfig:
    """Give the run file of all these cohorts."""
    settings: dict[str, object] = {
        "name": "benchmark",
        "cohort": {"root": str(folder / "cohort"), "time": "time"},
        "target": {"column": "diagnosis", "task": "binary", "positive": "pneumonia"},
        "inputs": {
            "labs": {
                "kind": "tabular",
                "table": "labs.csv",
                "layout": "long",
                "window_days": 14,
                "numeric": {"crp": {"unit": "mg/L"}, "wbc": {"unit": "10*9/L"}},
            },
            "history": {"kind": "text", "table": "notes.csv"},
        },
        "split": {"seed": seed},
        "model": {"width": 32, "fusion": fusion},
        "training": {"epochs": 12, "patience": 4, "learning_rate": 2e-3, "batch_size": 32, "seed": seed},
        "evaluation": {"resamples": 2000},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
        "output": str(folder / "runs"),
    }
    return parse_config({**settings, **changes}, "benchmark")


def silent() -> Screen:
    """Give a screen that shows nothing."""
    return Screen(Console(quiet=True))


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f}"
