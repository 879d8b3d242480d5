"""Which studies learn, which choose and which judge, by patient, group, time or a given column, with a proof."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from medmm.cohort.sharing import bound_together, share_groups, share_patients
from medmm.errors import DataError
from medmm.settings import Settings
from medmm.tables import nearest
from medmm.types import Array, Study

PARTS = ("train", "validation", "test")

Share: TypeAlias = Callable[[Sequence[str], Sequence[float]], Mapping[str, int]]
"""Patients or groups, shares of the parts -> each one's part."""

NO_PART = "no part"
"""Why a study is left out whose column names no part or no group."""

OTHER_PERIOD = "other period"
"""Why a study is left out that lies after the period of its patient's part."""


class Fractions(Settings):
    """Share of the patients in each part; together 1."""

    train: float = Field(0.7, gt=0, lt=1)
    """Learns the weights and everything else that is fitted."""

    validation: float = Field(0.15, gt=0, lt=1)
    """Chooses: when to stop, threshold, temperature."""

    test: float = Field(0.15, gt=0, lt=1)
    """Judges, once."""

    @model_validator(mode="after")
    def _sum_is_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the fractions add up to {total:g}, not to 1")
        return self


class SplitSettings(Settings):
    """How studies are shared out. No patient ever stands on two sides."""

    by: Literal["patient", "group", "time", "column"] = "patient"
    """`patient`: by chance, stratified by label. `group`: whole groups, such as sites, so that each part has groups that no
    other has. `time`: patients who came first learn, those who came last judge. `column`: as a column says."""

    column: str | None = None
    """Column of the studies table: for `group` with the group, for `column` with train, validation or test; a study with
    another cell there is left out."""

    fractions: Fractions = Fractions()
    """Share of the patients in each part; with `group` of the studies, as nearly as whole groups allow."""

    dates: tuple[date, date] | None = None
    """With `time`, instead of fractions: the first days of validation and of test."""

    folds: int | None = Field(None, ge=2, le=100)
    """With `patient` and `group`: one of so many equal folds is the test part, and the fractions share out the others."""

    fold: int = Field(0, ge=0)
    """Which fold is the test part, from 0."""

    inner_folds: int | None = Field(None, ge=2, le=100)
    """Nested folds: of what the test fold leaves, one of so many equal folds is the validation part."""

    inner_fold: int = Field(0, ge=0)
    """Which inner fold is the validation part, from 0."""

    seed: int = 0
    """Another seed gives another split."""

    @model_validator(mode="after")
    def _keys_can_act(self) -> Self:
        if (self.column is not None) != (self.by in {"group", "column"}):
            raise ValueError(f"split by {self.by} {'takes no' if self.column is not None else 'needs a'} column")
        if self.dates is not None and (self.by != "time" or self.dates[0] >= self.dates[1]):
            raise ValueError("dates belong to a split by time, the earlier one first")
        if self.folds is not None and self.by not in {"patient", "group"}:
            raise ValueError(f"split by {self.by} has no folds: split by patient or group")
        if self.inner_folds is not None and self.folds is None:
            raise ValueError("inner_folds lie inside folds: set folds too")
        for name, fold, folds in (("fold", self.fold, self.folds), ("inner_fold", self.inner_fold, self.inner_folds)):
            if fold >= (folds or 1):
                raise ValueError(f"there is no {name} {fold}: they go from 0 to {(folds or 1) - 1}")
        return self


@dataclass(frozen=True)
class Split:
    """Indices of the studies of each part, in the order of the studies.

    Attributes:
        parts: Part -> indices.
        patients: Part -> number of patients.
        shared_patients: Patients that stand in more than one part: the proof is that it is 0.
        left_out: Index -> why a study is in no part.
    """

    parts: Mapping[str, tuple[int, ...]]
    patients: Mapping[str, int]
    shared_patients: int
    left_out: Mapping[int, str] = field(default_factory=dict)

    def __getitem__(self, part: str) -> tuple[int, ...]:
        return self.parts[part]


