"""What is wrong with rules, and where in their file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import ValidationError

from medmm.errors import ConfigError
from medmm.rules.condition import ConditionError
from medmm.settings import WrongKey
from medmm.strict_yaml import Document, Place

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the list of rules on: (2, "when")."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        path: Of the value that is wrong.
        message: What was found, what was expected, and the repair.
        offset: Its character, where it is a text.
        key: The key of the value, where that itself is wrong.
    """

    path: Path
    message: str
    offset: int = 0
    key: str | None = None


@dataclass(frozen=True)
class Source:
    """Where rules were written down.

    Attributes:
        document: The file.
        prefix: Way from its root to the list of rules.
    """

    document: Document
    prefix: Path = ()

    def place(self, fault: Fault) -> Place:
        """Find a fault in the file."""
        return self.document.place((*self.prefix, *fault.path), fault.offset, fault.key)


class RulesError(ConfigError):
    """Rules that cannot be used: every fault with its place."""

    def __init__(self, faults: Sequence[Fault], source: Source | None = None) -> None:
        self.faults = tuple(faults)
        self.source = source
        super().__init__("; ".join(self._line(fault) for fault in faults))

    def explained(self) -> list[tuple[str, str]]:
        """Give each fault as a line, with the line of the file that it stands in and a caret below it."""
        return [(self._line(fault), self.source.place(fault).excerpt if self.source else "") for fault in self.faults]

    def _line(self, fault: Fault) -> str:
        if self.source is None:
            where = ".".join(map(str, ("rules", *fault.path)))
            return f"{where}, character {fault.offset + 1}: {fault.message}" if fault.offset else f"{where}: {fault.message}"
        place = self.source.place(fault)
        return f"{self.source.document.name}, line {place.line}, column {place.column}: {fault.message}"


def faults_of(problem: ValidationError, prefix: Path = ()) -> list[Fault]:
    """Give the faults of settings that stand below a prefix."""
    found: list[Fault] = []
    for one in problem.errors():
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, RulesError):
            found += cause.faults
        elif one["loc"][: len(prefix)] == prefix:
            path = one["loc"][len(prefix) :]
            message = one["msg"].removeprefix("Value error, ")
            offset = cause.offset if isinstance(cause, ConditionError) else 0
            key = cause.key if isinstance(cause, WrongKey) else None
            found.append(Fault(path, f"{message[0].lower()}{message[1:]}", offset, key))
    return found
