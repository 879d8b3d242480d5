"""A text as a reader takes it: accents, odd spaces and dashes, and letters that nobody sees, are out of the way of a search."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LETTERS = {"ß": "ss", "ẞ": "SS", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L"} | {
    "đ": "d",
    "Đ": "D",
    "ð": "d",
    "Ð": "D",
    "þ": "th",
    "Þ": "TH",
    "ħ": "h",
    "Ħ": "H",
    "ə": "e",
    "Ə": "E",
    "ı": "i",
    "\u02bc": "'",
    "\u02bb": "'",
    "‘": "'",
    "’": "'",
    "´": "'",
    "`": "'",
    "\u2212": "-",
    "\u2044": "/",
}
"""What Unicode does not take apart by itself (NFKD)."""

TWO_LETTERS = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Ø": "Oe", "Å": "Aa"}
"""How a keyboard without them writes letters that are otherwise taken for their plain ones."""

UNSEEN = frozenset(("Cf", "Mn", "Me", "Cc"))
"""Categories of characters without a place of their own: zero width, joiners, accents, controls."""

FIELD_ENDS = "\n\t\r"


@dataclass(frozen=True)
class Span:
    """A piece of a text, and what stands there instead.

    Attributes:
        start: First character.
        end: The one after the last.
        instead: A token such as [NAME], or a date that was moved.
        moved: Whether it is such a date.
    """

    start: int
    end: int
    instead: str
    moved: bool = False


@dataclass(frozen=True)
class Folded:
    """A text in plain letters.

    Attributes:
        plain: ASCII where the script is Latin, upper and lower case as they were.
        places: Of each character of `plain` in the text that it was made of.
    """

    plain: str
    places: Sequence[int]

    def span(self, start: int, end: int, instead: str, moved: bool = False) -> Span:
        """Give the piece of the first text that these characters were made of; `end` > `start`."""
        return Span(self.places[start], self.places[end - 1] + 1, instead, moved)


def fold(text: str, joined: bool = False) -> Folded:
    """Write a text in plain letters.

    Args:
        text: Of any script.
        joined: Whether words that were divided at the end of a line are put together.
    """
    if text.isascii() and not joined and not any(letter < " " and letter not in FIELD_ENDS for letter in text):
        return Folded(text.replace("`", "'"), range(len(text)))
    plain: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        for one in _plain(letter):
            plain.append(one)
            places.append(place)
    return _joined(Folded("".join(plain), places)) if joined else Folded("".join(plain), places)


def plain_letters(text: str) -> str:
    """Give the plain letters of a text, in lower case."""
    return fold(text).plain.casefold()


def spellings(name: str) -> frozenset[str]:
    """Give a name in plain letters and lower case, as it is written with and without an e for its umlauts."""
    whole = unicodedata.normalize("NFC", name)
    return frozenset((plain_letters(whole), plain_letters("".join(TWO_LETTERS.get(letter, letter) for letter in whole))))


def replaced(text: str, spans: Iterable[Span]) -> tuple[str, str, int, int]:
    """Put what stands instead into a text.

    Args:
        text: The first text.
        spans: What comes first counts where two overlap; of these the whole is replaced.

    Returns:
        The new text; the same with every moved date written as [DATE]; how many pieces were struck, and how many moved.
    """
    merged = _merged(list(spans))
    new: list[str] = []
    masked: list[str] = []
    at = 0
    for span in merged:
        new += [text[at : span.start], span.instead]
        masked += [text[at : span.start], "[DATE]" if span.moved else span.instead]
        at = span.end
    new.append(text[at:])
    masked.append(text[at:])
    moved = sum(span.moved for span in merged)
    return "".join(new), "".join(masked), len(merged) - moved, moved


def _merged(spans: list[Span]) -> list[Span]:
    """Put overlapping pieces together; the one that came first says what stands there, unless a date would only be moved."""
    ranked = sorted(enumerate(spans), key=lambda one: (one[1].start, one[1].end))
    merged: list[tuple[int, Span]] = []
    for rank, span in ranked:
        if merged and span.start < merged[-1][1].end:
            before_rank, before = merged[-1]
            if (before.start, before.end) == (span.start, span.end) and before.moved and span.moved:
                continue
            first = min((before_rank, before), (rank, span), key=lambda one: one[0])
            instead = first[1].instead
            if first[1].moved:  # a moved date does not stand for the rest of what it overlaps
                struck = span if not span.moved else before
                instead = struck.instead if not struck.moved else "[DATE]"
            whole = Span(before.start, max(before.end, span.end), instead)
            merged[-1] = (min(before_rank, rank), whole)
        else:
            merged.append((rank, span))
    return [span for _, span in merged]


def _plain(letter: str) -> str:
    if letter in FIELD_ENDS or (" " <= letter <= "~" and letter != "`"):
        return letter
    if letter in LETTERS:
        return LETTERS[letter]
    kind = unicodedata.category(letter)
    if kind in UNSEEN:
        return ""
    if kind == "Pd":
        return "-"
    if kind.startswith("Z"):
        return "\n" if kind in ("Zl", "Zp") else " "
    taken = unicodedata.normalize("NFKD", letter)
    return "".join(LETTERS.get(one, one) for one in taken if unicodedata.category(one) not in UNSEEN)


def _joined(folded: Folded) -> Folded:
    """Leave out a dash and the line end after it, where letters stand on both sides."""
    plain, at = folded.plain, 0
    keep: list[int] = []
    while at < len(plain):
        end = at + 1
        if plain[at] == "-" and at and plain[at - 1].isalpha():
            while end < len(plain) and plain[end] in " \r\n\t":
                end += 1
            if "\n" not in plain[at:end] or end == len(plain) or not plain[end].isalpha():
                keep += range(at, end)
        else:
            keep.append(at)
        at = end
    return Folded("".join(plain[one] for one in keep), [folded.places[one] for one in keep])
