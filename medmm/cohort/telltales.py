"""What tells of the label by itself, before any model is trained: a leak, or a shortcut that a model will take.

A run fails on one unless its run file waives it by name, with a reason that is recorded.

Letters: S studies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from medmm.cohort.association import Association, of_features, of_number
from medmm.errors import DataError
from medmm.settings import Settings
from medmm.types import Array

Kind: TypeAlias = Literal["column", "missing", "own words", "group"]

LIMITS: Mapping[Kind, float] = {"column": 0.9, "missing": 0.65, "own words": 0.65, "group": 0.75}
"""A low end of the interval from which on something is called a leak. Single measurements of real cohorts stay below 0.75, and
patterns of missing cells below 0.60; a file name or an address that holds the diagnosis lies above 0.98."""

NUMERIC_SHARE = 0.9
WORD = r"(?u)[^\W\d_]{2,}|\d+"
LEAST_LETTERS = 4
"""Of a class whose name is looked for in notes: shorter ones stand in other words."""


class LeakageSettings(Settings):
    """What a run does about things that tell of the label by themselves."""

    waive: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    """Name of what may tell, as `medmm inspect` shows it -> why that is no leak. Everything else that does ends the run."""


@dataclass(frozen=True)
class Telltale:
    """Something that was held against the label by itself.

    Attributes:
        kind: What sort of thing it is.
        name: Of the column, input or group; never what stands in it.
        class_name: The class that it was held against.
        found: How well it tells.
    """

    kind: Kind
    name: str
    class_name: str
    found: Association

    @property
    def leaks(self) -> bool:
        """Whether it tells more than the limit of its kind."""
        return self.found.low >= LIMITS[self.kind]


@dataclass(frozen=True)
class Sample:
    """Studies to look at, those of the test part left out.

    Attributes:
        patient: (S,) whole numbers that tell patients apart.
        label: (S, C) of 0 and 1.
        classes: Names of the C columns.
        columns: Name -> S cells of a table, "" where missing.
        notes: Input -> S notes, "" where absent.
        groups: Name -> S values of a subgroup, such as the site.
        present: Input -> (S,) whether a study has it.
    """

    patient: Array
    label: Array
    classes: tuple[str, ...]
    columns: Mapping[str, Sequence[str]]
    notes: Mapping[str, Sequence[str]]
    groups: Mapping[str, Sequence[str]]
    present: Mapping[str, Array]


def refuse_leaks(found: Sequence[Telltale], settings: LeakageSettings) -> None:
    """End a run on what tells of the label by itself and is not waived.

    Raises:
        DataError: Names each, how well it tells, and the repair.
    """
    leaking = [one for one in found if one.leaks and one.name not in settings.waive]
    if leaking:
        told = "; ".join(f"{one.name} ({one.kind}, AUROC {one.found.auroc:.2f} for {one.class_name})" for one in leaking)
        raise DataError(
            f"the label is told by {told}: leave it out of the inputs, or, where it is known at the time of the study and may "
            f"be used, waive it with its reason: leakage.waive={{{leaking[0].name}: why}}"
        )


def telltales(sample: Sample) -> list[Telltale]:
    """Hold columns, groups, missing cells and inputs, and the classes' own names in notes against each class.

    Returns:
        What could be judged, the most telling first: there must be `LEAST_PATIENTS` of either side.
    """
    found = [
        Telltale(kind, name, class_name, association)
        for number, class_name in enumerate(sample.classes)
        for kind, name, association in _associations(sample, number)
        if association is not None
    ]
    return sorted(found, key=lambda one: (-one.found.low, one.kind, one.name, one.class_name))


def _associations(sample: Sample, number: int) -> Iterator[tuple[Kind, str, Association | None]]:
    label, patient = sample.label[:, number], sample.patient
    for name, cells in sample.columns.items():
        yield "column", name, _of_cells(cells, label, patient)
    for name, values in sample.groups.items():
        yield "group", name, _of_words(values, label, patient)
    gaps = [~has for has in sample.present.values()]
    gaps += [np.array([not cell for cell in cells]) for cells in sample.columns.values()]
    varying = [gap for gap in gaps if gap.any() and not gap.all()]
    if varying:
        yield "missing", "missing", of_features(np.stack(varying, 1).astype(float), label, patient)
    for name, notes in sample.notes.items():
        named = np.array([_names(note, sample.classes[number]) for note in notes], float)
        if 0 < named.sum() < len(named):
            yield "own words", name, of_number(named, label, patient)


def _of_cells(cells: Sequence[str], label: Array, patient: Array) -> Association | None:
    numbers = np.array([_number(cell) for cell in cells])
    given = np.array([bool(cell) for cell in cells])
    if given.any() and (~np.isnan(numbers)).sum() >= NUMERIC_SHARE * given.sum():
        return of_number(numbers, label, patient)
    return _of_words([cell for cell in cells if cell], label[given], patient[given])


def _of_words(texts: Sequence[str], label: Array, patient: Array) -> Association | None:
    """Judge texts by the words in them and by their whole, so that a code and a sentence are both seen."""
    from sklearn.feature_extraction.text import CountVectorizer

    def parts(text: str) -> list[str]:
        return [f"= {text}", *re.findall(WORD, text.lower())]

    if not texts:
        return None
    return of_features(CountVectorizer(analyzer=parts, binary=True).fit_transform(texts), label, patient)


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def _names(note: str, class_name: str) -> bool:
    """Tell whether a note names a class, however it is spelled: COVID-19 for covid19."""
    name = _letters(class_name)
    return len(name) >= LEAST_LETTERS and name in _letters(note)


def _letters(text: str) -> str:
    return re.sub(r"[\W\d_]+", "", text.lower())
