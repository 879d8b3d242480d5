"""The whole statistical evaluation of a test set beside a plain loop over scikit-learn."""

import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import numpy as np
from rich.console import Console
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score, roc_auc_score

from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import RESAMPLES
from medmm.evaluation.recalibration import Recalibration
from medmm.evaluation.sample_size import expected_widths
from medmm.evaluation.subgroups import subgroups
from medmm.types import Array, Scores
from medmm.workflows.chapters import CHAPTERS
from medmm.workflows.screen import Screen

STUDIES, PATIENTS, SITES = 2000, 900, 5
LOOPED = 20
"""Resamples that the loop is measured on; its time grows in proportion."""

MOST_SECONDS = 60
THRESHOLD = 0.4

OF_SCORES = ("discrimination", "operating_points", "calibration", "decision_curve", "subgroups", "abstention")
"""Chapters that need nothing but scores."""

PARTS: Mapping[str, Callable[[Scores], object]] = {
    "metrics": lambda scores: evaluate(scores, "binary", [THRESHOLD], RESAMPLES),
    "groups and gaps": lambda scores: subgroups(scores, "binary", [THRESHOLD], RESAMPLES),
    "size": lambda scores: list(expected_widths(scores, "binary", [THRESHOLD])),
}
"""What one evaluation computes."""


def run() -> list[Result]:
    """Time all parts, and the loop that gives the same numbers."""
    scores = made()
    seconds = interleaved({OURS: lambda: ours(scores), "loop": lambda: loop(scores, LOOPED)}, repeats=3)
    chapters = {name: timed(lambda name=name: drawn(name, scores)) for name in OF_SCORES}
    parts = ", ".join(f"{name} {timed(lambda part=part: part(scores)):.1f} s" for name, part in PARTS.items())
    looped = seconds["loop"] * (1 + RESAMPLES) / (1 + LOOPED)
    rows = {OURS: Timed(seconds[OURS]), f"a loop over scikit-learn, scaled from {LOOPED} resamples": Timed(looped)}
    whole = sum(chapters.values()) + timed(lambda: PARTS["metrics"](scores))
    each = ", ".join(f"{name.replace('_', ' ')} {seconds:.1f} s" for name, seconds in chapters.items())
    verdict = (
        f"Ours: {parts}. What `medmm evaluate` does with such scores, metrics and all chapters that need nothing but scores, "
        f"figures included: {whole:.1f} s ({each}). The limit of {MOST_SECONDS} s is "
        f"{'kept' if whole < MOST_SECONDS else 'missed'}."
    )
    title = f"Numbers with intervals of {STUDIES:,} studies, {RESAMPLES:,} resamples, two columns with {2 + SITES} groups"
    return [Result(title, rows, STUDIES, "studies", verdict)]


def made() -> Scores:
    """Draw a test set of one class, with two sexes and some sites."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=STUDIES)
    target = (rng.random(STUDIES) < expit(1.5 * latent - 1)).astype(float)
    groups = {"sex": rng.choice(["F", "M"], STUDIES), "site": rng.integers(SITES, size=STUDIES).astype(str)}
    said = expit(latent + 0.5 * rng.normal(size=STUDIES))
    return Scores(("sick",), said[:, None], target[:, None], rng.integers(PATIENTS, size=STUDIES), groups)


def ours(scores: Scores) -> None:
    """Compute every part."""
    for part in PARTS.values():
        part(scores)


def drawn(name: str, scores: Scores) -> None:
    """Write a chapter, figures included."""
    target = SimpleNamespace(task="binary", unit="")
    evaluation = SimpleNamespace(resamples=RESAMPLES, prevalences=(0.05, 0.2))
    subject = SimpleNamespace(
        test=SimpleNamespace(scores=scores),
        config=SimpleNamespace(target=target, evaluation=evaluation),
        package=SimpleNamespace(thresholds=(THRESHOLD,), temperature=1.0, calibration=Recalibration()),
    )
    for figure in CHAPTERS[name](subject, Screen(Console(quiet=True))).figures.values():  # type: ignore[arg-type]
        figure.draw_without_rendering()


def loop(scores: Scores, resamples: int) -> list[float]:
    """Compute the same metrics of the whole, of each group and of all but the group, a resample at a time."""
    rng = np.random.default_rng(0)
    said, target = scores.predicted[:, 0], scores.target[:, 0]
    of_patient = [np.flatnonzero(scores.patient == one) for one in np.unique(scores.patient)]
    sides = [side for values in scores.groups.values() for one in np.unique(values) for side in (values == one, values != one)]
    found: list[float] = []
    for resample in range(1 + resamples):
        chosen = np.arange(len(of_patient)) if not resample else rng.integers(len(of_patient), size=len(of_patient))
        index = np.concatenate([of_patient[one] for one in chosen])
        found += _metrics(said[index], target[index])
        found += [average_precision_score(target[index], said[index]), brier_score_loss(target[index], said[index])]
        for side in sides:
            inside = index[side[index]]
            found += _metrics(said[inside], target[inside])
    return found


def timed(work: Callable[[], object]) -> float:
    """Give the seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _metrics(said: Array, target: Array) -> list[float]:
    decided = said >= THRESHOLD
    return [roc_auc_score(target, said), recall_score(target, decided), recall_score(target, decided, pos_label=0)]
