"""What rows of results say, as entries of a worklist, and how to read them, in words of the reading room.

A package may come from elsewhere: of what its card says only numbers are believed to be numbers.
"""

import math
from collections.abc import Mapping, Sequence

from medmm.doubts import ABSTAIN, SEPARATOR, WHY
from medmm.evaluation.answers import CONTRIBUTION_FOR, PREFIXES
from medmm.evaluation.conformal import questions
from medmm.evaluation.grades import GRADE
from medmm.package import Package
from medmm.preview.worklist_entries import Entry, Line, Refused
from medmm.rules.trace import MESSAGES
from medmm.scoring.sinks.base import Row
from medmm.types import CLASS_TASKS

MOST_LINES = 5
"""Answers that are told of one study."""

MOST_NAMED = 6
"""Names in a sentence."""

MOST_KEPT = 1_000
"""Letters of a text that are kept until the page is written."""

NO_VALUE = "–"
"""Of a row without the answer."""

EXPECTED, FOUND = ", expected ", ": "
"""What the parts of a reason are told apart by; see `medmm.errors.Rejected`."""


def risk_of(row: Row, package: Package) -> float:
    """Give what the worklist is sorted by, the highest first.

    Of classes that exclude each other it is the probability of all but the first; of others the distance to the threshold, for
    the class where it is largest; of grades the sum of the probabilities that each is reached; else the value, or the risk by
    the last horizon.
    """
    values = [_number(row.get(_column(package, name))) for name in package.target.names]
    known = [-math.inf if value is None else value for value in values]
    match package.target.task:
        case "multiclass":
            return -math.inf if values[0] is None else 1.0 - values[0]
        case "multilabel":
            return max(value - limit for value, limit in zip(known, package.thresholds, strict=True))
        case "ordinal":
            return sum(known)
        case _:
            return known[-1]


def entry_of(row: Row, package: Package) -> Entry:
    """Give the entry of a row of `scores`."""
    lines = _lines(row, package)
    inputs = _texts(row.get("inputs"))
    adds = tuple(
        (name, _number(row[f"contribution_{name}"])) for name in sorted(package.inputs) if f"contribution_{name}" in row
    )
    known = any(value is not None for _, value in adds)
    return Entry(
        patient=_text(row.get("patient_id")),
        study=_text(row.get("study_id")),
        lines=tuple(lines[:MOST_LINES]),
        more=max(0, len(lines) - MOST_LINES),
        abstains=row.get(ABSTAIN) is True,
        why=tuple(filter(None, _text(row.get(WHY)).split(SEPARATOR))),
        remaining=_remaining(row, package),
        inputs=inputs,
        absent=tuple(name for name in sorted(package.inputs) if name not in inputs),
        adds=adds if known else (),
        adds_for=_text(row.get(CONTRIBUTION_FOR)) or package.target.names[-1],
        alerts=tuple(text for column in MESSAGES for text in _texts(row.get(column))),
    )


def refused_of(row: Row) -> Refused:
    """Give the entry of a row of `rejected`, with the repair told apart from the reason."""
    code = _text(row.get("code"))
    reason, _, rest = _text(row.get("reason")).removeprefix(f"{code}: ").partition(EXPECTED)
    expected, _, repair = rest.partition(FOUND)
    number = row.get("row")
    return Refused(
        _text(row.get("patient_id")),
        _text(row.get("study_id")),
        number if isinstance(number, int) else 0,
        code,
        f"{reason}{EXPECTED}{expected}" if expected else reason,
        repair,
    )


def how_to_read(package: Package) -> list[str]:
    """Say what the page is sorted by, when a class is said, how common it was, and how good the model was, each with its n."""
    return [
        _sorting(package),
        *_thresholds(package),
        *_base_rates(package),
        *_quality(package),
        *_sets(package),
        "A study with no answer to rely on keeps its place, but is to be read as if there were no model: why stands beside it.",
        "What an input adds speaks for the answer (orange, above 0) or against it (blue, below 0). It says what the answer "
        "rests on, not what the patient has.",
        "Pictures are small and for finding the study again, not for a diagnosis. What is burned into their pixels is "
        "shown as it is.",
    ]


def share(value: float) -> str:
    """Write a probability as a percentage; none is told to be certain."""
    return f"{100 * value:.1f} %" if 0.001 <= value <= 0.999 else ("< 0.1 %" if value < 0.5 else "> 99.9 %")


def _lines(row: Row, package: Package) -> list[Line]:
    """Give the answers, first the one that is said, or is farthest above its threshold."""
    target = package.target
    if target.task == "regression":
        (name,) = target.names
        value = _number(row.get(_column(package, name)))
        return [Line(name, NO_VALUE if value is None else f"{value:.4g} {target.unit}".strip())]
    limits = package.thresholds or (None,) * len(target.names)
    lines = []
    for name, limit in zip(target.names, limits, strict=True):
        value = _number(row.get(_column(package, name)))
        decided = row.get(f"decision_{name}")
        shown = NO_VALUE if value is None else share(value)
        lines.append(Line(name, shown, value, limit, decided if isinstance(decided, bool) else None))
    if target.task == "survival":
        return lines[::-1]
    if target.task == "ordinal":
        reached = [line for line in lines if line.decided]
        first = reached[-1] if reached else lines[0]
        grade = Line(f"grade {_text(row.get(GRADE))}", first.value, first.share, first.threshold, first.decided)
        return [grade, *(line for line in lines if line is not first)]
    return sorted(lines, key=lambda line: (not line.decided, (line.threshold or 0.0) - (line.share or 0.0)))


