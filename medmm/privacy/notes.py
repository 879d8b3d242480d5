"""A note without identifiers: what is known of its patient and what looks like one struck, dates moved, all looked at again."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from medmm.privacy.cues import cue_spans
from medmm.privacy.detector import LONGEST, Trip, find_trip
from medmm.privacy.folded import Folded, Span, fold, replaced
from medmm.privacy.known import KnownValues
from medmm.privacy.patterns import YEARS, pattern_spans
from medmm.privacy.struck import DATE, Known, find_numbers
from medmm.privacy.written_dates import find_dates

MID_YEAR = (7, 1)
"""Month and day that stand for a year alone."""


@dataclass(frozen=True)
class Cohort:
    """What is known of all patients.

    Attributes:
        numbers: Identifiers of anybody, in lower case, that no word or small number is.
        names: Pairs of parts of one person's name, in lower case, in the order of the alphabet.
    """

    numbers: Mapping[str, object] = field(default_factory=dict)
    names: Collection[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Cleaned:
    """A note, cleaned.

    Attributes:
        text: Without what was found; not to be shown where `trip` says why.
        struck: Pieces that were replaced.
        shifted: Dates that were moved.
        trip: Why the note stays behind; None where it need not.
    """

    text: str
    struck: int = 0
    shifted: int = 0
    trip: Trip | None = None


def clean_note(text: str, known: Known, days: int | None, cohort: Cohort | None = None) -> Cleaned:
    """Take the identifiers out of a note.

    Args:
        text: The note.
        known: What is known of its patient.
        days: By how many days the patient's dates move; None where nobody knows whose the note is.
        cohort: What is known of all.
    """
    if not text.strip():
        return Cleaned(text)
    if days is None:
        return Cleaned("", trip=Trip.NOBODY)
    if len(text) > LONGEST:
        return Cleaned("", trip=Trip.LONG)
    cohort = cohort or Cohort()
    new, masked, struck, shifted = struck_text(text, known, days, cohort)
    trip = find_trip(masked, known, cohort.names)
    return Cleaned(new, struck, shifted, trip)


def struck_text(text: str, known: Known, days: int, cohort: Cohort) -> tuple[str, str, int, int]:
    """Strike and move; give what `replaced` gives."""
    folded = fold(text)
    return replaced(text, _spans(text, folded, known, days, cohort))


def _spans(text: str, folded: Folded, known: Known, days: int, cohort: Cohort) -> Iterator[Span]:
    yield from known.spans(folded)
    if "-\n" in text or "-\r" in text:
        yield from known.spans(fold(text, joined=True))
    yield from find_numbers(folded, cohort.numbers)
    moved = bytearray(len(text))
    for span in _date_spans(folded, known.values, days):
        if span.end - span.start > len("2024"):
            moved[span.start : span.end] = b"\1" * (span.end - span.start)
        yield span
    for span in pattern_spans(folded):
        within = moved[span.start : span.end]
        if not (any(within) if span.instead == DATE else all(within)):  # the 5th of March of a whole date moves with it
            yield span
    yield from cue_spans(folded)


def _date_spans(folded: Folded, values: KnownValues, days: int) -> Iterator[Span]:
    """Move dates, strike dates of birth, and move years that stand alone."""
    for written in find_dates(folded.plain):
        moved = written.moved(folded.plain, days)
        born = written.day is not None and written.day.isoformat() in values.birth_dates
        if moved is None or born:
            yield folded.span(written.start, written.end, DATE)
        else:
            yield folded.span(written.start, written.end, moved, moved=True)
    for match in YEARS.finditer(folded.plain):
        group = "y" if match["y"] else "z"
        year = (date(int(match[group]), *MID_YEAR) + timedelta(days=days)).year
        yield folded.span(*match.span(group), str(year), moved=True)
