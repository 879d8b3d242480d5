"""How far the worst small change of each input moves the answers: clean and robust accuracy, each with its interval."""

from functools import partial

import numpy as np
import pandas as pd

from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.metrics import share
from medmm.training.tracking import Record
from medmm.types import Array, Scores

from .cohort import Cohort
from .learn import Learned
from .report import number
from .screen import Screen, with_interval


def tell_robustness(cohort: Cohort, learned: Learned, record: Record, screen: Screen) -> None:
    """Show and log accuracy with each input as it is and attacked, on the test studies that have it; nothing where none was."""
    rows: list[tuple[str, Estimate, Estimate, Estimate]] = []
    names, clean = sorted(cohort.inputs), learned.test[frozenset(cohort.inputs)]
    for name, scores in learned.attacked.items():
        has = learned.present[:, names.index(name)]
        if has.any():
            before, after = (_right(learned, one.some(has)) for one in (clean, scores))
            measure = partial(_accuracy, clean.some(has), cohort.config.evaluation.resamples)
            rows.append((name, measure(before), measure(after), measure(before.astype(float) - after)))
    if not rows:
        return
    shown = [(name, *map(with_interval, found), found[0].studies, found[0].patients) for name, *found in rows]
    columns = ("input", "clean accuracy", "robust accuracy", "lost", "studies", "patients")
    screen.table("Accuracy while the worst small change of one input is made, with 95 % intervals by patient", columns, shown)
    screen.say("")
    cells: list[dict[str, object]] = []
    for name, *found in rows:
        for kind, one in zip(("clean_accuracy", "robust_accuracy", "lost_accuracy"), found, strict=True):
            cells.append({"input": name, "measure": kind, **number(one)})
            record.measures({f"{kind}/{name}": one.value, f"{kind}/{name}_low": one.low, f"{kind}/{name}_high": one.high})
    record.table(pd.DataFrame(cells), "test/robustness.csv")


def _right(learned: Learned, scores: Scores) -> Array:
    """Tell which studies (S,) are decided right, in every class."""
    decided = decide(scores.predicted, learned.package.thresholds, learned.package.target.task)
    return np.asarray((decided == (scores.target > 0)).all(1))


def _accuracy(scores: Scores, resamples: int, right: Array) -> Estimate:
    return interval(partial(share, right), scores.patient, resamples)
