"""Checks of how the numbers were made: by patient, on validation only, all on record, with what it takes to see drift."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from medmm.errors import DataError
from medmm.evaluation.calibration import fit_temperature
from medmm.evaluation.decision import THRESHOLDED, choose_thresholds, decide
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.settings import Plain

from .audited import Audited
from .finding import Finding, not_applicable, share
from .rivals import number

LEAST_WIDTH = 0.85
"""Of the interval by patient, that a recorded one must have: two draws of 2,000 resamples differ by a few percent."""

TEMPERATURE_TOLERANCE = 0.01
"""Relative: devices differ in the last digits of a logit."""

NEEDED_FACTS = {
    "cohort": "how many studies and patients each part has",
    "cohort_digest": "which cohort it was",
    "proof": "the split, and what the leakage checks found",
    "learned_from": "which files the model learned from",
    "results": "the results, each with its interval and n",
    "inputs": "the fusion beside single inputs and subsets",
    "people": "which export and which test patients these were",
}
"""What a package must have on record -> what that is."""


def intervals_by_patient(audited: Audited) -> Finding:
    """Make the interval of the headline anew, by patient, and hold the recorded one against it."""
    subject = audited.subject
    scores, resamples = subject.test.scores, subject.config.evaluation.resamples
    patients, studies = len(np.unique(scores.patient)), len(scores.patient)
    task = subject.config.target.task
    yardstick = YARDSTICKS[task]
    anew = evaluate(scores, task, subject.package.thresholds, resamples).headline
    measure = "width of the recorded interval, as a share of that by patient"
    everyone = sum(len(np.unique(said.scores.patient)) for said in subject.parts.values())
    several = [f"{chapter}/{name}" for chapter, name, one in _all_measures(audited) if one.patients > everyone]
    told = [f"{len(several)} numbers claim more patients than there are, such as {several[0]}"] if several else []
    row = _recorded_headline(audited)
    if row is None:
        if told:
            return Finding("fail", "; ".join(told), measure)
        return not_applicable("the package has no interval of the headline on record to hold against this cohort")
    claimed = number(row)
    if subject.own:
        if claimed.patients > patients:
            told.append(f"the record counts {claimed.patients} patients where there are {patients} with {studies} studies")
    elif claimed.patients > _recorded_patients(subject.package.facts):
        told.append(f"the record counts {claimed.patients} patients, its test part had fewer")
    width = (claimed.high - claimed.low) / (anew.high - anew.low) if anew.high > anew.low else 1.0
    evidence = f"{yardstick.label} recorded {claimed}, made anew by patient {anew}: {studies} studies of {patients} patients"
    if not subject.own:
        evidence = f"recorded {claimed} of {claimed.patients} patients; its studies are not in this cohort"
        shown_width = None
    else:
        shown_width = Estimate(float(width), float(width), float(width), studies, patients, resamples)
        if width < LEAST_WIDTH:
            apart = replace(scores, patient=np.arange(studies))
            by_study = evaluate(apart, task, subject.package.thresholds, resamples).headline
            told.append(f"the recorded interval has {width:.2f} of the width by patient; by study it would be {by_study}")
    measure = measure if shown_width is not None else ""
    return Finding("fail" if told else "pass", "; ".join([*told, evidence]), measure, shown_width)


def thresholds_from_validation(audited: Audited) -> Finding:
    """Choose thresholds and temperature anew on the validation studies, and hold those of the package against them."""
    subject, package = audited.subject, audited.subject.package
    task, criterion = subject.config.target.task, package.model.criterion
    validation = subject.parts.get("validation")
    if task not in THRESHOLDED and not criterion.tempered:
        return not_applicable(f"a {task} task has no threshold and no temperature")
    if validation is None or not len(validation.rows):
        return not_applicable("the validation studies, on which they were chosen, are not in this cohort")
    told, evidence = [], []
    measure, moved = "share of validation patients decided otherwise by thresholds chosen anew", None
    if task in THRESHOLDED:
        scores = validation.scores
        try:
            anew = choose_thresholds(scores, task, subject.config.evaluation.decision)
        except DataError as reason:
            return not_applicable(f"no threshold can be chosen on the validation studies: {reason}")
        other = (decide(scores.predicted, package.thresholds, task) != decide(scores.predicted, anew, task)).any(axis=1)
        moved = share(other, scores.patient)
        evidence.append(f"thresholds {_list(package.thresholds)}, chosen anew on {len(other)} validation studies {_list(anew)}")
        if other.any():
            told.append(
                f"{int(other.sum())} of them are decided otherwise, so the thresholds come from elsewhere{_elsewhere(audited)}"
            )
    if criterion.tempered:
        raw = subject.parts["validation"]
        fitted = fit_temperature(raw.logits, raw.scores.target, task)
        evidence.append(f"temperature {package.temperature:.3f}, fitted anew {fitted:.3f}")
        if abs(package.temperature / fitted - 1) > TEMPERATURE_TOLERANCE:
            told.append("the temperature comes from elsewhere")
    return Finding("fail" if told else "pass", "; ".join([*evidence, *told]), measure if moved else "", moved)


def drift_reference(audited: Audited) -> Finding:
    """Tell whether the package ships what a hospital needs to see its inputs and answers drift."""
    references = audited.subject.package.references
    if not references:
        return Finding(
            "fail", "the package has no reference of its training studies, so drift cannot be seen: package the run again"
        )
    return Finding("pass", "the package ships references of its training studies, against which new ones can be held")


def record_complete(audited: Audited) -> Finding:
    """Tell whether the package has on record what a reviewer asks for first."""
    package = audited.subject.package
    facts = package.facts
    missing = [f"{name} ({what})" for name, what in NEEDED_FACTS.items() if facts.get(name) in (None, "", {}, ())]
    missing = [one for one in missing if not one.startswith(_may_be_empty(audited))]
    missing += [] if package.digest else ["the digest of the package"]
    bare = [row["metric"] for row in facts.get("results", ()) if _is_bare(row)]
    told = [f"not on record: {', '.join(missing)}"] if missing else []
    told += [f"without interval or n: {', '.join(dict.fromkeys(bare))}"] if bare else []
    if told:
        return Finding("fail", "; ".join(told))
    rows = len(facts["results"])
    return Finding(
        "pass", f"{len(NEEDED_FACTS)} parts of the record are there, and {rows} results with interval and n or the reason"
    )


def _may_be_empty(audited: Audited) -> tuple[str, ...]:
    """Name what a run may have nothing of: no single input where there is one, no file where there are only tables."""
    facts = audited.subject.package.facts
    return tuple(f"{name} (" for name in ("learned_from", "inputs") if name in facts) or ("-",)


def _is_bare(row: Plain) -> bool:
    """Tell whether a result lacks its interval or n, and says no reason."""
    if not row.get("studies") or not row.get("patients"):
        return True
    return not row.get("note") and (row.get("low") is None or row.get("high") is None)


def _recorded_headline(audited: Audited) -> Plain:
    """Give the recorded result by which models are compared: the last of its metric; None where there is none."""
    metric = YARDSTICKS[audited.subject.config.target.task].metric
    rows = [row for row in audited.subject.package.facts.get("results", ()) if row["metric"] == metric]
    return rows[-1] if rows and rows[-1]["low"] is not None else None


def _recorded_patients(facts: Plain) -> int:
    return int(facts.get("cohort", {}).get("test", {}).get("patients", 1 << 60))


def _all_measures(audited: Audited) -> Iterator[tuple[str, str, Estimate]]:
    for chapter, one in audited.chapters.items():
        for name, estimate in one.measures.items():
            yield chapter, name, estimate


def _elsewhere(audited: Audited) -> str:
    """Say whether it is from the test studies."""
    subject = audited.subject
    task = subject.config.target.task
    try:
        of_test = choose_thresholds(subject.test.scores, task, subject.config.evaluation.decision)
    except DataError:
        return ""
    predicted = subject.test.scores.predicted
    same = np.array_equal(decide(predicted, of_test, task), decide(predicted, subject.package.thresholds, task))
    return ": they are those that the test studies would choose" if same else ""


def _list(thresholds: tuple[float, ...]) -> str:
    return ", ".join(f"{one:.3f}" for one in thresholds)