def _remaining(row: Row, package: Package) -> str:
    """Say what the conformal set holds."""
    target = package.target
    if target.task == "regression":
        low, high = (_number(row.get(f"set_{end}")) for end in ("low", "high"))
        ends = ["no limit" if one is None else f"{one:.4g}" for one in (low, high)]
        return f"{ends[0]} to {ends[1]} {target.unit}".strip() if "set_low" in row else ""
    if target.task not in CLASS_TASKS:
        return ""
    told = []
    for name, options in questions(target):
        if f"set_{options[0]}" not in row:
            continue
        left = [one for one in options if row.get(f"set_{one}") is True]
        shown = " or ".join(
            one.replace("has_", "", 1).replace("not_", "no ", 1) if name in target.names else one for one in left
        )
        told.append(shown or f"nothing fits{f' for {name}' if len(target.names) > 1 else ''}")
    return "; ".join(told[:MOST_LINES]) + (f"; and {len(told) - MOST_LINES} more" if len(told) > MOST_LINES else "")


def _sorting(package: Package) -> str:
    target = package.target
    if target.task == "multilabel":
        return "Sorted by the finding that lies farthest above its threshold, or comes nearest to it."
    said = {
        "binary": f"the probability of {target.names[-1]}",
        "multiclass": f"the probability of anything but {target.names[0]}, which the run names first",
        "ordinal": "the grade that is to be expected",
        "regression": f"the value of {target.names[-1]}; the page does not know whether a high one is bad",
        "survival": f"the risk of {target.names[-1]}",
    }
    return f"Sorted by {said[target.task]}, the highest first."


def _thresholds(package: Package) -> list[str]:
    pairs = list(zip(package.target.names, package.thresholds, strict=False))
    if not pairs:
        return ["The likeliest class is said; there is no threshold."] if package.target.task == "multiclass" else []
    said = ", ".join(f"{name} from {share(limit)} on" for name, limit in pairs[:MOST_NAMED])
    more = f", and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    return [
        f"The model says {said}{more}. The mark across a bar shows the limit, which was chosen on studies apart "
        "from those that it was tested on."
    ]


def _base_rates(package: Package) -> list[str]:
    """Say how common each class was among the test studies, or those that the model learned from."""
    parts = _under(_under(package.facts, "proof"), "parts")
    for part, what in (("test", "it was tested on"), ("train", "it learned from")):
        studies = _number(_under(parts, part).get("studies"))
        counts = _under(_under(parts, part), "studies_of_class")
        known = [(name, _number(counts.get(name))) for name in package.target.names]
        told = [f"{count:,.0f} ({share(count / studies)}) had {name}" for name, count in known if count is not None and studies]
        if told:
            return [
                f"Of the {studies:,.0f} studies that {what}, {'; '.join(told[:MOST_NAMED])}. Where that is rarer than it was "
                "there, more of the studies that are said to have it do not."
            ]
    return []


def _quality(package: Package) -> list[str]:
    """Give the area under the ROC curve, in words, with its interval and n."""
    facts = package.facts if isinstance(package.facts, Mapping) else {}
    results = facts.get("results")
    told = []
    for one in results if isinstance(results, list) else []:
        if not isinstance(one, Mapping) or one.get("metric") != "auroc" or one.get("class") not in package.target.names:
            continue
        value, low, high, studies, patients = (
            _number(one.get(name)) for name in ("value", "low", "high", "studies", "patients")
        )
        if value is None or low is None or high is None or studies is None or patients is None:
            continue
        told.append(
            f"Of a study with {one['class']} and one without, it gave the first the higher probability in {share(value)} of "
            f"pairs (95 % interval {share(low)} to {share(high)}; {studies:,.0f} test studies of {patients:,.0f} patients)."
        )
    return told[:MOST_LINES]


def _sets(package: Package) -> list[str]:
    sets = package.references.conformal if package.references is not None else None
    if sets is None:
        return []
    return [
        f"Still possible is what is not ruled out. It holds the truth for at least {share(sets.level)} of studies like those "
        f"it was made from ({sets.studies:,} of {sets.patients:,} patients)."
    ]


def _column(package: Package, name: str) -> str:
    return f"{PREFIXES.get(package.target.task, 'probability')}_{name}"


def _under(plain: object, name: str) -> Mapping[str, object]:
    found = plain.get(name) if isinstance(plain, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _text(value: object) -> str:
    return value[:MOST_KEPT] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one)[:MOST_KEPT] for one in value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
