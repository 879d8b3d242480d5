"""Whether the probabilities, values or risks of the model are true."""

import pandas as pd

from medmm.evaluation.calibration_curve import Curve, curve_plot, smooth_curve
from medmm.evaluation.calibration_error import LIMIT, brier_skill, calibration_error
from medmm.evaluation.calibration_slope import in_the_large, linear_recalibration, logistic_recalibration
from medmm.evaluation.canvas import counts
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.event_calibration import RiskGroup, risk_groups, risk_plot
from medmm.evaluation.horizons import excess_risk
from medmm.evaluation.intervals import Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import brier, patients_behind, share
from medmm.types import Array, Scores

from ..screen import Screen
from ..subject import Subject
from .telling import enough, named, resting_on, told

NAME, TITLE = "calibration", "Calibration"


def calibration_chapter(subject: Subject, screen: Screen) -> Chapter:
    """Give slope, intercept, Brier skill, the calibration error beside its null, and a smooth curve with its band."""
    task, scores = subject.config.target.task, subject.test.scores
    columns, short = enough(scores, task)
    if not columns:
        return Chapter(NAME, TITLE, short)
    weights = sample_and_resamples(scores.patient, subject.config.evaluation.resamples, 0)
    if task == "regression":
        return _of_values(scores, weights)
    if task == "survival":
        return _of_risks(scores, subject.config.target.horizons, weights)
    return _of_classes(subject, scores, columns, short, weights)


def _of_classes(subject: Subject, scores: Scores, columns: list[int], short: tuple[str, ...], weights: Array) -> Chapter:
    package = subject.package
    says = [
        f"Probabilities are those of a temperature of {package.temperature:.3f} and the calibration "
        f"{package.calibration.kind!r}, both chosen on the validation studies."
    ]
    measures: dict[str, Estimate] = {}
    curves: list[Curve] = []
    for column in columns:
        name, probability, target = scores.classes[column], scores.predicted[:, column], scores.target[:, column]
        bent = logistic_recalibration(probability, target, weights)
        error = calibration_error(probability, target, scores.patient, weights)
        few = patients_behind("auroc", target, scores.patient)
        own = {
            "slope": summarise(bent[:, 1], scores.patient, rests_on=few),
            "intercept": summarise(bent[:, 0], scores.patient, rests_on=few),
            "in_the_large": summarise(in_the_large(probability, target, weights), scores.patient, rests_on=few),
            "brier": summarise(brier(probability, target, weights), scores.patient),
            "brier_skill": summarise(brier_skill(probability, target, weights), scores.patient),
            "ece": error.found,
            "ece_null": error.null,
            "ece_chance": error.chance,
        }
        measures |= {named(measure, name, scores.classes): one for measure, one in own.items()}
        says.append(_of_class(name, own))
        curves.append(smooth_curve(name, probability, target, weights, (0, 1)))
    figure = curve_plot(curves, "Calibration", counts(scores), ("probability", "share"), (0, 1))
    return Chapter(NAME, TITLE, (*says, *short), measures, {"curve": _curve_table(curves)}, {"curve": figure})


def _of_class(name: str, own: dict[str, Estimate]) -> str:
    slope, large = own["slope"], own["in_the_large"]
    judged = _judged(slope, "its probabilities are too extreme", "its probabilities are not extreme enough", 1.0)
    level = _judged(large, "more are called ill than are", "fewer are called ill than are", 0.0)
    beside = "so chance does not explain it" if own["ece_chance"].value <= 1 - LIMIT else "so it can be chance"
    return (
        f"{name}: calibration slope {told(slope)} (1 is perfect: {judged}), calibration in the large {told(large)} (0 is "
        f"perfect: {level}), {resting_on(slope)}. Brier score {told(own['brier'], 3)}, its skill against the prevalence alone "
        f"{told(own['brier_skill'])}. Expected calibration error {told(own['ece'], 3)}; a perfectly calibrated model with "
        f"these probabilities shows {own['ece_null'].value:.3f} on average and at most {own['ece_null'].high:.3f} in "
        f"{LIMIT:.0%} of repetitions, {beside} (p = {own['ece_chance'].value:.3f})."
    )


def _judged(one: Estimate, below: str, above: str, perfect: float) -> str:
    if not one.low <= one.high:
        return "not defined here"
    if one.low <= perfect <= one.high:
        return "the interval holds it"
    return below if one.high < perfect else above


def _of_values(scores: Scores, weights: Array) -> Chapter:
    predicted, true, name = scores.predicted[:, 0], scores.target[:, 0], scores.classes[0]
    line = linear_recalibration(predicted, true, weights)
    measures = {
        "slope": summarise(line[:, 1], scores.patient),
        "intercept": summarise(line[:, 0], scores.patient),
        "in_the_large": summarise(share(true - predicted, weights), scores.patient),
    }
    judged = _judged(measures["slope"], "its values spread too far", "its values do not spread far enough", 1.0)
    says = (
        f"{name}: the truth on the prediction has slope {told(measures['slope'])} (1 is perfect: {judged}) and intercept "
        f"{told(measures['intercept'])}; the truth is above the prediction by {told(measures['in_the_large'])} on average, "
        f"{resting_on(measures['slope'])}.",
    )
    curve = smooth_curve(name, predicted, true, weights)
    figure = curve_plot([curve], "Calibration", counts(scores), ("value", "value"), None)
    return Chapter(NAME, TITLE, says, measures, {"curve": _curve_table([curve])}, {"curve": figure})


def _of_risks(scores: Scores, horizons: tuple[float, ...], weights: Array) -> Chapter:
    measures: dict[str, Estimate] = {}
    says: list[str] = []
    groups: list[list[RiskGroup]] = []
    for column, (name, horizon) in enumerate(zip(scores.classes, horizons, strict=True)):
        risk = scores.predicted[:, column]
        excess = summarise(excess_risk(risk, scores.target, horizon, weights), scores.patient)
        measures[named("excess", name, scores.classes)] = excess
        judged = _judged(excess, "risks are too high", "risks are too low", 0.0)
        own = risk_groups(name, risk, scores.target, horizon, scores.patient, weights)
        groups.append(own)
        told_groups = "; ".join(f"said {one.predicted:.2f}, observed {told(one.observed)}" for one in own)
        says.append(
            f"{name}: the share with the event (Kaplan-Meier) less the mean risk is {told(excess, 3)} (0 is perfect: "
            f"{judged}), {resting_on(excess)}. By groups of like risk: {told_groups}."
        )
    table = pd.DataFrame(
        [
            {
                "horizon": one.name,
                "predicted": one.predicted,
                "observed": one.observed.value,
                "low": one.observed.low,
                "high": one.observed.high,
                "studies": one.observed.studies,
                "patients": one.observed.patients,
            }
            for own in groups
            for one in own
        ]
    )
    figure = risk_plot(groups, "Calibration", counts(scores))
    return Chapter(NAME, TITLE, tuple(says), measures, {"groups": table}, {"groups": figure})


def _curve_table(curves: list[Curve]) -> pd.DataFrame:
    columns = ("at", "observed", "low", "high")
    return pd.concat([pd.DataFrame({"class": one.name, **{key: getattr(one, key) for key in columns}}) for one in curves])
