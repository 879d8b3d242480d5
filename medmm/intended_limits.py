"""The intended use of a model: what the run file states, and for the rest what the training studies show.

What is learned is what was seen: every word that a training patient has, and the smallest to the largest value, a little
widened. Not percentiles, for they would put a share of the training studies themselves outside by construction.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from medmm.cohort.ages import COMPLETED, OLDEST
from medmm.cohort.shown import BODY_PARTS, MODALITIES
from medmm.intended_use import (
    MEASURES,
    STATED,
    Absences,
    ImageUse,
    IntendedUse,
    Line,
    Name,
    Range,
    Word,
    Words,
    age_of,
)
from medmm.settings import Settings
from medmm.types import Facts, Study

FEWEST = 20
"""Training patients that state a fact before a limit is learned from it.

Of n patients and one more like them, the one more is the smallest or the largest with a chance of 2 / (n + 1), whatever the
distribution: below one in ten from 20 on, and that before the range is widened.
"""

MARGIN = 0.1
"""By which share of itself each end of a range is widened. A share, for a millimetre is much of a pixel and little of a slice,
and a year much of a child's age and little of an old patient's: a model of 18 to 70 years is made for 16 to 77."""

FEWEST_ABSENT = 5
"""Training patients that lack some inputs, or more than these, before a study may lack them.

