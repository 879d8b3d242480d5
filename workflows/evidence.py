"""Everything that an evaluation found about a model, in one place, and what it says of itself: verdicts and limits."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medmm.cohort.flow import Flow
from medmm.cohort.table_one import TableOne
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.results import Evaluation
from medmm.evaluation.yardstick import YARDSTICKS, Yardstick

from .characteristics import flow_of, table_one
from .subject import Subject

BRIEF, FLOW, TABLE_ONE, RESULTS, LIMITS, CHECKLISTS, MADE = (
    "brief",
    "flow",
    "table-1",
    "results",
    "limits",
    "checklists",
    "made",
)
"""Anchors of the parts of a report that are no chapters."""

WIDE = 0.2
"""An interval of the headline that is wider leaves open whether a model is good or poor."""

INTERVAL = re.compile(r"\[-?[+−]?\d|interval")
SENTENCE = re.compile(r"(?<=[^.])\.\s+(?=[A-Z])")

NOT_ENOUGH = "not enough data"
LEARNED_FROM, OF_NO_PART = "patient the model learned from", "in no part of the split"


@dataclass(frozen=True)
class Evidence:
    """What was found.

    Attributes:
        subject: The model and the studies.
        evaluation: Metrics with intervals, of the answers after the rules.
        chapters: The parts of the evidence.
        flow: Who is in, and who is not.
        table_one: Who they are.
        date: When, as 2026-01-31.
    """

    subject: Subject
    evaluation: Evaluation
    chapters: tuple[Chapter, ...]
    flow: Flow
    table_one: TableOne
    date: str

    @property
    def yardstick(self) -> Yardstick:
        """By which the model is judged."""
        return YARDSTICKS[self.subject.package.target.task]

    def chapter(self, name: str) -> Chapter | None:
        """Give the chapter of this name where it holds a number, a table or a figure."""
        found = next((one for one in self.chapters if one.name == name), None)
        return found if found is not None and (found.measures or found.tables or found.figures) else None


@dataclass(frozen=True)
class Verdict:
    """What a reader should take away.

    Attributes:
        word: In a word or two.
        tone: `good`, `open`, `bad` or `neutral`.
        said: In a sentence.
        anchor: Of the part of the report that shows it.
    """

    word: str
    tone: str
    said: str
    anchor: str


def gather(subject: Subject, evaluation: Evaluation, chapters: Sequence[Chapter], date: str) -> Evidence:
    """Put everything that was found in one place."""
    parts = {int(i): part for part, said in subject.parts.items() for i in said.rows}
    sides = parts if subject.own else dict.fromkeys(parts, "")  # of another cohort, nothing learned: its labels may be told
    why = OF_NO_PART if subject.own else LEARNED_FROM
    left_out = {**{i: why for i in range(len(subject.studies)) if i not in sides}, **subject.left_out}
    flow = flow_of(subject.studies, left_out, sides)
    return Evidence(subject, evaluation, tuple(chapters), flow, table_one(subject.config, subject.studies, sides), date)


def with_n(estimate: Estimate) -> str:
    """Give a number with its interval and what it rests on."""
    if estimate.value != estimate.value:
        return f"not defined for {_people(estimate)}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] ({_people(estimate)})"


def _people(estimate: Estimate) -> str:
    return f"{estimate.studies:,} studies of {estimate.patients:,} patients"


def finding(chapter: Chapter) -> str:
    """Give the sentence of a chapter that holds what was found: the first with an interval, else the first."""
    told = next((one for one in chapter.says if INTERVAL.search(one)), next(iter(chapter.says), ""))
    return SENTENCE.split(told, maxsplit=1)[0].rstrip(".") + "." if told else ""


def verdicts(evidence: Evidence) -> list[Verdict]:
    """Say what a reader should take away, each in a word and a sentence with its number."""
    box = [*_of_the_number(evidence), *_of_calibration(evidence), _of_the_cohort(evidence), *_of_leaks(evidence)]
    return [*box, *_of_the_audit(evidence)]


def _of_the_audit(evidence: Evidence) -> Iterator[Verdict]:
    """Say whether a check failed, where there was an audit."""
    chapter = evidence.chapter("audit")
    if chapter is None:
        return
    said = chapter.tables["checks"]["verdict"].tolist()
    failed, unjudged = said.count("fail"), said.count("not enough data")
    word = {0: "no check fails", 1: "a check fails"}.get(failed, f"{failed} checks fail")
    tone = "bad" if failed else "open" if unjudged else "good"
    yield Verdict(word, tone, f"{chapter.says[0].rstrip('.')}.", "audit")


def _of_the_number(evidence: Evidence) -> Iterator[Verdict]:
    yardstick, found = evidence.yardstick, evidence.evaluation.headline
    chance = f"{yardstick.nothing:g}, which a model without knowledge reaches"
    if not found.low == found.low:  # noqa: SIM201 - NaN
        yield Verdict("not judged", "open", f"{yardstick.label} is {with_n(found)}.", RESULTS)
        return
    text = f"{yardstick.label} {with_n(found)}"
    if found.low > yardstick.nothing:
        yield Verdict("better than chance", "good", f"{text}: the whole interval lies above {chance}.", RESULTS)
    elif found.high < yardstick.nothing:
        yield Verdict("worse than chance", "bad", f"{text}: the whole interval lies below {chance}.", RESULTS)
    else:
        yield Verdict("not shown", "bad", f"{text}: the interval holds {chance}.", RESULTS)
    width = found.high - found.low
    if width > WIDE:
        yield Verdict("imprecise", "open", f"The interval is {width:.3f} wide: more patients would tell more.", RESULTS)


def _of_calibration(evidence: Evidence) -> Iterator[Verdict]:
    """Say whether probabilities can be taken at their word, where a chapter tells slope and calibration in the large."""
    chapter = evidence.chapter("calibration")
    if chapter is None or not {"slope", "in_the_large"} <= set(chapter.measures):
        return
    found = [(chapter.measures["slope"], 1.0), (chapter.measures["in_the_large"], 0.0)]
    if any(one.low != one.low for one, _ in found):
        return
    holds = all(one.low <= perfect <= one.high for one, perfect in found)
    slope, level = (f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one, _ in found)
    text = f"Calibration slope {slope}, where 1 is perfect, and in the large {level}, where 0 is ({_people(found[0][0])}): "
    if holds:
        yield Verdict("no miscalibration seen", "good", f"{text}both intervals hold what is perfect.", anchor_of(chapter))
    else:
        yield Verdict("miscalibrated", "bad", f"{text}an interval leaves it out.", anchor_of(chapter))


def _of_the_cohort(evidence: Evidence) -> Verdict:
    if evidence.subject.own:
        said = "Judged on test patients of the cohort that it was trained on, none of whom it learned from; on no other cohort."
        return Verdict("internal test", "open", said, FLOW)
    known = evidence.subject.learned_from
    said = (
        f"Judged on another cohort than that of its training; {known:,} studies of patients it had learned from were left out."
    )
    return Verdict("another cohort", "good", said, FLOW)


def _of_leaks(evidence: Evidence) -> Iterator[Verdict]:
    proof = evidence.subject.package.facts.get("proof", {})
    checks = proof.get("checks", [])
    if not checks:
        yield Verdict("not checked", "bad", "The package does not tell of any leakage check of its training.", LIMITS)
        return
    let_pass = proof.get("waived", {})
    if let_pass:
        names = ", ".join(str(name) for name in let_pass)
        yield Verdict("leak waived", "bad", f"A leak of the label was found and let pass: {names}.", LIMITS)
    else:
        said = f"{len(checks)} checks of the training's split for leaks of the label let none pass."
        yield Verdict("no leak found", "good", said, MADE)


def limits(evidence: Evidence) -> list[str]:
    """Say what was not done, what could not be judged, and what was let pass; from what the run knows of itself."""
    subject = evidence.subject
    facts = subject.package.facts
    said = [
        "Research software, not a medical device. The model was asked about studies that were there already: nobody has used "
        "it in the care of a patient, and what it would change there is not known.",
        f"The truth is what stands in the studies table ({', '.join(subject.package.target.columns)}). How it was found, by "
        "whom, and whether they knew what the inputs show, is not known to the run.",
    ]
    if subject.own:
        said.append("No other hospital, scanner or time was asked: how the model does elsewhere is not known.")
    out = len(subject.left_out)
    if out:
        said.append(
            f"{out:,} of {len(subject.studies):,} studies could not be used ({out / len(subject.studies):.0%}); the flow of "
            "patients says why. Whether the model would do as well on them is not known."
        )
    said += [
        f"A leak of the label was let pass: {name}, for: {why}"
        for name, why in facts.get("proof", {}).get("waived", {}).items()
    ]
    unjudged = [one for one in facts.get("proof", {}).get("checks", []) if one.get("verdict") == "not judged"]
    if unjudged:
        said.append(f"{len(unjudged)} leakage checks of the training could not judge.")
    said += [
        f"{result.metric} of {result.class_name}: {result.note}."
        for result in evidence.evaluation.results
        if result.note and result.metric != "prevalence"
    ]
    for one in evidence.chapters:
        if not (one.measures or one.tables or one.figures):
            said.append(f"{one.title}: {' '.join(one.says)}")
            continue
        said += [f"{one.title}: {sentence}" for sentence in one.says if NOT_ENOUGH in sentence.lower()]
        few = sum(_lacks(row) for table in one.tables.values() for row in table.itertuples(index=False))
        if few:
            said.append(
                f"{one.title}: {few} {'row' if few == 1 else 'rows'} of its tables rest on too little data to be given."
            )
    return said


def _lacks(row: tuple[object, ...]) -> bool:
    return any(isinstance(cell, str) and NOT_ENOUGH in cell.lower() for cell in row)


def anchor_of(chapter: Chapter) -> str:
    """Give the anchor of a chapter."""
    return "chapter-" + re.sub(r"[^A-Za-z0-9_-]", "-", chapter.name)