def split_studies(studies: Sequence[Study], settings: SplitSettings, strata: Array | None = None) -> Split:
    """Share out labelled studies.

    Args:
        studies: Those that can be used.
        settings: How.
        strata: (S, C) of 0 and 1, in which the parts are to be alike; the labels where left out.

    Raises:
        DataError: Too few patients or groups for three parts, a part lacks a class, a column or the times are missing, or a
            column puts a patient on two sides.
    """
    labels = np.array([study.label for study in studies], dtype=float) if strata is None else strata  # (S, C)
    if settings.by == "patient":
        sides = _by_patient(studies, settings, labels)
    elif settings.by == "group":
        sides = _by_group(studies, settings, labels)
    elif settings.by == "time":
        sides = _by_time(studies, settings)
    else:
        sides = [cell if cell in PARTS else NO_PART for cell in _cells(studies, settings)]
    left_out = {i: side for i, side in enumerate(sides) if side not in PARTS}
    split = prove(studies, {part: tuple(i for i, side in enumerate(sides) if side == part) for part in PARTS}, left_out)
    for part in PARTS:
        _needs_classes(labels, split, part, settings)
    return split


def prove(studies: Sequence[Study], parts: Mapping[str, tuple[int, ...]], left_out: Mapping[int, str] | None = None) -> Split:
    """Count the patients of each part, and those on more than one side.

    Raises:
        DataError: A patient stands on two sides.
    """
    patients = {part: {studies[i].patient_id for i in rows} for part, rows in parts.items()}
    shared = sum(map(len, patients.values())) - len(set().union(*patients.values()))
    if shared:
        rows = _rows_of_two(studies, parts)
        raise DataError(
            f"{shared} patients stand in more than one part of the split, such as the one in rows {rows}: "
            "give each patient one part; where they are two persons, set cohort.same_person=report"
        )
    return Split(parts, {part: len(members) for part, members in patients.items()}, shared, left_out or {})


def without_label(
    studies: Sequence[Study], split: Split, candidates: Sequence[int], settings: SplitSettings
) -> tuple[int, ...]:
    """Give those of the candidates that may learn though they have no label: none of whom the other parts know anything.

    Left out are studies of a patient of validation or test; with a split by group those of a group there or of no group, with a
    split by time those of the time of validation or later, with a split by column those whose cell does not say train.

    Args:
        studies: All, patients who are one person having one identifier.
        split: Of the labelled ones.
        candidates: Indices of those without a label.
        settings: As the split was made.

    Raises:
        DataError: The studies table lacks the column of the split.
    """
    others = [i for part in PARTS[1:] for i in split[part]]
    patients = {studies[i].patient_id for i in others}
    free = [i for i in candidates if studies[i].patient_id not in patients]
    if settings.by in {"column", "group"}:
        cells = _cells(studies, settings)
        if settings.by == "column":
            return tuple(i for i in free if cells[i] == PARTS[0])
        groups = {"", *(cells[i] for i in others)}
        return tuple(i for i in free if cells[i] not in groups)
    if settings.by == "time":
        start = min((studies[i].time or datetime.max for i in others), default=datetime.max)
        return tuple(i for i in free if (studies[i].time or datetime.max) < start)
    return tuple(free)


def _rows_of_two(studies: Sequence[Study], parts: Mapping[str, tuple[int, ...]]) -> str:
    """Give a row in each of two parts of the first patient who stands in both."""
    first: dict[str, tuple[str, int]] = {}
    for part, rows in parts.items():
        for i in rows:
            before, row = first.setdefault(studies[i].patient_id, (part, studies[i].row))
            if before != part:
                return f"{row} and {studies[i].row}"
    raise AssertionError("a patient of two parts was counted")


def _by_patient(studies: Sequence[Study], settings: SplitSettings, labels: Array) -> list[str]:
    strata = _strata(studies, labels)

    def share(patients: Sequence[str], shares: Sequence[float]) -> dict[str, int]:
        return share_patients({patient: strata[patient] for patient in patients}, shares, settings.seed)

    side = _parts(list(strata), settings, share)
    return [side[study.patient_id] for study in studies]


