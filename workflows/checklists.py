"""Filled tables of reporting guidelines: what the run can answer, with a number and a link; the rest is open for a human."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from medmm import __version__
from medmm.evaluation.checklists import CHECKLISTS, Checklist
from medmm.preview.cohort_page import APART
from medmm.preview.report_page import Link, Sheet, Tag
from medmm.types import CLASS_TASKS

from .evidence import FLOW, LIMITS, MADE, RESULTS, TABLE_ONE, Evidence, anchor_of, finding, limits, with_n

CENTRES = frozenset({"site", "centre", "center", "hospital"})
"""Subgroup columns that tell one hospital from another."""

OPEN = "a human must write this"
ANSWERED, PARTLY, UNANSWERED = "answered", "partly", "open"
TONES = {ANSWERED: "good", PARTLY: "open", UNANSWERED: "neutral"}


@dataclass(frozen=True)
class Answer:
    """What the run can say to an item.

    Attributes:
        text: With its number.
        anchor: Of the part of the report that shows it.
    """

    text: str
    anchor: str


@dataclass(frozen=True)
class Filled:
    """An item with what stands beside it.

    Attributes:
        number, topic: Of the item.
        state: `answered`, `partly` (a human must add to it) or `open`.
        text: The answer, or what a human must write.
        anchor: Of the part of the report that shows it; "" where it is open.
    """

    number: str
    topic: str
    state: str
    text: str
    anchor: str


Give: TypeAlias = Callable[[Evidence], Answer | None]


def fill(checklist: Checklist, evidence: Evidence) -> list[Filled]:
    """Fill a table."""
    filled = []
    for item in checklist.items:
        answer = ANSWERS[item.answer](evidence) if item.answer else None
        if answer is None:
            filled.append(Filled(item.number, item.topic, UNANSWERED, OPEN, ""))
        else:
            text = answer.text.rstrip(".") + "." + (f" Open: {item.remains}." if item.remains else "")
            filled.append(Filled(item.number, item.topic, PARTLY if item.remains else ANSWERED, text, answer.anchor))
    return filled


def checklist_table(checklist: Checklist, evidence: Evidence, page: str) -> pd.DataFrame:
    """Give a filled table with a row an item; links lead into the report."""
    rows = [
        {
            "item": one.number,
            "topic": one.topic,
            "state": one.state,
            "answer": one.text,
            "shown_in": f"{page}#{one.anchor}" if one.anchor else "",
        }
        for one in fill(checklist, evidence)
    ]
    return pd.DataFrame(rows)


def checklist_markdown(checklist: Checklist, evidence: Evidence, page: str) -> str:
    """Give a filled table in Markdown."""
    lines = [f"# {checklist.title}", "", f"Source: {checklist.source}.", *([checklist.note] if checklist.note else []), ""]
    lines += ["| item | topic | state | answer | shown in |", "| --- | --- | --- | --- | --- |"]
    for one in fill(checklist, evidence):
        link = f"[report]({page}#{one.anchor})" if one.anchor else ""
        lines.append(f"| {one.number} | {one.topic} | {one.state} | {in_a_cell(one.text)} | {link} |")
    return "\n".join(lines) + "\n"


def in_a_cell(text: str) -> str:
    """Give a text that Markdown shows as it is, in one cell of a table."""
    shown = "".join(one if one.isprintable() else " " for one in text)
    for sign in "\\`*_{}[]<>|#~$&!":
        shown = shown.replace(sign, f"\\{sign}" if sign not in "<>&" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}[sign])
    return shown


def checklist_sheets(evidence: Evidence) -> list[Sheet]:
    """Give the filled tables for the report."""
    sheets = []
    for one in CHECKLISTS:
        rows = [
            (
                item.number,
                item.topic,
                Tag(item.state, TONES[item.state]),
                item.text,
                Link("shown", item.anchor) if item.anchor else None,
            )
            for item in fill(one, evidence)
        ]
        note = f"{one.source}. {one.note}".strip()
        sheets.append(
            Sheet(
                f"{one.title}: {_counts(one, evidence)}",
                ("item", "topic", "state", "answer", ""),
                rows,
                note=note,
                printed=True,
            )
        )
    return sheets


def counted(evidence: Evidence) -> str:
    """Say how much of each guideline is answered."""
    return "; ".join(f"{one.title}: {_counts(one, evidence)}" for one in CHECKLISTS) + "."


def _counts(one: Checklist, evidence: Evidence) -> str:
    states = [item.state for item in fill(one, evidence)]
    return ", ".join(f"{states.count(state)} {state}" for state in (ANSWERED, PARTLY, UNANSWERED))


def _of_chapter(*words: str) -> Give:
    """Answer by the first chapter with a number whose name holds one of the words: by its finding."""

    def give(evidence: Evidence) -> Answer | None:
        for word in words:
            for one in evidence.chapters:
                found = evidence.chapter(one.name) if word in one.name else None
                if found is not None and found.says:
                    return Answer(finding(found), anchor_of(found))
        return None

    return give


def _predicts(evidence: Evidence) -> Answer:
    target, inputs = evidence.subject.package.target, sorted(evidence.subject.package.inputs)
    return Answer(f"Predicts {' or '.join(target.names)} ({target.task}) from {', '.join(inputs)}", MADE)


def _aim(evidence: Evidence) -> Answer:
    what = "development, with an internal test" if evidence.subject.own else "evaluation of a finished model on another cohort"
    return Answer(f"The run is the {what}", FLOW)


def _source(evidence: Evidence) -> Answer:
    first = evidence.flow.steps[0].there
    digest = evidence.subject.manifest.digest[:16]
    return Answer(f"One table of {first.studies:,} studies of {first.patients:,} patients, digest {digest}", FLOW)


def _dates(evidence: Evidence) -> Answer | None:
    subject = evidence.subject
    years = [subject.studies[i].time.year for said in subject.parts.values() for i in said.rows if subject.studies[i].time]
    return Answer(f"Studies of the years {min(years)} to {max(years)}", FLOW) if years else None


def _centres(evidence: Evidence) -> Answer | None:
    groups = evidence.subject.test.scores.groups
    found = [(name, len(np.unique(values))) for name, values in groups.items() if name.lower() in CENTRES]
    return Answer(f"{found[0][1]} values of {found[0][0]} among the test studies", TABLE_ONE) if found else None


def _clusters(evidence: Evidence) -> Answer | None:
    """Answer by what the chapter on subgroups says of a column of centres."""
    columns = [name for name in evidence.subject.test.scores.groups if name.lower() in CENTRES]
    return _telling(evidence, "subgroups", [f"{name}: " for name in columns])


def _failures(evidence: Evidence) -> Answer | None:
    """Answer by what the chapter of examples says of wrong answers."""
    return _telling(evidence, "examples", ["Wrong"])


def _telling(evidence: Evidence, name: str, beginnings: list[str]) -> Answer | None:
    """Answer by the sentences of a chapter that begin so."""
    chapter = evidence.chapter(name)
    if chapter is None:
        return None
    told = [one for one in chapter.says if one.startswith(tuple(beginnings))]
    return Answer(" ".join(told), anchor_of(chapter)) if told else None


def _flow_and_outcome(evidence: Evidence) -> Answer:
    flow, events = _flow(evidence), _events(evidence)
    return Answer(f"{flow.text}. {events.text}" if events else flow.text, FLOW)


def _performance_in_groups(evidence: Evidence) -> Answer:
    whole, groups = _performance(evidence), _of_chapter("subgroup")(evidence)
    return Answer(f"{whole.text}. {groups.text if groups else 'No subgroup is told'}", groups.anchor if groups else RESULTS)


def _flow(evidence: Evidence) -> Answer:
    first, last = evidence.flow.steps[0].there, evidence.flow.steps[-1].there
    return Answer(
        f"{last.studies:,} of {first.studies:,} studies ({last.patients:,} of {first.patients:,} patients) are in use; each "
        "reason for leaving one out is counted",
        FLOW,
    )


def _preparation(evidence: Evidence) -> Answer:
    inputs = evidence.subject.package.inputs
    said = ", ".join(f"{name} ({one.settings.kind}, {one.settings.encoder.name})" for name, one in sorted(inputs.items()))
    return Answer(f"Fitted on training studies only, and kept in the package: {said}", MADE)


def _truth(evidence: Evidence) -> Answer:
    target = evidence.subject.package.target
    return Answer(
        f"Column {', '.join(target.columns)}: {', '.join(target.names)}{f' in {target.unit}' if target.unit else ''}", FLOW
    )


def _inputs(evidence: Evidence) -> Answer:
    kinds = [f"{name} ({one.settings.kind})" for name, one in sorted(evidence.subject.package.inputs.items())]
    return Answer(
        f"{len(kinds)} inputs: {', '.join(kinds)}; nothing recorded after the study is read where it has a time", TABLE_ONE
    )


def _sample_size(evidence: Evidence) -> Answer:
    found = evidence.evaluation.headline
    own = _of_chapter("sample")(evidence)
    return own or Answer(f"{evidence.yardstick.label} {with_n(found)}: an interval {found.high - found.low:.3f} wide", RESULTS)


def _missing(evidence: Evidence) -> Answer:
    said = evidence.subject.test
    shares = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(evidence.subject.inputs, said.present.mean(axis=0), strict=True)
    )
    about = _of_chapter("missing", "subset")(evidence)
    text = f"An absent input is never filled in. Present in test studies: {shares}"
    return Answer(text if about is None else f"{text}. {about.text}", TABLE_ONE if about is None else about.anchor)


def _partition(evidence: Evidence) -> Answer | None:
    facts = evidence.subject.package.facts
    split, cohort = facts.get("proof", {}).get("split", {}), facts.get("cohort", {})
    if not cohort:
        return None
    parts = ", ".join(f"{part} {one['studies']:,} studies of {one['patients']:,} patients" for part, one in cohort.items())
    return Answer(f"Split by {split.get('by', 'patient')}: {parts}", FLOW)


def _disjoint(evidence: Evidence) -> Answer | None:
    shared = evidence.subject.package.facts.get("proof", {}).get("patients_on_two_sides")
    return None if shared is None else Answer(f"By patient: {shared} patients stand on two sides", MADE)


def _model(evidence: Evidence) -> Answer:
    package = evidence.subject.package
    weights = sum(one.numel() for one in package.model.parameters())
    return Answer(
        f"Fusion {package.model_settings.fusion.name} of {len(package.inputs)} inputs, width {package.model_settings.width}, "
        f"{weights:,} weights",
        MADE,
    )


def _training(evidence: Evidence) -> Answer | None:
    if not evidence.subject.own:
        return None  # the run file at hand need not be that of the training
    one = evidence.subject.config.training
    return Answer(
        f"Strategy {one.strategy.name}, at most {one.epochs} epochs, batches of {one.batch_size}, learning rate "
        f"{one.learning_rate:g}, seed {one.seed}",
        MADE,
    )


def _start(evidence: Evidence) -> Answer | None:
    init = evidence.subject.package.facts.get("init_digest")
    return Answer(f"Encoders of an earlier run, digest {init[:16]}", MADE) if init else None


def _selection(evidence: Evidence) -> Answer | None:
    if not evidence.subject.package.model.criterion.tempered:
        return None
    return Answer("The epoch, the temperature and the thresholds are those that the validation studies chose", MADE)


def _metrics(evidence: Evidence) -> Answer:
    names = list(dict.fromkeys(result.metric for result in evidence.evaluation.results))
    return Answer(f"{len(names)} measures: {', '.join(names)}, with figures", RESULTS)


def _uncertainty(evidence: Evidence) -> Answer:
    resamples = evidence.subject.config.evaluation.resamples
    return Answer(f"95 % intervals by drawing patients anew, {resamples:,} times (percentiles)", MADE)


def _performance(evidence: Evidence) -> Answer:
    return Answer(f"{evidence.yardstick.label} {with_n(evidence.evaluation.headline)}", RESULTS)


def _accuracy(evidence: Evidence) -> Answer | None:
    if evidence.subject.package.target.task not in CLASS_TASKS:
        return None
    found = [f"{name} {with_n(evidence.evaluation.pick(name))}" for name in ("sensitivity", "specificity")]
    return Answer(", ".join(found), RESULTS)


def _updating(evidence: Evidence) -> Answer | None:
    package = evidence.subject.package
    if not package.model.criterion.tempered:
        return None
    return Answer(f"Divided by a temperature of {package.temperature:.3f}, from validation studies; nothing since", MADE)


def _computing(evidence: Evidence) -> Answer:
    return Answer(
        f"By the commands score and evaluate of medmm {__version__} with package {evidence.subject.package.digest[:16]}", MADE
    )


def _imbalance(evidence: Evidence) -> Answer | None:
    proof = evidence.subject.package.facts.get("proof", {}).get("parts", {}).get("train")
    if not proof:
        return None
    counts = ", ".join(f"{count:,} of {name}" for name, count in proof["studies_of_class"].items())
    weighted = evidence.subject.package.model_settings.class_weight
    return Answer(f"Of {proof['studies']:,} training studies {counts}; class_weight is {weighted}", TABLE_ONE)


def _output(evidence: Evidence) -> Answer:
    package = evidence.subject.package
    thresholds = ", ".join(f"{name} {t:.3f}" for name, t in zip(package.target.names, package.thresholds, strict=False))
    what = "A probability" if package.target.task in CLASS_TASKS else "A number"
    return Answer(
        f"{what}; thresholds {thresholds}, chosen on validation studies" if thresholds else f"{what}; no threshold", RESULTS
    )


def _shift(evidence: Evidence) -> Answer | None:
    name = "test"
    rows = [row for row in evidence.table_one.rows if name in row.differences]
    if not rows:
        return None
    apart = sum(abs(row.differences[name]) >= APART for row in rows)
    return Answer(f"{apart} of {len(rows)} characteristics differ by {APART} standard deviations or more", TABLE_ONE)


def _table_one(evidence: Evidence) -> Answer:
    names = {row.name for row in evidence.table_one.rows if row.name}
    return Answer(f"{len(names)} characteristics by part and label, with what is missing", TABLE_ONE)


def _software(evidence: Evidence) -> Answer:
    return Answer(f"medmm {__version__}; all versions are listed", MADE)


def _package(evidence: Evidence) -> Answer:
    return Answer(f"The whole model is the package with digest {evidence.subject.package.digest[:16]}", MADE)


def _events(evidence: Evidence) -> Answer | None:
    if evidence.subject.package.target.task not in CLASS_TASKS:
        return None
    scores = evidence.subject.test.scores
    counts = ", ".join(
        f"{int(count):,} of {name}" for name, count in zip(scores.classes, scores.target.sum(axis=0), strict=True)
    )
    said = f"Of {len(scores.patient):,} test studies {counts}"
    for part, one in evidence.subject.package.facts.get("proof", {}).get("parts", {}).items():
        if part != "test":
            own = ", ".join(f"{count:,} of {name}" for name, count in one["studies_of_class"].items())
            said += f"; of {one['studies']:,} studies of {part} {own}"
    return Answer(said, RESULTS)


def _limits(evidence: Evidence) -> Answer:
    return Answer(f"{len(limits(evidence))} limits that the run knows of", LIMITS)


def _absent(evidence: Evidence) -> Answer:
    rejected = sum(one.studies for step in evidence.flow.steps for one in step.left if one.name.startswith("E_"))
    return Answer(f"An absent input counts as absent; {rejected:,} studies with unreadable data were left out by code", FLOW)


def _internal(evidence: Evidence) -> Answer | None:
    return _performance(evidence) if evidence.subject.own else None


def _external(evidence: Evidence) -> Answer | None:
    return None if evidence.subject.own else _performance(evidence)


def _blind(_: Evidence) -> Answer:
    return Answer("The model was asked by a program that did not hand it the truth", MADE)


def _crossed(evidence: Evidence) -> Answer | None:
    if evidence.subject.package.target.task not in CLASS_TASKS:
        return None
    return Answer("The figure of decisions against the truth", RESULTS)


ANSWERS: Mapping[str, Give] = {
    "absent": _absent,
    "accuracy": _accuracy,
    "aim": _aim,
    "blind": _blind,
    "calibration": _of_chapter("calibration"),
    "centres": _centres,
    "clusters": _clusters,
    "computing": _computing,
    "crossed": _crossed,
    "dates": _dates,
    "disjoint": _disjoint,
    "events": _events,
    "explanations": _of_chapter("expla", "importance", "attribution"),
    "external": _external,
    "failures": _failures,
    "fairness": _of_chapter("subgroup"),
    "flow": _flow,
    "flow_and_outcome": _flow_and_outcome,
    "imbalance": _imbalance,
    "indeterminate": _of_chapter("conformal", "abst", "coverage"),
    "inputs": _inputs,
    "internal": _internal,
    "limits": _limits,
    "metrics": _metrics,
    "missing": _missing,
    "model": _model,
    "output": _output,
    "package": _package,
    "partition": _partition,
    "performance": _performance,
    "performance_in_groups": _performance_in_groups,
    "predicts": _predicts,
    "preparation": _preparation,
    "robustness": _of_chapter("robust"),
    "sample_size": _sample_size,
    "selection": _selection,
    "shift": _shift,
    "software": _software,
    "source": _source,
    "start": _start,
    "table_one": _table_one,
    "training": _training,
    "truth": _truth,
    "uncertainty": _uncertainty,
    "updating": _updating,
}
"""Name -> what the run can answer; None where it cannot."""
