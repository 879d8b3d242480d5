"""Which series of a study an image input takes, which it leaves, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from medmm.cohort.scan import SeriesFound
from medmm.cohort.shown import shown_modality
from medmm.cohort.traits import Plane, Traits
from medmm.errors import Code, Rejected
from medmm.settings import Settings

Words: TypeAlias = tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...]
Preference: TypeAlias = Literal["newest", "thinnest", "most_slices", "first"]


HEADER_LOST = frozenset((Code.TRUNCATED, Code.MALFORMED))
"""Problems with which what a header says cannot be held against its series."""


class Wording(Settings):
    """Words that a text must have or must not have. A list alone is what must be there."""

    include: Words = ()
    """One of these must match; all do where left out."""

    exclude: Words = ()
    """None of these may match."""


def _listed(value: object) -> object:
    return {"include": value} if isinstance(value, list | tuple) else value


WordRule: TypeAlias = Annotated[Wording, BeforeValidator(_listed)]


class SeriesChoice(Settings):
    """Rules by which the series of a study are chosen; a rule that is left out lets every series pass.

    Words are compared without regard to case; `*` in a word stands for any text and `?` for one letter, and such a word has
    to match the whole text. A study of which no series passes lacks the input; `medmm inspect` says why.
    """

    description: WordRule = Wording()
    """Series Description: a word may stand anywhere in it."""

    body_part: WordRule = Wording()
    """Body Part Examined, the whole of it."""

    kernel: WordRule = Wording()
    """Convolution Kernel, the whole of one of its values."""

    image_type: WordRule = Wording()
    """Image Type, the whole of one of its values; `exclude: [DERIVED]` leaves what was computed from other images."""

    localizers: bool | None = None
    """Whether scout images may be taken (Image Type LOCALIZER); where left out, only by an input of 2D size."""

    thickness_mm: tuple[float | None, float | None] | None = None
    """Smallest and largest Slice Thickness; null where there is no limit. A series that states none does not pass."""

    slices: tuple[int | None, int | None] | None = None
    """Smallest and largest number of images; null where there is no limit."""

    plane: tuple[Plane, ...] = ()
    """axial, coronal or sagittal; an oblique series counts as the nearest. A series that states none does not pass."""

    contrast: bool | None = None
    """Whether a contrast agent was given. An agent that the export does not name counts as none."""

    prefer: tuple[Preference, ...] = Field(("most_slices", "first"), min_length=1)
    """Which of those that pass is taken; the next word decides where they are equal: newest (acquired, or begun, last),
    thinnest, most_slices, first (lowest Series Number)."""

    @model_validator(mode="after")
    def _rules_can_act(self) -> Self:
        for name, limits in (("thickness_mm", self.thickness_mm), ("slices", self.slices)):
            stated = [limit for limit in limits or (0,) if limit is not None]
            if not stated or min(stated) < 0 or stated != sorted(stated):
                raise ValueError(f"{name} goes from a lower to a higher limit of at least 0; one of them may be null")
        if len(set(self.prefer)) < len(self.prefer):
            raise ValueError("prefer names each preference once")
        return self


@dataclass(frozen=True)
class Reason:
    """Why a series was not taken, without a text of its header.

    Attributes:
        rule: Which rule left it, in words by which reasons are counted.
        detail: What was found against what was wanted; "" where the rule says all.
    """

    rule: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else self.rule


@dataclass(frozen=True)
class Considered:
    """A series of a study, taken or left.

    Attributes:
        series: The series.
        passed: Whether it fulfils the rules, so that a preference decided.
        reason: Why it was left; None where it was taken.
        problem: Why it must not be used as one image, were it taken; None where nothing speaks against it.
        unclear: Why it must not be used at all, for only some of its files fulfil the rules; None where all do.
    """

    series: SeriesFound
    passed: bool
    reason: Reason | None
    problem: Rejected | None
    unclear: Rejected | None = None


def choose(
    series: Sequence[SeriesFound], rules: SeriesChoice, modalities: Sequence[str], flat: bool, most: int | None = 1
) -> tuple[Considered, ...]:
    """Weigh the series of one study.

    A series whose files fulfil the rules in part is not passed over: were it taken, the study is rejected.

    Args:
        series: All that belong to the study.
        rules: What they must fulfil, and which is preferred.
        modalities: Modalities that may be taken; all where empty.
        flat: Whether the input has a 2D size.
        most: How many are taken at most; None takes all that pass.

    Returns:
        All of them in the order of their series numbers.
    """
    ordered = sorted(series, key=lambda one: (*_number(one), one.series_uid))
    against = [_against(one, rules, modalities, flat) for one in ordered]
    passing = [one for one, (reason, _) in zip(ordered, against, strict=True) if reason is None]
    for name in reversed(rules.prefer):
        preference = PREFERENCES[name]
        passing.sort(key=preference.key, reverse=preference.largest)
    taken = passing[:most]
    considered = []
    for one, (reason, unclear) in zip(ordered, against, strict=True):
        behind = None if reason is not None or one in taken else _behind(one, taken[-1], rules)
        considered.append(Considered(one, reason is None, reason or behind, one.problem, unclear))
    return tuple(considered)


class _Order(NamedTuple):
    """How series are put in order, and what is said of one that comes behind another."""

    key: Callable[[SeriesFound], tuple[object, ...]]
    largest: bool
    behind: str


def _number(series: SeriesFound) -> tuple[int, str]:
    """Give what sorts series numbers as numbers: 2 before 10."""
    return len(series.series_number), series.series_number


PREFERENCES: dict[Preference, _Order] = {
    "newest": _Order(lambda one: (one.acquired,), True, "older than the series taken"),
    "thinnest": _Order(lambda one: (one.thickness_mm is None, one.thickness_mm or 0), False, "thicker than the series taken"),
    "most_slices": _Order(lambda one: (one.slices,), True, "fewer slices than the series taken"),
    "first": _Order(_number, False, "later number than the series taken"),
}


def _behind(series: SeriesFound, taken: SeriesFound, rules: SeriesChoice) -> Reason:
    orders = (PREFERENCES[name] for name in rules.prefer)
    return Reason(next((one.behind for one in orders if one.key(series) != one.key(taken)), PREFERENCES["first"].behind))


def _against(
    series: SeriesFound, rules: SeriesChoice, modalities: Sequence[str], flat: bool
) -> tuple[Reason | None, Rejected | None]:
    """Give the rule that a series breaks; or, where only some of its files break one, why it must not be used."""
    if modalities and series.modality not in modalities:
        return Reason("another modality", f"{shown_modality(series.modality)}, wanted {_any(modalities)}"), None
    if series.problem is not None and series.problem.code in HEADER_LOST:
        return None, None  # it may be the one that is wanted: then the study is rejected, not thought to lack the input
    if rules.slices is not None and not _inside(series.slices, rules.slices):
        return Reason("number of slices", f"{series.slices}, wanted {_limits(rules.slices)}"), None
    reasons = [_broken(traits, rules, flat) for traits in series.traits]
    broken = [reason for reason in reasons if reason is not None]
    if len(broken) == len(reasons):
        return min(broken, key=str), None
    if not broken:
        return None, None
    found = f"files that differ in what a rule asks for ({', '.join(sorted({reason.rule for reason in broken}))})"
    repair = "export the series apart, or choose another by the rules of `series`"
    return None, Rejected(Code.MIXED_SERIES, "the series", found, "files that all pass, or none", repair)


def _broken(traits: Traits, rules: SeriesChoice, flat: bool) -> Reason | None:
    """Give the first rule that a file breaks."""
    if traits.localizer and not (flat if rules.localizers is None else rules.localizers):
        return Reason("localizer")
    return _broken_by_words(traits, rules) or _broken_by_acquisition(traits, rules)


def _broken_by_words(traits: Traits, rules: SeriesChoice) -> Reason | None:
    wordings = (
        ("image type", traits.image_type, rules.image_type, _equals),
        ("body part", (traits.body_part,), rules.body_part, _equals),
        ("description", (traits.description,), rules.description, _holds),
        ("kernel", traits.kernel, rules.kernel, _equals),
    )
    for rule, texts, wording, match in wordings:
        excluded = [word for word in wording.exclude if any(match(text, word) for text in texts)]
        if excluded:
            return Reason(rule, f"has {_any(excluded)}, which is excluded")
        if wording.include and not any(match(text, word) for text in texts for word in wording.include):
            return Reason(rule, f"{'another' if any(texts) else 'none stated'}, wanted {_any(wording.include)}")
    return None


def _broken_by_acquisition(traits: Traits, rules: SeriesChoice) -> Reason | None:
    if rules.thickness_mm is not None and not _inside(traits.thickness_mm, rules.thickness_mm):
        stated = "none stated" if traits.thickness_mm is None else f"{traits.thickness_mm:g} mm"
        return Reason("slice thickness", f"{stated}, wanted {_limits(rules.thickness_mm)} mm")
    if rules.plane and traits.plane not in rules.plane:
        return Reason("plane", f"{traits.plane or 'none stated'}, wanted {_any(rules.plane)}")
    if rules.contrast is not None and traits.contrast != rules.contrast:
        return Reason("contrast", "with agent, wanted without" if traits.contrast else "without agent, wanted with")
    return None


def _holds(text: str, word: str) -> bool:
    return _equals(text, word) or (not _is_wild(word) and word.casefold() in text.casefold())


def _equals(text: str, word: str) -> bool:
    pattern = word.replace("[", "[[]") if _is_wild(word) else word  # a bracket stands for itself
    return fnmatchcase(text.casefold(), pattern.casefold()) if _is_wild(word) else text.casefold() == pattern.casefold()


def _is_wild(word: str) -> bool:
    return "*" in word or "?" in word


def _inside(value: float | None, limits: tuple[float | None, float | None]) -> bool:
    low, high = limits
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _limits(limits: tuple[float | None, float | None]) -> str:
    low, high = limits
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g} to {high:g}"


def _any(words: Sequence[str]) -> str:
    return " or ".join(words)
