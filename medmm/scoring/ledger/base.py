"""What a ledger owes: each study is claimed by one scorer, ends in one row a model, and its row survives any kill."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from medmm.scoring.identity import Named
from medmm.scoring.sinks.base import Row

FOLDER = ".ledger"
"""In the output folder; it holds identifiers of patients, and nobody but its owner may list it."""

DAMAGED = (
    "the ledger of the output folder is damaged: move its folder .ledger away, and score again into the same --out, "
    "which scores every study anew"
)


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
    """Rows of one model in one output folder, shared by any number of scorers.

    Raises a `DataError` where what it keeps is damaged, of another version, or cannot be written.
    """

    def ours(self) -> bool:
        """Tell whether the model is still the folder's: that of the scorer which opened it last is."""

    def claim(self, studies: Sequence[Named]) -> Claimed:
        """Ask for studies: those come back that have no row for what they are now, and that no living scorer has."""

    def commit(self, entries: Sequence[Entry]) -> int:
        """Keep the rows of studies, all or none, and give how many are new.

        A study whose row stands already is left out, and so is one that is known to be claimed anew since, for it had changed.
        """

    def known(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Give the digest for which each study has a row, of those that have one."""

    def rows(self, *, rejected: bool) -> Iterator[tuple[int, Row]]:
        """Give each row with the number of its study in the table that last named it, in the order of these."""

    def forget_rejected(self, of: Callable[[str], bool]) -> int:
        """Forget which studies were rejected, so that they are tried again, and give their number.

        Args:
            of: Tells by its key whether a study is one of those that are meant.
        """

    def exporting(self, notice: Callable[[str], None]) -> AbstractContextManager[bool]:
        """Let one scorer write the results, where the disk's locks hold; gives what `ours` says then.

        Args:
            notice: Told when another scorer keeps this one waiting.
        """

    def close(self) -> None:
        """Give back what was claimed and not committed."""
