"""On which studies a model may be relied on: modality, body part, spacing, age, and which inputs a study may lack.

It travels in the package as plain JSON. A study outside it still gets an answer, and beside the answer the reasons to abstain,
in words of closed lists and numbers only. A fact that a study does not state is no reason.
"""

from collections.abc import Collection, Iterator
from typing import Annotated, NamedTuple, Self, TypeAlias

from pydantic import Field, StringConstraints, ValidationError, model_validator

from medmm.cohort.ages import OLDEST, age_of_cell
from medmm.cohort.shown import BODY_PARTS, MODALITIES
from medmm.errors import DataError
from medmm.settings import Plain, Settings
from medmm.types import Facts, Study

PRINTED = r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
"""A letter that is seen: none that ends a line or turns the writing round."""

Line: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=rf"^{PRINTED}*$")]
"""A line of text for the model card."""

Word: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z0-9_ ]{1,16}$")]
"""A code string of DICOM (PS3.5, section 6.2: CS), compared without regard to case."""

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=rf"^{PRINTED}*$")]
"""Of an input or a column."""

Count: TypeAlias = Annotated[int, Field(ge=0, strict=True)]
Value: TypeAlias = Annotated[float, Field(ge=0, strict=True)]
"""A number of JSON, not text that looks like one."""

STATED = 0
"""Patients of a limit that the run file states."""

MEASURES = {"pixel_mm": "pixels of {} mm", "slice_mm": "slices {} mm apart", "thickness_mm": "slices {} mm thick"}
"""Range of `ImageUse` -> what is said of a value, or of the range."""


class Reason(NamedTuple):
    """Why a study is outside.

    Attributes:
        limit: Which limit it is, by which reasons are counted.
        said: What was found against what the model is made for.
    """

    limit: str
    said: str


class Words(Settings):
    """Words one of which a header must state."""

    any_of: tuple[Word, ...] = Field(min_length=1, max_length=256)
    """In alphabetical order."""

    patients: Count
    """Training patients from whom they were learned; 0 where the run file states them."""

    def __str__(self) -> str:
        return ", ".join(self.any_of)


class Range(Settings):
    """A smallest and a largest value; None where there is no limit."""

    low: Value | None
    """The smallest."""

    high: Value | None
    """The largest."""

    patients: Count
    """Training patients from whom it was learned; 0 where the run file states it."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("goes from a lower to a higher value")
        return self

    def holds(self, value: float) -> bool:
        """Tell whether a value lies inside."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "any" if self.low == self.high else f"up to {self.high:g}" if self.low is None else f"{self.low:g} or more"
        return f"{self.low:g} to {self.high:g}"


class ImageUse(Settings):
    """The limits of an image input; None where there is none."""

    modality: Words | None = None
    """DICOM Modality."""

    body_part: Words | None = None
    """Body Part Examined."""

    pixel_mm: Range | None = None
    """Distance of pixels within an image."""

    slice_mm: Range | None = None
    """Distance of neighbouring slices."""

    thickness_mm: Range | None = None
    """Slice thickness."""

    def limits(self) -> Iterator[tuple[str, int]]:
        """Give each limit in words, with its training patients."""
        words = {"modality": self.modality, "body part": self.body_part}
        yield from ((f"{what} {limit}", limit.patients) for what, limit in words.items() if limit is not None)
        for name, said in MEASURES.items():
            limit = getattr(self, name)
            if limit is not None:
                yield said.format(limit), limit.patients

    def reasons(self, facts: Facts) -> Iterator[Reason]:
        """Give why images with these facts are outside."""
        yield from _strange("modality", facts.modalities, self.modality, MODALITIES)
        yield from _strange("body part", facts.body_parts, self.body_part, BODY_PARTS)
        for name, said in MEASURES.items():
            limit: Range | None = getattr(self, name)
            values: tuple[float, float] | None = getattr(facts, name)
            outside = [] if limit is None or values is None else [value for value in values if not limit.holds(value)]
            if outside:
                yield Reason(name, f"{said.format(f'{outside[0]:.3g}')}, made for {limit}")


class Absences(Settings):
    """Which inputs a study may lack together."""

    sets: tuple[tuple[Name, ...], ...] = Field(min_length=1, max_length=4096)
    """The largest sets of inputs; a study may lack any part of one of them."""

    patients: Count
    """Training patients from whom they were learned; 0 where the run file states them."""

    def holds(self, absent: Collection[str]) -> bool:
        """Tell whether a study may lack these inputs."""
        return any(set(absent) <= set(some) for some in self.sets)

    def __str__(self) -> str:
        return " or ".join(" and ".join(some) for some in self.sets if some) or "none"


