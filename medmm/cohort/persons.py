"""Persons who stand under several identifiers: registered twice, merged, or sent by two hospitals.

Two patients of one name and date of birth, or with one and the same image, are taken for one person. Where that is wrong, two
strangers stand on one side of the split, which costs nothing; to take one person for two would put it on both.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medmm.cohort.sharing import bound_together
from medmm.files import digest

MOST_IDENTIFIERS = 4
"""Identifiers of one person; a name and date, or an image, that more of them share is a placeholder and tells nothing, and so
does a chain that leads through more of them."""

NO_NAMES = frozenset(
    (
        "anon",
        "anonym",
        "anonymised",
        "anonymized",
        "anonymous",
        "deidentified",
        "name",
        "none",
        "patient",
        "removed",
        "test",
        "unknown",
    )
)
"""Words that stand in the place of a name."""


@dataclass(frozen=True)
class Persons:
    """Who is who.

    Attributes:
        same: Identifier of a patient -> the least identifier of the same person; only those of several.
        found: What told, in words -> identifiers that it told to be of somebody with another one.
    """

    same: Mapping[str, str]
    found: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many persons stand under several identifiers."""
        return len(set(self.same.values()))


def find_persons(patients: Sequence[str], marks: Mapping[str, Iterable[tuple[int, str]]]) -> Persons:
    """Find patients who are one person.

    Args:
        patients: (S,) identifier of the patient of each study; "" is nobody's.
        marks: What tells, in words -> studies, by index, and what they share with all studies of the same person only.
    """
    pairs: list[tuple[str, str]] = []
    found: dict[str, int] = {}
    for what, marked in marks.items():
        holders: dict[str, set[str]] = {}
        for index, mark in marked:
            if patients[index]:
                holders.setdefault(mark, set()).add(patients[index])
        telling = {mark: ids for mark, ids in holders.items() if 1 < len(ids) <= MOST_IDENTIFIERS}
        pairs += [(f"{what} {mark}", one) for mark, ids in telling.items() for one in ids]
        if telling:
            found[what] = len(set().union(*telling.values()))
    groups = bound_together([mark for mark, _ in pairs], [one for _, one in pairs]) if pairs else []
    same = {one: least for (_, one), least in zip(pairs, groups, strict=True)}
    sizes = Counter(same.values())
    return Persons({one: least for one, least in same.items() if sizes[least] <= MOST_IDENTIFIERS}, found)


def person_mark(name: str, birth_date: str) -> str:
    """Give what a name and a date of birth have in common with the same ones written otherwise.

    Args:
        name: DICOM person name (PS3.5, section 6.2), or any other; letters' case, accents and the order of its parts are of
            no matter.
        birth_date: Its digits count.

    Returns:
        "" where one is missing, or stands for none.
    """
    parts = sorted(filter(None, map(_letters, name.partition("=")[0].replace("^", " ").split())))
    day = "".join(filter(str.isdecimal, birth_date))
    if len(parts) < 2 or NO_NAMES & set(parts) or len(day) != len("YYYYMMDD") or len(set(day)) == 1:
        return ""
    return digest([parts, day])[:32]


def _letters(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in plain if letter.isalpha())
