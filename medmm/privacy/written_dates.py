"""Dates as people write them: found in a text or a cell, and moved by a number of days in the form in which they stand.

A date that could be two days (03/04/2021) is read month first after a slash or dash and day first after a point, where
the other dates of its column or note do not tell; it is written back the same way, so that intervals stay as they would
be read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

NAMES = (
    "january januar janvier enero gennaio jan jaen janv ene gen",
    "february februar fevrier febrero febbraio feb febr fev",
    "march marz mars marzo marzo mar mrz maerz",
    "april april avril abril aprile apr avr abr",
    "may mai mai mayo maggio may mag",
    "june juni juin junio giugno jun giu",
    "july juli juillet julio luglio jul juil lug",
    "august august aout agosto agosto aug ago",
    "september september septembre septiembre settembre sep sept set",
    "october oktober octobre octubre ottobre oct okt ott",
    "november november novembre noviembre novembre nov",
    "december dezember decembre diciembre dicembre dec dez dic",
)
"""Of months, in plain letters: English, German, French, Spanish, Italian, then the short ones."""

MONTHS = {name: number for number, names in enumerate(NAMES, 1) for name in names.split()}
LONG = {number: names.split()[:5] for number, names in enumerate(NAMES, 1)}
SHORT = {number: names.split()[5:] for number, names in enumerate(NAMES, 1)}
WORD = "|".join(sorted(MONTHS, key=len, reverse=True))

PIVOT = 35
"""Two digits up to here are a year of this century."""

YEAR = r"(?:18[89]\d|19\d\d|20\d\d)"
GAP = r"[ \t]{0,3}"
BETWEEN = r"(?:[ \t.,]{0,3}|-|/)"
FORMS = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("iso", rf"(?<![\d.])(?P<y>{YEAR})(?P<s>[-/.]){GAP}(?P<m>\d{{1,2}})(?P=s){GAP}(?P<d>\d{{1,2}})(?!\d|[-/.]\d)"),
        (
            "compact",
            rf"(?<![\d.,])(?P<y>{YEAR})(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])(?!\d{{1,3}}(?!\d)|\d{{7}}|[.,]\d)",
        ),
        (
            "numbers",
            rf"(?<![\d.,/-])(?P<a>\d{{1,2}}){GAP}(?P<s>[-/.]){GAP}(?P<b>\d{{1,2}}){GAP}(?P=s){GAP}(?P<y>{YEAR}|\d\d)(?!\d|[-/]\d|\.\d)",
        ),
        (
            "day first",
            rf"(?<![\w.])(?P<d>\d{{1,2}})(?:st|nd|rd|th)?{BETWEEN}(?:(?:of|de|di){GAP})?(?P<m>{WORD})(?![a-z]){BETWEEN}"
            rf"(?:(?:of|de|del){GAP})?(?P<y>{YEAR}|'?\d\d)(?![\w])",
        ),
        (
            "month first",
            rf"(?<!\w)(?P<m>{WORD})(?![a-z]){BETWEEN}(?:the{GAP})?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?{BETWEEN}(?P<y>{YEAR}|'\d\d)(?!\w)",
        ),
        (
            "year first",
            rf"(?<![\w.])(?P<y>{YEAR}){BETWEEN}(?P<m>{WORD})(?![a-z]){BETWEEN}(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?!\w)",
        ),
        ("month", rf"(?<!\w)(?P<m>{WORD})(?![a-z]){BETWEEN}(?:of{GAP})?(?P<y>{YEAR})(?!\w)"),
        ("month number", rf"(?<![\w./-])(?P<m>0?[1-9]|1[0-2])(?P<s>[/.])(?P<y>{YEAR})(?![\d/]|\.\d)"),
        ("month dash", rf"(?<![\w./-])(?P<m>0[1-9])-(?P<y>{YEAR})(?![\w/-]|\.\d)"),
        ("month last", rf"(?<![\w./-])(?P<y>{YEAR})[-/](?P<m>0[1-9]|1[0-2])(?!\w|[-/.]\d|\s?(?:mg|ml|%))"),
    )
)


@dataclass(frozen=True)
class Written:
    """A date in a text.

    Attributes:
        start: Of its first character.
        end: After its last.
        day: Which it is; the 15th where only the month is said; None where it is none (2021-02-30).
        parts: Name -> (start, end) of year, month and day in the text.
        two_digits: Whether the year is told by two.
    """

    start: int
    end: int
    day: date | None
    parts: dict[str, tuple[int, int]]
    two_digits: bool

    def moved(self, text: str, days: int) -> str | None:
        """Write the date as it is written, so many days later; None where it is none."""
        if self.day is None:
            return None
        try:
            other = self.day + timedelta(days=days)
        except OverflowError:
            return None
        written = text[self.start : self.end]
        new = {"y": str(other.year % 100 if self.two_digits else other.year), "m": str(other.month), "d": str(other.day)}
        for name, (start, end) in sorted(self.parts.items(), key=lambda part: part[1], reverse=True):
            old = text[start:end]
            if name == "y" and self.two_digits:
                put = new["y"].zfill(2) if century(other.year % 100) == other.year else str(other.year)
            elif name == "m" and old.isalpha():
                put = _month_like(old, other.month, short="-" in text[end : end + 1])
            else:
                put = new[name].zfill(len(old)) if old.startswith("0") or len(old) > 1 else new[name]
            written = written[: start - self.start] + put + written[end - self.start :]
        return _ordinal(written, other.day)


def century(digits: int) -> int:
    """Give the year that two digits are read as."""
    return digits + (2000 if digits <= PIVOT else 1900)


def find_dates(text: str, day_first: bool | None = None) -> Iterator[Written]:
    """Find what is written like a date, in plain letters; forms that come first win where two overlap.

    Args:
        text: In plain letters.
        day_first: How 03/04/2021 is meant; None takes it from the separator and the other dates.
    """
    taken = bytearray(len(text))
    day_first = day_first if day_first is not None else told_order(text)
    for form, pattern in FORMS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            taken[start:end] = b"\1" * (end - start)
            yield _written(form, match, day_first)


def told_order(text: str) -> bool | None:
    """Tell by the dates themselves whether days stand before months; None where they do not say, or say both."""
    pattern = FORMS[2][1]
    firsts = {int(match["a"]) > 12 for match in pattern.finditer(text) if (int(match["a"]) > 12) != (int(match["b"]) > 12)}
    return firsts.pop() if len(firsts) == 1 else None


def parse_date(text: str, day_first: bool | None = None) -> Written | None:
    """Read a cell that begins with a whole date, such as 2024-05-31T14:30:00; None where it does not."""
    lead = len(text) - len(text.lstrip())
    found = min(find_dates(text[:64], day_first), key=lambda one: one.start, default=None)
    if found is None or found.start != lead or found.day is None or "d" not in found.parts:
        return None
    rest = text[found.end :].strip()
    is_time = not rest or re.fullmatch(
        r"T?\d{1,2}:?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)?\s?(?:[AaPp]\.?[Mm]\.?)?\s?(?:Z|UTC|[+-]\d{2}:?\d{2})?", rest
    )
    return found if is_time else None


def _written(form: str, match: re.Match[str], day_first: bool | None) -> Written:
    parts = {name: match.span(name) for name in ("y", "m", "d") if name in match.re.groupindex and match[name]}
    year = match["y"].lstrip("'")
    two = len(year) == 2
    if two:
        end = match.end("y")
        parts["y"] = (end - 2, end)
    number = century(int(year)) if two else int(year)
    if form == "numbers":
        first, second = int(match["a"]), int(match["b"])
        first_is_day = first > 12 or (second <= 12 and (day_first if day_first is not None else match["s"] == "."))
        parts["d"], parts["m"] = (match.span("a"), match.span("b")) if first_is_day else (match.span("b"), match.span("a"))
        day, month = (first, second) if first_is_day else (second, first)
    else:
        month = int(match["m"]) if match["m"].isdigit() else MONTHS[match["m"].casefold()]
        day = int(match["d"]) if "d" in parts else 15
    try:
        when = date(number, month, day)
    except ValueError:
        return Written(match.start(), match.end(), None, parts, two)
    return Written(match.start(), match.end(), when, parts, two)


def _month_like(old: str, month: int, short: bool) -> str:
    """Write a month in the language, length and case of another."""
    names = next(
        group
        for group in ((SHORT, LONG) if short else (LONG, SHORT))
        if any(old.casefold() in words for words in group.values())
    )
    was = MONTHS[old.casefold()]
    place = names[was].index(old.casefold())
    words = names[month]
    new = words[min(place, len(words) - 1)] if names is LONG else words[0]
    return new.upper() if old.isupper() else new.capitalize() if old[0].isupper() else new


def _ordinal(written: str, day: int) -> str:
    """Set the ending of 1st, 2nd, 3rd, 4th right."""
    ending = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return re.sub(rf"(?<!\d)({day})(?:st|nd|rd|th)\b", rf"\g<1>{ending}", written, count=1)