Of fewer than five patients all have the same diagnosis with a chance of one in eight or more, even where two are equally
frequent: then a model may have learned the absence itself for the diagnosis.
"""

Limits: TypeAlias = tuple[Annotated[float, Field(ge=0)] | None, Annotated[float, Field(ge=0)] | None]


def _rising(limits: Limits) -> Limits:
    low, high = limits
    if low is not None and high is not None and low > high:
        raise ValueError("goes from a lower to a higher limit; null where there is none")
    return limits


StatedRange: TypeAlias = Annotated[Limits, AfterValidator(_rising)]
"""Smallest and largest value; null where there is no limit."""


class ImageUseSettings(Settings):
    """What the images of an input must be. What is left out is learned; an empty list, or null for both ends, is no limit."""

    modality: tuple[Word, ...] | None = None
    """DICOM Modality."""

    body_part: tuple[Word, ...] | None = None
    """Body Part Examined, in any case."""

    pixel_mm: StatedRange | None = None
    """Smallest and largest distance of pixels within an image."""

    slice_mm: StatedRange | None = None
    """Smallest and largest distance of neighbouring slices."""

    thickness_mm: StatedRange | None = None
    """Smallest and largest slice thickness."""


class IntendedUseSettings(Settings):
    """For which studies the model is made. What is stated here wins over what the training studies show."""

    purpose: Line = ""
    """What the model is for, a sentence for the model card."""

    population: Line = ""
    """For whom it is made, a sentence for the model card."""

    age_years: StatedRange | None = None
    """Youngest and oldest patient in completed years; a null is no limit. 90 and all above are one age."""

    age_column: Name | None = None
    """Column of the studies table with the age in years. Where left out, or empty for a study, headers of images tell it."""

    images: dict[str, ImageUseSettings] = Field(default_factory=dict)
    """Limits by image input."""

    may_lack: tuple[tuple[Name, ...], ...] | None = None
    """Sets of inputs that a study may lack together, such as [[labs, history]]; none where it is an empty list."""

    learn: bool = True
    """Learn what is not stated. Without it only what stands here is a limit."""


def fit_intended_use(settings: IntendedUseSettings, studies: Sequence[Study], inputs: Collection[str]) -> IntendedUse:
    """Put what the run file states over what the training studies show.

    Args:
        settings: Of the run file.
        studies: The training studies, and no others.
        inputs: Of the model.
    """
    taught = studies if settings.learn else ()
    facts: dict[str, list[tuple[str, Facts]]] = defaultdict(list)
    for study in taught:
        for name, evidence in study.evidence.items():
            if evidence.facts is not None:
                facts[name].append((study.patient_id, evidence.facts))
    images = {
        name: _image_use(settings.images.get(name, ImageUseSettings()), facts[name])
        for name in sorted({*facts, *settings.images} & set(inputs))
    }
    ages = [(study.patient_id, age) for study in taught if (age := age_of(study, settings.age_column)) is not None]
    return IntendedUse(
        purpose=settings.purpose,
        population=settings.population,
        inputs=tuple(sorted(inputs)),
        images={name: use for name, use in images.items() if use != ImageUse()},
        age_years=_ages(ages) if settings.age_years is None else _stated(settings.age_years),
        age_column=settings.age_column,
        may_lack=_may_lack(taught, inputs) if settings.may_lack is None else _stated_absences(settings.may_lack, inputs),
    )


def _image_use(settings: ImageUseSettings, facts: Sequence[tuple[str, Facts]]) -> ImageUse:
    words: dict[str, Words | None] = {}
    for name, known in (("modality", MODALITIES), ("body_part", BODY_PARTS)):
        stated: tuple[str, ...] | None = getattr(settings, name)
        if stated is not None:
            words[name] = Words(any_of=tuple(sorted(set(stated))), patients=STATED) if stated else None
        else:
            of = "modalities" if name == "modality" else "body_parts"
            words[name] = _words([(patient, word) for patient, one in facts for word in getattr(one, of) if word in known])
    ranges: dict[str, Range | None] = {}
    for name in MEASURES:
        limits = getattr(settings, name)
        ranges[name] = (
            _range([(patient, value) for patient, one in facts for value in getattr(one, name) or ()])
            if limits is None
            else _stated(limits)
        )
    return ImageUse.model_validate({**words, **ranges})


def _stated(limits: Limits) -> Range | None:
    low, high = limits
    return None if low is None and high is None else Range(low=low, high=high, patients=STATED)


def _stated_absences(sets: Iterable[Iterable[str]], inputs: Collection[str]) -> Absences:
    named = {frozenset(some) & frozenset(inputs) for some in (*sets, ())}  # a model of one of the run's inputs has no others
    return Absences(sets=_largest(named), patients=STATED)


def _words(found: Sequence[tuple[str, str]]) -> Words | None:
    patients = len({patient for patient, _ in found})
    return Words(any_of=tuple(sorted({word for _, word in found})), patients=patients) if patients >= FEWEST else None


def _range(found: Sequence[tuple[str, float]]) -> Range | None:
    patients = len({patient for patient, _ in found})
    if patients < FEWEST:
        return None
    low, high = _ends(found)
    return Range(low=_short(low * (1 - MARGIN)), high=_short(high * (1 + MARGIN)), patients=patients)


def _ages(found: Sequence[tuple[str, float]]) -> Range | None:
    """Give the range of ages in completed years; without an upper end where it reaches `OLDEST`, which is all ages above."""
    patients = len({patient for patient, _ in found})
    if patients < FEWEST:
        return None
    low, high = _ends(found)
    youngest, oldest = low * (1 - MARGIN), math.ceil(high * (1 + MARGIN))
    return Range(
        low=float(math.floor(youngest)) if youngest >= COMPLETED else _short(youngest),
        high=None if oldest >= OLDEST else float(oldest),
        patients=patients,
    )


def _ends(found: Sequence[tuple[str, float]]) -> tuple[float, float]:
    values = [value for _, value in found]
    return min(values), max(values)


def _short(value: float) -> float:
    """Round to three digits, which moves an end by less than a tenth of its margin."""
    return float(f"{value:.3g}")


def _may_lack(studies: Sequence[Study], inputs: Collection[str]) -> Absences | None:
    """Give the largest sets of inputs that enough training patients lacked, each together with others or not.

    A study with more inputs never is worse off than one with fewer: who lacks two inputs shows what it is to lack one of them.
    """
    lacking: dict[frozenset[str], set[str]] = defaultdict(set)
    for study in studies:
        lacking[frozenset(inputs) - frozenset(study.evidence)].add(study.patient_id)
    patients = len(set().union(*lacking.values()))
    if patients < FEWEST:
        return None
    common: set[frozenset[str]] = {frozenset()}
    for some in lacking:
        common |= {some, *(some & other for other in common)}
    enough = [some for some in common if not some or _lacked_by(some, lacking) >= FEWEST_ABSENT]
    return Absences(sets=_largest(enough), patients=patients)


def _largest(sets: Collection[frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted(tuple(sorted(some)) for some in sets if not any(some < other for other in sets)))


def _lacked_by(some: frozenset[str], lacking: Mapping[frozenset[str], set[str]]) -> int:
    return len(set().union(*(patients for absent, patients in lacking.items() if some <= absent)))
