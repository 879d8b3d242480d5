"""Leaks: what lets a model score without learning medicine. A run ends on each that its run file does not waive by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from medmm.cohort.association import LEAST_PATIENTS, Association
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
        judged: False where there was too little to judge by.
        pairs: Indices of two studies each that share what they should not; empty for what is not told by pairs.
    """

    check: Check
    name: str
    found: str
    leaks: bool
    class_name: str = ""
    association: Association | None = None
    judged: bool = True
    pairs: tuple[tuple[int, int], ...] = ()

    def verdict(self, settings: LeakageSettings) -> str:
        """Say in a word what follows."""
        if not self.leaks:
            return "passes" if self.judged else "not judged"
        return "waived" if self.name in settings.waive else "LEAK"


def judged(check: Check, name: str, class_name: str, association: Association | None, limit: float) -> Finding:
    """Hold how well something tells of a class against the low end from which on it leaks; None is not judged."""
    if association is None:
        return Finding(check, name, f"fewer than {LEAST_PATIENTS} patients of either side", False, class_name, judged=False)
    return Finding(check, name, str(association), association.low >= limit, class_name, association)


def refuse_leaks(found: Sequence[Finding], settings: LeakageSettings) -> None:
    """End a run on leaks that are not waived.

    Raises:
        DataError: Names each, what was found, and the repair.
    """
    leaking = [one for one in found if one.leaks and one.name not in settings.waive]
    if leaking:
        each = dict.fromkeys(f"{one.name} ({one.check}: {one.found})" for one in leaking)  # one may tell of two classes alike
        told = "; ".join(each)
        waivers = ", ".join(f"{name}: why" for name in dict.fromkeys(one.name for one in leaking))
        raise DataError(
            f"the data leak: {told}. Correct the data or the run file; what is no leak, waive with its "
            f"reason: add it in the run file under leakage.waive, as {{{waivers}}}"
        )


def waived(found: Sequence[Finding], settings: LeakageSettings) -> dict[str, str]:
    """Give the waivers that let something pass, with their reasons."""
    leaking = {one.name for one in found if one.leaks}
    return {name: why for name, why in settings.waive.items() if name in leaking}


def idle_waivers(found: Sequence[Finding], settings: LeakageSettings) -> list[str]:
    """Name the waivers that let nothing pass: misspelt, or needed no more."""
    return sorted(set(settings.waive) - set(waived(found, settings)))
