"""Does anything known of a patient stand in what was written? Every file is read again, by other means than it was written.

Of a file's own patient each value is looked for in every byte, in several alphabets, in UTF-16 and in base64; of all patients
the names of two words and the identifiers, in all that is no pixel.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath

from medmm.errors import Rejected
from medmm.privacy.folded import spellings
from medmm.privacy.headers import METHOD, METHODS
from medmm.privacy.known import KnownValues
from medmm.privacy.terms import TERMS
from medmm.readers.dicom_file import pixel_stream, read_header
from medmm.readers.formats import Format, format_of

SHORTEST_NAME, SHORTEST_IDENTIFIER, SHORTEST_OTHER = 3, 4, 5
"""Letters of a value that is looked for at all."""

SHORTEST_PLAIN = 5
"""Letters of a name that is looked for without its accents too."""

SHORTEST_WITHIN = 8
"""Letters from which on a value is found within a word, too, and in pixels: by chance in one of 2^64 places."""

SHORTEST_OF_OTHERS, SHORTEST_NUMBER_OF_OTHERS = 6, 8
"""Letters and digits, or digits alone, of an identifier that is looked for in the files of other patients."""

ENCODINGS = (
    "utf-8",
    "utf-16-le",
    "utf-16-be",
    "latin-1",
    "iso2022_jp",
    "shift_jis",
    "euc_kr",
    "gb18030",
    "iso8859_5",
    "iso8859_7",
)
"""Of the character sets of DICOM, those in which people are named most; what one cannot write is not looked for in it."""

OURS = frozenset(
    word.upper()
    for text in (METHOD, *(meaning for _, meaning in METHODS), "medmm yes modified")
    for word in re.findall(r"\w+", text)
)
"""Words that are written into every file."""

WORD = re.compile(rb"(?<![.0-9a-z\x80-\xff])[0-9a-z\x80-\xff]+")
"""Not the digits behind a point, of which there are many."""


@dataclass(frozen=True)
class Sought:
    """What is known of all patients of a cohort.

    Attributes:
        words: Identifiers of one word, in small letters.
        pairs: Names and identifiers of two words.
    """

    words: frozenset[bytes] = frozenset()
    pairs: frozenset[tuple[bytes, bytes]] = frozenset()


@dataclass(frozen=True)
class Written:
    """A file of the export, and whose it is.

    Attributes:
        place: Below the export.
        known: Of its patient.
        uids: Of its original.
    """

    place: PurePosixPath
    known: KnownValues = field(default_factory=KnownValues)
    uids: tuple[str, ...] = ()


def sought_of(cohort: Iterable[KnownValues]) -> Sought:
    """Give what to look for in the files of all patients."""
    words: set[bytes] = set()
    pairs: set[tuple[bytes, bytes]] = set()
    for known in cohort:
        for value in (*known.names, *known.identifiers):
            match WORD.findall(value.casefold().encode()):
                case [word] if value in known.identifiers and _tells(word.decode("utf-8", "replace")):
                    words.add(word)
                case [first, second] if not {first.decode().upper(), second.decode().upper()} <= TERMS | OURS:
                    if min(len(first), len(second)) > 1 and len(first) + len(second) >= SHORTEST_OF_OTHERS:
                        pairs.add((first, second))
                case _:
                    pass
    return Sought(frozenset(words), frozenset(pairs))


def verifier(out: Path, sought: Sought) -> Callable[[Written], bool]:
    """Give a function that tells whether a file of an export is clean.

    Args:
        out: Folder of the export.
        sought: Of all patients.
    """
    return partial(_is_clean, out, sought)


def _is_clean(out: Path, sought: Sought, written: Written) -> bool:
    path = out / written.place
    name = str(written.place).encode("utf-8", "surrogateescape")
    head, whole = _views(path)
    if _of_others(head.lower(), sought) or _of_others(name.lower(), sought):
        return False
    searched = _Searched((name + b"\0" + head).lower(), whole.lower(), whole)
    return not any(searched.holds(value) for value in own_values(written))


def own_values(written: Written) -> Iterator[str]:
    """Give the values of a file's own patient that are looked for in it."""
    known = written.known
    for name in {form: None for one in known.names for form in (one, *_plain_forms(one))}:
        if len(name) >= (SHORTEST_NAME if name.isascii() else 2) and name.upper() not in TERMS | OURS:
            yield name
    yield from (one for one in known.identifiers if len(one) >= SHORTEST_IDENTIFIER and one.upper() not in TERMS | OURS)
    yield from (one for one in (*known.addresses, *known.phones) if len(one) >= SHORTEST_OTHER)
    for text in known.birth_dates:
        day = date.fromisoformat(text)
        yield from (day.isoformat(), f"{day:%Y%m%d}", f"{day:%d.%m.%Y}", f"{day:%m/%d/%Y}")
    yield from written.uids


