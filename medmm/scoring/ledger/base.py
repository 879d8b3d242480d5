"""What a ledger owes: each study is claimed by one scorer, ends in one row a model, and its row survives any kill."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from medmm.scoring.identity import Named
from medmm.scoring.sinks.base import Row


@dataclass(frozen=True)
class Entry:
    """A study that has ended.

    Attributes:
        named: As it was claimed.
        row: Of `scores` or `rejected`.
        rejected: Which of the two.
    """

    named: Named
    row: Row
    rejected: bool


@dataclass(frozen=True)
class Claimed:
    """What became of studies that a scorer asked for.

    Attributes:
        mine: To be scored by the scorer that asked.
        others: Another scorer, which is alive, has them.
        done: How many have their row already.
    """

    mine: Sequence[Named]
    others: Sequence[Named]
    done: int


class Ledger(Protocol):
    """Rows of one model in one output folder, shared by any number of scorers."""

    def claim(self, studies: Sequence[Named]) -> Claimed:
        """Ask for studies: those come back that have no row for what they are now, and that no living scorer has."""

    def commit(self, entries: Sequence[Entry]) -> None:
        """Keep the rows of studies, all or none; a study that was claimed anew since, for it had changed, is left out."""

    def rows(self, *, rejected: bool) -> Iterator[tuple[int, Row]]:
        """Give each row with the number of its study in the table that last named it, in the order of these."""

    def forget_rejected(self) -> int:
        """Forget which studies were rejected, so that they are tried again, and give their number."""

    def exporting(self) -> AbstractContextManager[bool]:
        """Let one scorer at a time write the results; gives whether this ledger's model is still the folder's."""

    def close(self) -> None:
        """Give back what was claimed and not committed."""
