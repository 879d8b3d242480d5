"""Checks of the data: what stands on both sides of the split, what was recorded later, what gives the label away."""

from collections.abc import Callable, Sequence

import numpy as np

from medmm.cohort.association import LEAST_PATIENTS
from medmm.cohort.leakage import Finding as Leak
from medmm.evaluation.intervals import Estimate
from medmm.types import Array

from .audited import Audited
from .finding import Finding, not_applicable, not_enough, share

SHARED = {"persons": "persons", "study": "DICOM studies", "series": "series", "files": "identical images"}
"""Last part of the name of a leakage check of two sides -> what two studies share there."""

ALIKE = {"images": "images", "notes": "notes"}
"""The same, for what is nearly the same."""

RECORDED = "as the training recorded it: "
"""Before what was found of the cohort of the training, on another cohort."""


def overlap(audited: Audited) -> Finding:
    """Tell whether a patient, a DICOM study, a series or an image of the test part is in training or validation too."""
    subject = audited.subject
    if not subject.own:
        return _overlap_elsewhere(audited)
    parts = {name: set(said.scores.patient.tolist()) for name, said in subject.parts.items()}
    learners = parts.get("train", set()) | parts.get("validation", set())
    test = subject.test.scores.patient
    both = np.isin(test, list(learners))
    two_learn = len(parts.get("train", set()) & parts.get("validation", set()))
    found = [one for one in _of(audited, "two sides") if _kind(one) in SHARED]
    hit = both | _paired(found, subject.test.rows)
    measure = "share of test patients who are, or of whom an image is, in training or validation"
    number = share(hit, test)
    leaking = [one for one in found if one.leaks]
    looked = ", ".join(["patients", *dict.fromkeys(SHARED[_kind(one)] for one in found)])
    if not both.any() and not two_learn and not leaking:
        said = f"none of {number.patients} test patients stands on another side of the split; looked at: {looked}"
        return Finding("pass", said, measure, number)
    told = [f"{len(set(test[both].tolist()))} test patients are in training or validation too"] if both.any() else []
    told += [f"{two_learn} patients are in training and validation"] if two_learn else []
    told += [f"{one.name}: {one.found}" for one in leaking]
    failed = Finding("fail", "; ".join(told), measure, number)
    return failed if both.any() or two_learn else _waived_in_training(audited, failed, leaking)


def _overlap_elsewhere(audited: Audited) -> Finding:
    if not audited.subject.package.facts.get("learned_from"):
        return not_applicable(
            "this is not the cohort of the training, and the package names no image from which it learned: whether it knows "
            "one of these patients cannot be told"
        )
    left_out = audited.subject.learned_from
    test = audited.subject.test.scores.patient
    said = f"no study of this other cohort is of a patient from whose images the model learned; {left_out} such were left out"
    said += "; a patient known by tables or notes alone, or by another image, cannot be told"
    return Finding("pass", said, "share of test patients known to the model", share(np.zeros(len(test), bool), test))


def near_duplicates(audited: Audited) -> Finding:
    """Tell whether an image or a note of a test study is nearly the same as one of another side."""
    found = [one for one in _of(audited, "two sides") if _kind(one) in ALIKE]
    if not found:
        return not_applicable("no image was decoded and there is no note, so nothing can be nearly the same")
    test, rows = audited.subject.test.scores.patient, audited.subject.test.rows
    number = share(_paired(found, rows), test) if audited.subject.own else None
    measure = "share of test patients with an image or a note nearly the same as one of training or validation"
    leaking = [one for one in found if one.leaks]
    before = "" if audited.subject.own else RECORDED
    if not leaking:
        return Finding("pass", f"{before}no near pair lies across, in {_names(found)}", measure, number)
    failed = Finding("fail", before + "; ".join(f"{one.name}: {one.found}" for one in leaking), measure, number)
    return _waived_in_training(audited, failed, leaking)


