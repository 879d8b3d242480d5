"""One of n parts of the studies, for n scorers that share nothing but a disk: a study's key says in which it is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from medmm.errors import ConfigError
from medmm.scoring.identity import study_digest
from medmm.scoring.ledger.base import Ledger
from medmm.types import Study

FORM = re.compile(r"(\d{1,6})/(\d{1,6})")
DIGITS = 15
"""Hexadecimal digits of a key that say in which shard it is: more than any number of shards needs."""


class Asked(Protocol):
    """A study with its key."""

    study: Study
    key: str


@dataclass(frozen=True)
class Shard:
    """Part i of n.

    Attributes:
        number: i, from 1.
        count: n.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `i/n`.

        Raises:
            ConfigError: It is not of that form, or there is no such part.
        """
        found = FORM.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"--shard {text!r} is not of the form i/n: give 3/8 for the third of eight")
        number, count = int(found[1]), int(found[2])
        if not 1 <= number <= count:
            hint = f"; a job array that counts from 0 needs +1, here {number + 1}/{count}" if number == 0 < count else ""
            raise ConfigError(f"--shard {text} is none of the shards 1/{count} to {count}/{count}{hint}")
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, key: str) -> bool:
        """Tell whether a study is in this shard, by its key."""
        return number_of(key, self.count) == self.number


def number_of(key: str, count: int) -> int:
    """Give the number, from 1, of the shard of n that a study is in."""
    return int(key[:DIGITS], 16) % count + 1


def unfinished(ledger: Ledger, studies: Iterable[Asked], count: int) -> tuple[int, ...]:
    """Give the numbers of the shards that have studies without a row for what they are now.

    Args:
        ledger: Of all shards.
        studies: All studies, those of other shards too.
        count: Shards.
    """
    asked = list(studies)
    rows = ledger.known([one.key for one in asked])
    open_: set[int] = set()
    for one in sorted(asked, key=lambda one: one.key in rows):  # those without a row first, for they cost no look at files
        if (number := number_of(one.key, count)) not in open_ and rows.get(one.key) != study_digest(one.study):
            open_.add(number)
    return tuple(sorted(open_))