class IntendedUse(Settings):
    """What a model is made for."""

    purpose: Line = ""
    """What it is for, for the model card."""

    population: Line = ""
    """For whom, for the model card."""

    inputs: tuple[Name, ...]
    """All inputs of the model, in alphabetical order."""

    images: dict[Name, ImageUse] = Field(default_factory=dict, max_length=256)
    """Limits by image input."""

    age_years: Range | None = None
    """Of patients, as `medmm.cohort.ages` has it."""

    age_column: Name | None = None
    """Column of the studies table that holds the age; where it is left out or empty, headers of images tell it."""

    may_lack: Absences | None = None
    """Inputs that a study may lack; any where left out."""

    @model_validator(mode="after")
    def _names_are_inputs(self) -> Self:
        named = {*self.images, *(name for some in (self.may_lack.sets if self.may_lack else ()) for name in some)}
        if strangers := sorted(named - set(self.inputs)):
            raise ValueError(f"{strangers[0]!r} is no input")
        return self

    def reasons(self, study: Study) -> list[str]:
        """Say why a study is outside, in a fixed order: images, age, absent inputs; nothing where it is not."""
        return [reason.said for reason in self.outside(study)]

    def outside(self, study: Study) -> list[Reason]:
        """Give why a study is outside, in the order of `reasons`."""
        found = []
        for name in sorted(self.images):
            evidence = study.evidence.get(name)
            if evidence is not None and evidence.facts is not None:
                reasons = self.images[name].reasons(evidence.facts)
                found += [Reason(f"{name}: {limit}", f"{name}: {said}") for limit, said in reasons]
        age = age_of(study, self.age_column)
        if self.age_years is not None and age is not None and not self.age_years.holds(age):
            found.append(Reason("age", f"age {_shown_age(age)}, made for {self.age_years}"))
        absent = sorted(set(self.inputs) - set(study.evidence))
        if self.may_lack is not None and not self.may_lack.holds(absent):
            why = "made for studies that have more" if self.may_lack.patients == STATED else "too rare in training"
            found.append(Reason("inputs absent", f"inputs absent: {', '.join(absent)}, {why}"))
        return found

    def told(self) -> list[str]:
        """Give all lines for the model card."""
        texts = [f"{what}: {text}" for what, text in (("purpose", self.purpose), ("population", self.population)) if text]
        return texts + self.limits_told()

    def limits_told(self) -> list[str]:
        """Give the lines of the limits."""
        limits = [(f"{name}: {said}", n) for name, one in sorted(self.images.items()) for said, n in one.limits()]
        if self.age_years is not None:
            limits.append((f"age in years: {self.age_years}", self.age_years.patients))
        if self.may_lack is not None:
            limits.append((f"inputs that may be absent: {self.may_lack}", self.may_lack.patients))
        return [f"made for {said} ({_source(patients)})" for said, patients in limits]


def age_of(study: Study, column: str | None) -> float | None:
    """Give the age in years of a study's patient: that of the cell; where it states none, that of the first image that does."""
    stated = age_of_cell(study.cells.get(column, "")) if column is not None else None
    if stated is not None:
        return stated
    facts = (study.evidence[name].facts for name in sorted(study.evidence))
    return next((one.age_years for one in facts if one is not None and one.age_years is not None), None)


def read_intended_use(plain: Plain, inputs: Collection[str]) -> IntendedUse | None:
    """Give the intended use that a package states.

    Args:
        plain: Of the JSON.
        inputs: Of the package.

    Raises:
        DataError: It is none, or that of other inputs.
    """
    if plain is None:
        return None
    try:
        intended = IntendedUse.model_validate(plain)
    except ValidationError as reason:
        raise DataError("the intended use of the package is damaged: package the run again") from reason
    if list(intended.inputs) != sorted(inputs):
        raise DataError("the intended use of the package is not of its inputs: package the run again")
    return intended


def _strange(what: str, found: Collection[str], limit: Words | None, known: Collection[str]) -> Iterator[Reason]:
    """Give the reason where a word is none of a limit's.

    A word outside the standard's says nothing against words that were learned from the standard's only, and is never shown: any
    text of a header can hold a name.
    """
    if limit is None:
        return
    others = [word for word in found if word not in limit.any_of and (word in known or limit.patients == STATED)]
    if others:
        shown = next((word for word in others if word in known), "of another name")
        yield Reason(what, f"{what} {shown}, made for {limit}")


def _shown_age(age: float) -> str:
    return f"{OLDEST:g} years or more" if age >= OLDEST else f"{age:g} years"


def _source(patients: int) -> str:
    return "stated in the run file" if patients == STATED else f"learned from {patients:,} training patients"
