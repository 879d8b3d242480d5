"""What a run says of itself: single inputs against the fusion, figures, tables and metrics, into MLflow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from medmm.config import RunConfig
from medmm.evaluation.answers import answer_cells
from medmm.evaluation.evaluate import compare
from medmm.evaluation.grades import GRADE
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.plots import inputs_plot, plots_of
from medmm.evaluation.results import Evaluation
from medmm.evaluation.subgroups import subgroup_table, subgroups
from medmm.evaluation.survival import WHENEVER
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.predict import Subset
from medmm.rules.book import Rulebook
from medmm.rules.tally import tally
from medmm.rules.trace import TRACE, traced
from medmm.training.tracking import Record
from medmm.types import CLASS_TASKS, Scores, Study, Task

from .cohort import Cohort
from .learn import Learned

SEPARATOR = " | "
"""Between the rules that fired for one study, in a cell."""


@dataclass(frozen=True)
class Single:
    """A model that was trained on one input alone, on the test studies that have this input.

    Attributes:
        alone: Its headline metric.
        gain: How much higher the fusion's is on the same studies, paired by patient.
    """

    alone: Estimate
    gain: Estimate


@dataclass(frozen=True)
class InputComparison:
    """The fusion beside what less than it would give, in the headline metric on the test studies.

    Attributes:
        fusion: All inputs.
        singles: Input -> the model trained on it alone.
        hidden: Subset of inputs -> the fusion with the other inputs hidden, on the test studies that have any of the subset.
    """

    fusion: Estimate
    singles: Mapping[str, Single]
    hidden: Mapping[Subset, Estimate]

    def cells(self) -> list[dict[str, object]]:
        """Give one row a model: name, value, low, high, studies, patients."""
        rows = [("all inputs", self.fusion), *((f"{name} alone, own model", one.alone) for name, one in self.singles.items())]
        rows += [(f"all inputs minus {name} alone", one.gain) for name, one in self.singles.items()]
        rows += [(f"fusion with only {' + '.join(sorted(some))}", one) for some, one in self.hidden.items()]
        return [{"model": name, **number(estimate)} for name, estimate in rows]


def number(estimate: Estimate) -> dict[str, object]:
    """Give an estimate as plain data; None where it is not defined."""
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    plain = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
    return {**plain, "studies": estimate.studies, "patients": estimate.patients}


def compare_inputs(config: RunConfig, learned: Learned, singles: Mapping[str, Learned]) -> InputComparison:
    """Compare the fusion with single inputs and with itself when inputs are hidden."""
    task, resamples = config.target.task, config.evaluation.resamples
    names = sorted(config.inputs)
    everything = frozenset(names)
    whole = learned.test[everything]
    own: dict[str, Single] = {}
    for name, single in singles.items():
        if not len(single.rows):
            continue  # no test study has the input
        has = set(single.rows.tolist())
        fused = whole.some(np.array([row in has for row in learned.rows.tolist()]))
        alone = single.test[frozenset([name])]
        own[name] = Single(_headline(alone, task, resamples), compare(fused, alone, task, resamples))
    hidden: dict[Subset, Estimate] = {}
    for some, scores in learned.test.items():
        if some != everything:
            columns = [names.index(name) for name in sorted(some)]
            has = np.any(learned.present[:, columns], axis=1, keepdims=False)
            hidden[some] = _headline(scores.some(has), task, resamples)
    return InputComparison(_headline(whole, task, resamples), own, hidden)


def _headline(scores: Scores, task: Task, resamples: int) -> Estimate:
    yardstick = YARDSTICKS[task]
    return interval(partial(yardstick.of, scores), scores.patient, resamples, rests_on=yardstick.rests_on(scores))


def log_report(record: Record, cohort: Cohort, learned: Learned, evaluation: Evaluation, comparison: InputComparison) -> None:
    """Log metrics with intervals, figures and tables of the test studies."""
    config = cohort.config
    task, thresholds = config.target.task, learned.package.thresholds
    scores = learned.answers
    record.measures(metrics(evaluation, comparison))
    if learned.package.model.criterion.tempered:
        record.measures({"temperature": learned.package.temperature})
    record.measures({f"threshold_{i}": t for i, t in enumerate(thresholds)})
    record.table(evaluation.table(), "test/results.csv")
    record.table(pd.DataFrame(comparison.cells()), "test/inputs.csv")
    record.table(predictions(cohort, learned, scores, thresholds), "test/predictions.csv")
    if scores.groups:
        groups = subgroups(scores, task, thresholds, config.evaluation.resamples)
        record.table(subgroup_table(groups), "test/subgroups.csv")
    for name, plot in plots_of(task).items():
        record.figure(plot(scores, task, thresholds), f"plots/{name}.png")
    rows = [(" + ".join(sorted(config.inputs)), comparison.fusion)]
    rows += [(" + ".join(sorted(some)), one) for some, one in comparison.hidden.items()]
    rows += [(f"{name}, own model", one.alone) for name, one in comparison.singles.items()]
    if len(rows) > 1:
        record.figure(inputs_plot(rows, YARDSTICKS[task]), "plots/inputs.png")


def log_rules(
    record: Record, book: Rulebook, studies: Sequence[Study], parts: Mapping[str, Sequence[int]], raw: Scores, resamples: int
) -> pd.DataFrame:
    """Log how often each rule fires, and where rules may change a probability the headline of the model alone.

    `rule_NAME_fired` counts test studies; `raw/auroc` stands beside `test/auroc`, which is of the answers after the rules.

    Args:
        record: Where to.
        book: The rules.
        studies: After the rules before the model.
        parts: Name -> indices of its studies; `test` among them.
        raw: What the model alone says of the test studies.
        resamples: Of the interval.

    Returns:
        One row a rule.
    """
    table = tally(book, studies, parts)
    if book.rules:
        record.table(table, "rules.csv")
        record.measures({f"rule_{name}_fired": count for name, count in zip(table["rule"], table["test"], strict=True)})
    if book.moves:
        record.measures(named_numbers({"raw/auroc": _headline(raw, book.task, resamples)}))
    return table


def metrics(evaluation: Evaluation, comparison: InputComparison | None = None) -> dict[str, float]:
    """Give the results under names for MLflow, whose UI makes a section of what stands before the slash.

    `test/auroc` comes with `test/auroc_low`, `_high`, `_studies` and `_patients`, and so does each of the headlines
    `alone/chest` (a model trained on this input alone), `gain/chest` (of the fusion over that model, paired) and
    `only/chest-labs` (the fusion with all other inputs hidden).
    """
    classes = Counter(result.metric for result in evaluation.results)
    several = max(classes.values()) > 1
    whole = {GRADE, WHENEVER}  # of no one class
    named = {
        f"test/{one.metric}" + (f"_{one.class_name}" if several and one.class_name not in whole else ""): one.estimate
        for one in evaluation.results
    }
    if comparison is not None:
        named |= {f"alone/{name}": one.alone for name, one in comparison.singles.items()}
        named |= {f"gain/{name}": one.gain for name, one in comparison.singles.items()}
        named |= {f"only/{'-'.join(sorted(some))}": one for some, one in comparison.hidden.items()}
    return named_numbers(named)


def named_numbers(named: Mapping[str, Estimate]) -> dict[str, float]:
    """Give estimates with their intervals and n under names for MLflow."""
    values: dict[str, float] = {}
    for name, estimate in named.items():
        values |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        values |= {f"{name}_studies": estimate.studies, f"{name}_patients": estimate.patients}
    return values


def predictions(cohort: Cohort, learned: Learned, scores: Scores, thresholds: tuple[float, ...]) -> pd.DataFrame:
    """Give one row a test study: its row in the studies table, its patient's number, the truth and what is said of it."""
    target = learned.package.target
    names = ("time", "event") if target.task == "survival" else scores.classes
    table = pd.DataFrame({"row": [cohort.studies[i].row for i in learned.rows], "patient": scores.patient})
    for column, name in enumerate(names):
        true = scores.target[:, column]
        table[f"target_{name}"] = true.astype(int) if target.task in CLASS_TASKS else true
    for name, said in answer_cells(target, scores.predicted, thresholds).items():
        table[name] = said
    for name, stated in learned.stated.items():
        table[name] = stated
    if learned.conflict is not None:
        table["conflict"] = learned.conflict
    if learned.package.rules:
        raw = learned.test[frozenset(cohort.inputs)].predicted
        for column, name in enumerate(scores.classes if learned.package.rulebook().moves else ()):
            table[f"raw_probability_{name}"] = raw[:, column]
        cells = [traced(fired) for fired in learned.fired]
        for column_name in TRACE:
            table[column_name] = [SEPARATOR.join(one[column_name]) for one in cells]
    return table