def _by_group(studies: Sequence[Study], settings: SplitSettings, labels: Array) -> list[str]:
    cells = _cells(studies, settings)
    known = [i for i, cell in enumerate(cells) if cell]
    bound = bound_together([studies[i].patient_id for i in known], [cells[i] for i in known])
    labels = np.array([[1.0, *labels[i]] for i in known])  # (S, 1 + C)
    counts: dict[str, Array] = {}
    for group, label in zip(bound, labels, strict=True):
        counts[group] = counts.get(group, 0) + label

    def share(groups: Sequence[str], shares: Sequence[float]) -> dict[str, int]:
        if len(groups) < len(shares):
            raise DataError(
                f"split.column {settings.column!r} gives {len(counts)} groups of which no two share a patient, too few for "
                "the parts and folds: split by patient, or name the parts in a column"
            )
        return share_groups({group: counts[group] for group in groups}, shares, settings.seed)

    side = _parts(sorted(counts), settings, share)
    sides = dict(zip(known, (side[group] for group in bound), strict=True))
    return [sides.get(i, NO_PART) for i in range(len(studies))]


def _parts(units: Sequence[str], settings: SplitSettings, share: Share) -> dict[str, str]:
    """Give each patient or group its part, by fractions or by folds."""
    f = settings.fractions
    if settings.folds is None:
        return {unit: PARTS[part] for unit, part in share(units, (f.train, f.validation, f.test)).items()}
    outer = share(units, [1 / settings.folds] * settings.folds)
    others = [unit for unit in units if outer[unit] != settings.fold]
    if settings.inner_folds is None:
        inner = share(others, (f.train / (f.train + f.validation), f.validation / (f.train + f.validation)))
        chosen = 1
    else:
        inner, chosen = share(others, [1 / settings.inner_folds] * settings.inner_folds), settings.inner_fold
    parts = {unit: "validation" if inner[unit] == chosen else "train" for unit in others}
    return {unit: parts.get(unit, "test") for unit in units}


def _by_time(studies: Sequence[Study], settings: SplitSettings) -> list[str]:
    """Give a patient the part of its first study; its studies in the period of another part are left out."""
    first: dict[str, datetime] = {}
    for study in studies:
        if study.time is None:
            raise DataError("a split by time needs the time of the studies: name its column under cohort.time")
        first[study.patient_id] = min(study.time, first.get(study.patient_id, study.time))
    starts = _starts(sorted(first.values()), settings)

    def period(time: datetime) -> str:
        return PARTS[sum(time >= start for start in starts)]

    own = [(period(first[study.patient_id]), period(study.time or datetime.max)) for study in studies]
    return [part if part == at else OTHER_PERIOD for part, at in own]


def _starts(times: Sequence[datetime], settings: SplitSettings) -> tuple[datetime, ...]:
    """Give the moments at which validation and test begin, from the sorted times of the patients' first studies."""
    if settings.dates is not None:
        return tuple(datetime(day.year, day.month, day.day) for day in settings.dates)
    f = settings.fractions
    cuts = (round(len(times) * share) for share in (f.train, f.train + f.validation))
    return tuple(times[min(cut, len(times) - 1)] for cut in cuts)


def _cells(studies: Sequence[Study], settings: SplitSettings) -> list[str]:
    assert settings.column is not None, "settings were checked"
    for study in studies:
        if settings.column not in study.cells:
            repair = nearest(settings.column, list(study.cells))
            raise DataError(f"split.column: the studies table has no column {settings.column!r}: {repair}")
    return [study.cells[settings.column] for study in studies]


def _strata(studies: Sequence[Study], labels: Array) -> dict[str, int]:
    """Give each patient the rarest class that any of its studies has; one more than there are for none."""
    rarity = np.argsort(labels.sum(0), kind="stable")
    strata: dict[str, int] = {}
    for study, label in zip(studies, labels, strict=True):
        own = next((rank for rank, column in enumerate(rarity) if label[column] > 0), len(rarity))
        strata[study.patient_id] = min(own, strata.get(study.patient_id, len(rarity)))
    return strata


def _needs_classes(labels: Array, split: Split, part: str, settings: SplitSettings) -> None:
    labels = labels[list(split[part])]
    if len(labels) == 0 or (labels.min(0) == labels.max(0)).any():
        repair = {
            "patient": f"add patients, or raise split.fractions.{part}",
            "group": "add groups, or split by patient",
            "time": f"move split.dates, or raise split.fractions.{part}",
            "column": f"put patients of every class under {part!r} in split.column",
        }[settings.by]
        if settings.folds is not None:
            repair = "choose fewer folds (split.folds, or compare.folds of a comparison), or add patients"
        raise DataError(f"the {part} part has {split.patients[part]} patients and lacks a class: {repair}")
