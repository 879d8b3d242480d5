"""Which studies learn, which choose and which judge: split by patient, stratified by label, with a proof."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from medmm.errors import DataError
from medmm.settings import Settings
from medmm.types import Study

PARTS = ("train", "validation", "test")


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
    """How patients are shared out."""

    by: Literal["patient"] = "patient"
    """The unit that must not stand on two sides."""

    fractions: Fractions = Fractions()
    """Share of the patients in each part."""

    seed: int = 0
    """Another seed gives another split."""


@dataclass(frozen=True)
class Split:
    """Indices of the studies of each part, in the order of the studies.

    Attributes:
        parts: Part -> indices.
        patients: Part -> number of patients.
        shared_patients: Patients that stand in more than one part: the proof is that it is 0.
    """

    parts: Mapping[str, tuple[int, ...]]
    patients: Mapping[str, int]
    shared_patients: int

    def __getitem__(self, part: str) -> tuple[int, ...]:
        return self.parts[part]


def split_studies(studies: Sequence[Study], settings: SplitSettings) -> Split:
    """Share out labelled studies by patient, stratified by the rarest class that a patient has.

    Raises:
        DataError: Too few patients for three parts, or a part lacks a class.
    """
    strata: dict[int, list[str]] = {}
    for patient, stratum in _strata(studies).items():
        strata.setdefault(stratum, []).append(patient)
    side: dict[str, str] = {}
    for stratum in sorted(strata):
        patients = sorted(strata[stratum])
        np.random.default_rng([settings.seed, stratum]).shuffle(patients)
        first = round(len(patients) * settings.fractions.train)
        second = first + max(1, round(len(patients) * settings.fractions.validation))
        for number, patient in enumerate(patients):
            side[patient] = PARTS[(number >= first) + (number >= second)]
    split = prove(studies, {part: tuple(i for i, s in enumerate(studies) if side[s.patient_id] == part) for part in PARTS})
    for part in PARTS:
        _needs_classes(studies, split, part)
    return split


def prove(studies: Sequence[Study], parts: Mapping[str, tuple[int, ...]]) -> Split:
    """Count the patients of each part, and those on more than one side.

    Raises:
        DataError: A patient stands on two sides.
    """
    patients = {part: {studies[i].patient_id for i in rows} for part, rows in parts.items()}
    shared = sum(map(len, patients.values())) - len(set().union(*patients.values()))
    if shared:
        raise DataError(f"{shared} patients stand in more than one part of the split: give each patient one part")
    return Split(parts, {part: len(members) for part, members in patients.items()}, shared)


def _strata(studies: Sequence[Study]) -> dict[str, int]:
    """Give each patient the rarest class that any of its studies has; -1 for none."""
    labels = np.array([study.label for study in studies], dtype=float)  # (S, C)
    rarity = np.argsort(labels.sum(0), kind="stable")
    strata: dict[str, int] = {}
    for study, label in zip(studies, labels, strict=True):
        own = next((rank for rank, column in enumerate(rarity) if label[column] > 0), len(rarity))
        strata[study.patient_id] = min(own, strata.get(study.patient_id, len(rarity)))
    return strata


def _needs_classes(studies: Sequence[Study], split: Split, part: str) -> None:
    labels = np.array([studies[i].label for i in split[part]], dtype=float)
    if len(labels) == 0 or (labels.min(0) == labels.max(0)).any():
        raise DataError(
            f"the {part} part has {split.patients[part]} patients and lacks a class: "
            f"add patients, or raise split.fractions.{part}"
        )
