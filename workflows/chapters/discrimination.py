"""How well the model tells the outcome: every metric with its interval, and how sure a test set of this size can be."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medmm.evaluation.chapter import Chapter
from medmm.evaluation.delong import auroc_estimates
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.grades import GRADE
from medmm.evaluation.intervals import LEVEL, Estimate
from medmm.evaluation.plots import plots_of
from medmm.evaluation.results import Evaluation
from medmm.evaluation.sample_size import HALF_WIDTH, Expected, expected_from, expected_widths
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.survival import WHENEVER
from medmm.evaluation.tasks import MACRO
from medmm.evaluation.yardstick import YARDSTICKS, too_few
from medmm.types import CLASS_TASKS, Scores, Task

from ..screen import Screen
from ..subject import Subject

OTHERS = frozenset({"reliability"})
"""Figures that another part shows."""

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "c_index": "C-index",
    "uno_c_index": "C-index after Uno",
    "dynamic_auc": "AUC",
}


def discrimination(subject: Subject, screen: Screen) -> Chapter:
    """Give every metric of the test studies, AUROCs by two kinds of interval, AUPRC beside prevalence, and a note on size."""
    screen.say("measuring discrimination ...")
    scores, task, thresholds = subject.test.scores, subject.config.target.task, subject.package.thresholds
    evaluation = evaluate(scores, task, thresholds, subject.config.evaluation.resamples)
    of_classes = task in CLASS_TASKS
    by_error = auroc_estimates(scores) if of_classes else {}
    sizes = list(expected_widths(scores, task, thresholds)) if of_classes else [_size_of(scores, task, evaluation)]
    measures = {_named(one.metric, one.class_name, scores): one.estimate for one in evaluation.results}
    measures |= {_named("auroc_delong", name, scores): estimate for name, estimate in by_error.items()}
    tables = {"results": evaluation.table()}
    if of_classes:
        tables["auroc"] = _auroc_table(scores, evaluation, by_error)
    if sizes:
        tables["sample_size"] = pd.DataFrame([one.row() for one in sizes])
    says = (*_cautions(scores, task), *_says(scores, task, evaluation, by_error, subject), *_size_says(sizes, task))
    figures = {name: plot(scores, task, thresholds) for name, plot in plots_of(task).items() if name not in OTHERS}
    return Chapter("discrimination", "Discrimination", says, measures, tables, figures)


def _named(metric: str, name: str, scores: Scores) -> str:
    return metric if len(scores.classes) == 1 or name in (GRADE, WHENEVER) else f"{metric}_{name}"


def _auroc_table(scores: Scores, evaluation: Evaluation, by_error: dict[str, Estimate]) -> pd.DataFrame:
    rows = []
    for name, delong in by_error.items():
        drawn, precision = evaluation.pick("auroc", name), evaluation.pick("auprc", name)
        prevalence = None if name == MACRO else evaluation.pick("prevalence", name).value
        rows.append(
            {
                "class": name,
                "auroc": drawn.value,
                "bootstrap_low": drawn.low,
                "bootstrap_high": drawn.high,
                "delong_low": delong.low,
                "delong_high": delong.high,
                "auprc": precision.value,
                "auprc_low": precision.low,
                "auprc_high": precision.high,
                "prevalence": prevalence,
                "positive_studies": None if name == MACRO else int((scores.target[:, scores.classes.index(name)] == 1).sum()),
                "studies": drawn.studies,
                "patients": drawn.patients,
            }
        )
    return pd.DataFrame(rows)


def _cautions(scores: Scores, task: Task) -> Iterator[str]:
    for name, why in too_few(scores, task, MINIMUM).items():
        yield f"{name}: {why} for intervals to be relied on."


def _says(scores: Scores, task: Task, evaluation: Evaluation, by_error: dict[str, Estimate], subject: Subject) -> Iterator[str]:
    whole = evaluation.headline
    on = f"on {whole.studies} test studies of {whole.patients} patients"
    if task in CLASS_TASKS:
        yield from _class_says(scores, evaluation, by_error, on)
    elif task == "regression":
        unit = subject.config.target.unit
        numbers = ", ".join(f"{LABELS[metric]} {evaluation.pick(metric)}" for metric in ("r2", "mae", "rmse"))
        yield f"{numbers} {on}; errors in {unit or 'the unit of the value'}."
        yield f"Lin's concordance of predicted and true values is {evaluation.pick('concordance')}."
    else:
        events = evaluation.pick("event_rate", WHENEVER)
        yield f"The event was seen in a share of {events} {on}."
        metrics = {one.metric for one in evaluation.results}
        for name in scores.classes:
            asked = [metric for metric in ("c_index", "uno_c_index", "dynamic_auc", "brier") if metric in metrics]
            yield f"{name}: " + ", ".join(f"{LABELS[metric]} {evaluation.pick(metric, name)}" for metric in asked) + "."
        if "integrated_brier" in metrics:
            whole_time = evaluation.pick("integrated_brier", WHENEVER)
            yield f"Integrated Brier score, from the first horizon to the last, weighted for what was cut short: {whole_time}."


def _class_says(scores: Scores, evaluation: Evaluation, by_error: dict[str, Estimate], on: str) -> Iterator[str]:
    several = len(scores.classes) > 1
    if several:
        mean, delong = evaluation.headline, by_error[MACRO]
        yield (
            f"Mean AUROC over {len(scores.classes)} classes {mean} by resampling patients, "
            f"[{delong.low:.3f}, {delong.high:.3f}] after DeLong and Obuchowski, {on}."
        )
    for name in scores.classes:
        area, delong = evaluation.pick("auroc", name), by_error[name]
        positives = int((scores.target[:, scores.classes.index(name)] == 1).sum())
        if np.isnan(area.value):
            yield f"{name}: {positives} of {area.studies} test studies are positive, so an AUROC is not defined."
            continue
        yield (
            f"{name}: AUROC {area} by resampling patients, [{delong.low:.3f}, {delong.high:.3f}] after DeLong and Obuchowski"
            + ("." if several else f", {on}.")
        )
        precision, prevalence = (evaluation.pick(metric, name) for metric in ("auprc", "prevalence"))
        yield f"{name}: AUPRC {precision}; guessing gives the prevalence, {prevalence} ({positives} positive studies)."
        detected, cleared = (evaluation.pick(metric, name) for metric in ("sensitivity", "specificity"))
        yield (
            f"{name}: sensitivity {detected} of {detected.studies} positive studies of {detected.patients} patients, "
            f"specificity {cleared} of {cleared.studies} negative studies of {cleared.patients} patients, as the model decides."
        )


def _size_of(scores: Scores, task: Task, evaluation: Evaluation) -> Expected:
    yardstick = YARDSTICKS[task]
    counted = f"with {yardstick.counted.removeprefix('a ')}" if task == "survival" else "in all"
    return expected_from(yardstick.metric, scores.classes[-1], evaluation.headline, yardstick.rests_on(scores), counted)


def _size_says(sizes: list[Expected], task: Task) -> Iterator[str]:
    """Speak of each metric's widest class."""
    for metric in dict.fromkeys(one.metric for one in sizes):
        own = [one for one in sizes if one.metric == metric and one.half_widths[0] > 0]
        if not own:
            yield f"How wide the interval of the {LABELS.get(metric, metric)} will be cannot be told from these studies."
            continue
        widest = max(own, key=lambda one: one.half_widths[0])
        now, twice, four_times = widest.half_widths
        of_class = f" of {widest.class_name}" if task in CLASS_TASKS else ""
        needed = "cannot be told" if widest.needed is None else f"about {widest.needed:,} such patients"
        name = f"{LABELS.get(metric, metric)}{of_class}"
        yield (
            f"Size: with {widest.patients} patients {widest.counted} a {LEVEL:.0%} interval of the {name} reaches about "
            f"±{now:.3f}; twice as many would give ±{twice:.3f}, four times ±{four_times:.3f}. ±{HALF_WIDTH} takes: {needed}."
        )
