"""Do conformal sets hold the true answers as often as they promise, and how many answers do they leave?

Letters: S studies, Q questions, R resamples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medmm.cohort.target import TargetSettings
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, canvas, counts, dress, entitle
from medmm.evaluation.conformal import Conformal, questions, truth
from medmm.evaluation.forest import plain
from medmm.evaluation.intervals import LEVEL, Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import by_blocks
from medmm.evaluation.subgroups import MINIMUM
from medmm.types import CLASS_TASKS, Array, Scores

RIGHT, WRONG, SEVERAL, NONE = "one, the true one", "one, a wrong one", "several", "none"
OUTCOMES = (RIGHT, WRONG, SEVERAL, NONE)
"""What a set may hold."""

OUTCOME_COLOURS = (COLOURS[2], COLOURS[1], COLOURS[5], "#BBBBBB")


@dataclass(frozen=True)
class Covered:
    """How often the sets of some studies hold the true answer.

    Attributes:
        kind: `all`, `class`, or a subgroup column.
        name: Of the class or group; "" for all.
        coverage: Each patient counting alike, as the level promises it.
        outcomes: Share of the sets by what they hold, in the order of `OUTCOMES`; empty for a regression.
        note: Why there is no number; else empty.
    """

    kind: str
    name: str
    coverage: Estimate
    outcomes: tuple[float, ...]
    note: str = ""

    @property
    def label(self) -> str:
        """Its name for the eye."""
        return "all studies" if self.kind == "all" else f"{self.kind} {self.name}"

    def row(self) -> dict[str, object]:
        """Give the line as cells of a table."""
        one = self.coverage
        numbers = {"coverage": one.value, "low": one.low, "high": one.high, "studies": one.studies, "patients": one.patients}
        shares = dict(zip(OUTCOMES, self.outcomes, strict=True)) if self.outcomes else {}
        return {"of": self.kind, "name": self.name, **numbers, **shares, "note": self.note}


def coverage(
    conformal: Conformal, target: TargetSettings, scores: Scores, resamples: int, seed: int = 0
) -> tuple[Covered, ...]:
    """Measure the coverage of all studies, of each class or label, and of each subgroup.

    The level is promised for all studies, and for those of each class where the sets were fitted by class; of groups it is not.

    Args:
        conformal: Fitted on the validation split.
        target: What is predicted.
        scores: Of the test split, with its groups.
        resamples: How often patients are drawn anew.
        seed: Of the draws.
    """
    covered, outcome = conformal.covered(scores), _outcomes(conformal, scores)
    rows = []
    for kind, name, keep, asked in _cuts(target, scores):
        held = None if outcome is None else outcome[keep][:, asked]
        rows.append(_covered(kind, name, covered[keep][:, asked], held, scores.patient[keep], (resamples, seed)))
    return tuple(rows)


def by_patient(values: Array, patient: Array, resamples: int, seed: int = 0) -> Estimate:
    """Estimate the mean of (S,) values with each patient counting alike, shared among its studies."""
    _, index, count = np.unique(patient, return_inverse=True, return_counts=True)
    own = 1 / count[index]
    weights = sample_and_resamples(patient, resamples, seed)
    exact = values.astype(np.float64) * own
    return summarise(by_blocks(lambda block: (block @ exact) / (block @ own), weights), patient)


def coverage_table(rows: Sequence[Covered]) -> pd.DataFrame:
    """Give one row a group of studies: coverage with interval and n, and what the sets hold."""
    return pd.DataFrame([one.row() for one in rows])


def coverage_plot(rows: Sequence[Covered], level: float, scores: Scores) -> Figure:
    """Draw coverage with its interval beside the promised level, and what the sets hold; the first row on top."""
    shown = [one for one in rows if np.isfinite(one.coverage.value)]
    sized = any(one.outcomes for one in shown)
    figure = canvas(8.4 if sized else 5.2, 1.9 + 0.3 * len(shown))
    left, *rest = figure.subplots(1, 2 if sized else 1, sharey=True, width_ratios=(1, 1)[: 2 if sized else 1], squeeze=False)[0]
    height = np.arange(len(shown))[::-1]
    left.axvline(level, color=GREY, linewidth=1, linestyle=":")
    for y, one in zip(height, shown, strict=True):
        colour = COLOURS[1] if one.kind == "all" else COLOURS[0]
        left.plot([one.coverage.low, one.coverage.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        left.plot([one.coverage.value], [y], "s", color=colour, markersize=5)
    left.set_yticks(height, [f"{plain(one.label)} (n = {one.coverage.studies:,})" for one in shown])
    left.set_ylim(-0.6, len(shown) - 0.2)
    dress(left, f"Coverage [{LEVEL:.0%} interval by patient]", "")
    entitle(
        left,
        "Coverage of conformal sets" if sized else "Coverage of conformal intervals",
        f"{counts(scores)}; dotted: {level:.0%}",
    )
    for axes in rest:
        start = np.zeros(len(shown))
        for outcome, name in enumerate(OUTCOMES):
            share = np.array([one.outcomes[outcome] for one in shown])
            axes.barh(height, share, left=start, color=OUTCOME_COLOURS[outcome], height=0.62, label=name, edgecolor="white")
            start += share
        dress(axes, "Sets by the answers that they hold", "")
        axes.set_xlim(0, 1)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, fontsize=TEXT_POINTS)
    return figure


def _cuts(target: TargetSettings, scores: Scores) -> Iterator[tuple[str, str, Array, Array]]:
    """Give kind, name, studies (S,) bool and questions (Q,) bool of each row."""
    everyone = np.ones(len(scores.patient), bool)
    asked = np.ones(len(target.names) if target.task == "multilabel" else 1, bool)
    yield "all", "", everyone, asked
    if target.task == "multilabel":
        for place, name in enumerate(target.names):
            yield "label", name, everyone, np.arange(len(asked)) == place
    elif target.task in CLASS_TASKS:
        ((_, names),) = questions(target)
        true = truth(scores.target, target.task)[:, 0]
        told = (target.names[0], f"no {target.names[0]}") if target.task == "binary" else names
        for place, name in enumerate(told):
            yield "class", name, true[:, place], asked
    for column, values in scores.groups.items():
        texts = np.array([str(value) for value in values])
        for value in np.unique(texts):
            yield column, str(value), texts == value, asked


def _covered(kind: str, name: str, covered: Array, outcome: Array | None, patient: Array, draws: tuple[int, int]) -> Covered:
    patients = len(np.unique(patient))
    if patients < MINIMUM:
        nothing = Estimate(np.nan, np.nan, np.nan, len(patient), patients, 0)
        shares = (np.nan,) * len(OUTCOMES) if outcome is not None else ()
        return Covered(kind, name, nothing, shares, f"not enough data: {patients} patients, {MINIMUM} are needed")
    shares = () if outcome is None else tuple(float((outcome == one).mean()) for one in range(len(OUTCOMES)))
    return Covered(kind, name, by_patient(covered.mean(axis=1), patient, *draws), shares)


def _outcomes(conformal: Conformal, scores: Scores) -> Array | None:
    """Give (S, Q) places in `OUTCOMES`; None for a regression."""
    if conformal.task == "regression":
        return None
    size = conformal.sets(scores.predicted).sum(axis=2)
    covered = conformal.covered(scores)
    single = np.where(covered, OUTCOMES.index(RIGHT), OUTCOMES.index(WRONG))
    return np.where(size == 1, single, np.where(size == 0, OUTCOMES.index(NONE), OUTCOMES.index(SEVERAL)))