def time_order(audited: Audited) -> Finding:
    """Tell whether anything was recorded after its study, and whether a split by time has its order."""
    subject = audited.subject
    found = _of(audited, "later", "no index time")
    leaking = [one for one in found if one.leaks]
    times = {part: [subject.studies[i].time for i in said.rows] for part, said in subject.parts.items()}
    dated = {part: [when for when in some if when is not None] for part, some in times.items()}
    told = [f"{one.name}: {one.found}" for one in leaking]
    by_time = subject.own and subject.config.split.by == "time" and bool(dated.get("train")) and bool(dated["test"])
    early = np.zeros(len(subject.test.rows), bool)
    if by_time:
        last = max(dated["train"])
        early = np.array([when is not None and when <= last for when in times["test"]])
        if early.any():
            told.append(f"the split is by time, and {int(early.sum())} test studies are no later than the last training study")
    if not any(dated.values()) and not found:
        return not_applicable("no study has a time, and no table that is read has one")
    number = share(early, subject.test.scores.patient) if by_time else None
    measure = "share of test patients with a study before the last of training" if by_time else ""
    before = "" if subject.own else RECORDED
    if told:
        failed = Finding("fail", before + "; ".join(told), measure, number)
        return failed if early.any() else _waived_in_training(audited, failed, leaking)
    said = f"{before}nothing that is read was recorded after its study"
    said += (
        "; every test study is later than every training study" if by_time else f"; the split is by {subject.config.split.by}"
    )
    unread = [one.name for one in found if not one.judged]
    return Finding("pass", said + (f"; no time is known of {', '.join(unread)}" if unread else ""), measure, number)


def label_in_text(audited: Audited) -> Finding:
    """Tell whether notes give the label away: by its own words, by one word, or by all words."""
    return _telling(audited, ("own words", "one word", "all words"), "no input is a text")


def label_in_table(audited: Audited) -> Finding:
    """Tell whether one column gives the label away by itself."""
    return _telling(audited, ("column",), "no input is a table")


def label_in_missingness(audited: Audited) -> Finding:
    """Tell whether which inputs and cells are missing gives the label away."""
    return _telling(audited, ("missing",), "nothing is missing, or everything is, so that what is missing tells nothing")


LEAKING: dict[str, Callable[[Audited], Finding]] = {
    "overlap": overlap,
    "near_duplicates": near_duplicates,
    "time_order": time_order,
    "label_in_text": label_in_text,
    "label_in_table": label_in_table,
    "label_in_missingness": label_in_missingness,
}


def strongest(found: Sequence[Leak]) -> Estimate | None:
    """Give the AUROC of what tells most; its interval, of one side as the limits of leaks are, is drawn to both."""
    known = [one.association for one in found if one.association is not None]
    if not known:
        return None
    most = max(known, key=lambda one: one.low)
    return Estimate(most.auroc, most.low, min(1.0, 2 * most.auroc - most.low), most.studies, most.patients, 0)


def _telling(audited: Audited, checks: tuple[str, ...], nothing: str) -> Finding:
    found = _of(audited, *checks)
    if not found:
        return not_applicable(nothing)
    number, measure = strongest(found), "AUROC for the label of what tells most (90 % interval)"
    leaking = [one for one in found if one.leaks]
    before = "" if audited.subject.own else RECORDED
    if leaking:
        failed = Finding("fail", before + "; ".join(f"{one.name}: {one.found}" for one in leaking), measure, number)
        return _waived_in_training(audited, failed, leaking)
    judged = [one for one in found if one.judged]
    if not judged:
        had = min(len(np.unique(audited.subject.test.scores.patient)), LEAST_PATIENTS - 1)
        return not_enough(f"{before}fewer than {LEAST_PATIENTS} patients of either side of the label", had, LEAST_PATIENTS)
    most = max(judged, key=lambda one: one.association.low if one.association else 0.0)
    said = f"{before}{most.name} tells most of {len(judged)} looked at: {most.found}; none beyond the limit of a leak"
    return Finding("pass", said, measure, number)


def _of(audited: Audited, *checks: str) -> list[Leak]:
    return [one for one in audited.leaks if one.check in checks]


def _kind(one: Leak) -> str:
    return one.name.rpartition(".")[2]


def _names(found: Sequence[Leak]) -> str:
    return ", ".join(one.name for one in found)


def _paired(found: Sequence[Leak], rows: Array) -> Array:
    """Tell which of some studies share something with one of another side."""
    return np.isin(rows, sorted({i for one in found for pair in one.pairs for i in pair}))


def _waived_in_training(audited: Audited, failed: Finding, leaking: Sequence[Leak]) -> Finding:
    """Let pass what the training let pass by name: its reasons stand in the run file, under leakage.waive."""
    reasons = audited.subject.config.leakage.waive if audited.subject.own else _recorded_reasons(audited)
    if leaking and all(one.name in reasons for one in leaking):
        return failed.waive("; ".join(dict.fromkeys(reasons[one.name] for one in leaking)))
    return failed


def _recorded_reasons(audited: Audited) -> dict[str, str]:
    return dict(audited.subject.package.facts.get("proof", {}).get("waived", {}))
