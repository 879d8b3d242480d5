"""Leaks: what lets a model score without learning medicine. A run ends on each that its run file does not waive by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from medmm.cohort.association import Association
from medmm.errors import DataError
from medmm.settings import Settings

Check: TypeAlias = Literal[
    "column",
    "group",
    "missing",
    "own words",
    "one word",
    "all words",
    "scanner",
    "image size",
    "image corners",
    "no index time",
    "later",
    "two sides",
]
"""What was looked at: what tells of the label by itself, what is read whenever it was recorded, what stands on two sides."""


class LeakageSettings(Settings):
    """What a run does about leaks."""

    waive: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    """Name of what leaks, as `medmm inspect` shows it -> why it may. The run records both; any other leak ends it."""

    words: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies it
    """Class -> other words for it, such as SARS-CoV-2 for covid19, that notes must not give away."""


@dataclass(frozen=True)
class Finding:
    """What one check found about one thing.

    Attributes:
        check: What was looked at.
        name: Of the column, input, group or kind of sharing; never what stands in it.
        found: What was found, in words and numbers.
        leaks: Whether that is more than the limit of the check.
        class_name: The class that it was held against; "" for none.
        association: How well it tells of that class; None for what is not measured so.
    """

    check: Check
    name: str
    found: str
    leaks: bool
    class_name: str = ""
    association: Association | None = None

    def verdict(self, settings: LeakageSettings) -> str:
        """Say in a word what follows."""
        return "passes" if not self.leaks else "waived" if self.name in settings.waive else "LEAK"


def refuse_leaks(found: Sequence[Finding], settings: LeakageSettings) -> None:
    """End a run on leaks that are not waived.

    Raises:
        DataError: Names each, what was found, and the repair.
    """
    leaking = [one for one in found if one.leaks and one.name not in settings.waive]
    if leaking:
        told = "; ".join(f"{one.name} ({one.check}: {one.found})" for one in leaking)
        raise DataError(
            f"the data leak: {told}. Correct the data or the run file; where it is no leak, waive it with the reason: "
            f"leakage.waive={{{leaking[0].name}: why}}"
        )


def waived(found: Sequence[Finding], settings: LeakageSettings) -> dict[str, str]:
    """Give the waivers that let something pass, with their reasons."""
    leaking = {one.name for one in found if one.leaks}
    return {name: why for name, why in settings.waive.items() if name in leaking}