def _plain_forms(name: str) -> Iterator[str]:
    if not name.isascii():
        yield from (form for form in sorted(spellings(name)) if len(form) >= SHORTEST_PLAIN)


@dataclass(frozen=True)
class _Searched:
    """The bytes of a file.

    Attributes:
        head: What is no pixel, in small letters.
        small: All, in small letters.
        whole: All, as it is.
    """

    head: bytes
    small: bytes
    whole: bytes

    def holds(self, value: str) -> bool:
        """Tell whether a value stands in what is no pixel or, where it is long enough to be no chance, anywhere."""
        place = self.small if len(value) >= SHORTEST_WITHIN and not value.isdigit() else self.head
        if value.isascii():
            forms = [value.lower().encode(encoding) for encoding in ENCODINGS[1:3]]
            if place is self.small:
                forms.append(value.lower().encode())
            elif re.search(rb"(?<![0-9a-z])" + re.escape(value.lower().encode()) + rb"(?![0-9a-z])", place):
                return True
        else:
            spellings = {value, value.upper(), value.lower(), value.casefold(), unicodedata.normalize("NFD", value)}
            forms = [one.encode(encoding).lower() for one in spellings for encoding in ENCODINGS if _fits(one, encoding)]
        return any(form in place for form in forms) or any(form in self.whole for form in in_base64(value))


def _fits(value: str, encoding: str) -> bool:
    try:
        value.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def in_base64(value: str) -> Iterator[bytes]:
    """Give how a value looks within base64, at each of the three places at which it can begin; short ones are not told."""
    raw = value.encode()
    for skipped in range(3):
        form = base64.b64encode(bytes(skipped) + raw)
        middle = form[-(-skipped * 8 // 6) + (skipped > 0) : len(form.rstrip(b"=")) - 1]
        if len(middle) >= SHORTEST_WITHIN:
            yield middle


def _of_others(content: bytes, sought: Sought) -> bool:
    words = WORD.findall(content)
    return not sought.words.isdisjoint(words) or not sought.pairs.isdisjoint(pairwise(words))


def _tells(word: str) -> bool:
    """Tell whether an identifier is one that nothing else is by chance: no day, no short number."""
    if not word.isdigit():
        return len(word) >= SHORTEST_OF_OTHERS and word.upper() not in TERMS | OURS and not word.isalpha()
    return len(word) >= SHORTEST_NUMBER_OF_OTHERS and not re.fullmatch(r"(19|20)[0-9]{6}", word)


def _views(path: Path) -> tuple[bytes, bytes]:
    """Give what is no pixel in a file, and all of it."""
    content = path.read_bytes()
    try:
        kind = format_of(path, "a file")
        if kind is None:
            return content, content
        if kind is not Format.DICOM:
            return content[:1024], content
        header = read_header(path, "a file")
        with pixel_stream(path, header.syntax, "a file") as stream:
            stream.seek(0)
            data = stream.read()
        end = len(data) if header.pixels is None else header.pixels.offset
        return content[:1024] + data[:end], data if data == content else content + data
    except Rejected:
        return content, content
