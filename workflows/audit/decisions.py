"""Check of the operating points: do the thresholds keep on test studies what they reached on validation studies?"""

import numpy as np

from medmm.evaluation.decision import THRESHOLDED, decide
from medmm.evaluation.intervals import Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import patients_behind, sensitivity, specificity
from medmm.evaluation.subgroups import MINIMUM
from medmm.types import Scores

from .audited import Audited
from .finding import Finding, beyond, judge, less, not_applicable, not_enough, shown

LARGEST_FALL = 0.15
"""By which sensitivity or specificity may surely lie below that of the validation studies, whose best threshold was taken."""

LEAST_YOUDEN = 0.05
"""Sensitivity + specificity - 1 of a threshold that decides anything."""


def operating_points(audited: Audited) -> Finding:
    """Hold sensitivity and specificity of the test studies against chance, and against those of the validation studies."""
    subject = audited.subject
    task = subject.config.target.task
    if task not in THRESHOLDED:
        return not_applicable(f"a {task} task has no threshold")
    test, validation = subject.test.scores, subject.parts.get("validation")
    of_test = {column: _rates(audited, test, column) for column in range(len(test.classes)) if _enough(test, column)}
    if not of_test:
        had = min(_outcomes(test, column) for column in range(len(test.classes)))
        return not_enough(f"fewer than {MINIMUM} patients of one outcome", had, MINIMUM)
    falls: dict[str, Estimate] = {}
    if validation is not None and len(validation.rows):
        for column, rates in of_test.items():
            before = _rates(audited, validation.scores, column) if _enough(validation.scores, column) else {}
            for rate in ("sensitivity", "specificity"):
                if rate in before:
                    falls[f"{rate} of {test.classes[column]}"] = less(before[rate], rates[rate])
    comparisons = len(falls) + len(of_test)
    told = "; ".join(_told(test.classes[column], rates) for column, rates in of_test.items())
    told += "; fall from validation: " + ", ".join(f"{name} {one}" for name, one in falls.items()) if falls else ""
    for name, one in falls.items():
        if beyond(one, most=LARGEST_FALL, comparisons=comparisons):
            return Finding("fail", f"{name} surely falls by more than {LARGEST_FALL}; {told}", f"fall of {name}", one)
    worst = min(of_test, key=lambda column: of_test[column]["youden"].value)
    few = _outcomes(test, worst)
    measure = f"sensitivity + specificity - 1 of {test.classes[worst]}"
    one = of_test[worst]["youden"]
    return judge(measure, one, told, least=LEAST_YOUDEN, comparisons=comparisons, rests_on=few, widest=0.8)


def _rates(audited: Audited, scores: Scores, column: int) -> dict[str, Estimate]:
    """Estimate sensitivity, specificity, and their sum less one."""
    subject = audited.subject
    decided = decide(scores.predicted, subject.package.thresholds, subject.config.target.task)[:, column]
    target, patient = scores.target[:, column], scores.patient
    weights = sample_and_resamples(patient, subject.config.evaluation.resamples, 0)
    values = {"sensitivity": sensitivity(decided, target, weights), "specificity": specificity(decided, target, weights)}
    rates = {
        metric: summarise(own, patient, rests_on=patients_behind(metric, target, patient)) for metric, own in values.items()
    }
    youden = values["sensitivity"] + values["specificity"] - 1
    return rates | {"youden": summarise(youden, patient, rests_on=patients_behind("auroc", target, patient))}


def _outcomes(scores: Scores, column: int) -> int:
    return min(len(np.unique(scores.patient[scores.target[:, column] == outcome])) for outcome in (0, 1))


def _enough(scores: Scores, column: int) -> bool:
    return _outcomes(scores, column) >= MINIMUM


def _told(name: str, rates: dict[str, Estimate]) -> str:
    return f"{name}: sensitivity {shown(rates['sensitivity'])}, specificity {shown(rates['specificity'])}"
