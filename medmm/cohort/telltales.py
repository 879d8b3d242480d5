"""What tells of the label by itself, before any model is trained: a leak, or a shortcut that a model will take.

Letters: S studies, F features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medmm.cohort.association import LEAST_PATIENTS, Association, of_features, of_number
from medmm.cohort.leakage import Check, Finding, judged
from medmm.cohort.note_words import WORD, told_by_notes
from medmm.types import Array

LIMITS: Mapping[Check, float] = {
    "column": 0.9,
    "missing": 0.75,
    "group": 0.65,
    "scanner": 0.65,
    "image size": 0.8,
    "image corners": 0.8,
    "one word": 0.75,
    "all words": 0.9,
}
"""A low end of the interval from which on something is called a leak. Which values were measured, and on which detector an
image was taken, tell of how ill a patient was thought to be: over 40 splits of a public cohort of 71 patients the low ends
reach 0.71 and 0.77 (95th percentile), and single measurements 0.68. A file name or an address that holds the diagnosis lies
above 0.98."""

NUMERIC_SHARE = 0.9


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
        scanners: Name -> S makers and models, "" where not known.
        sizes: Name -> (S, 3) rows, columns and slices, NaN where not known.
        corners: Name -> (S, F) what stands in the corners of the images, NaN where absent.
        synonyms: Class -> other words for it.
    """

    patient: Array
    label: Array
    classes: tuple[str, ...]
    columns: Mapping[str, Sequence[str]]
    notes: Mapping[str, Sequence[str]]
    groups: Mapping[str, Sequence[str]]
    present: Mapping[str, Array]
    scanners: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sizes: Mapping[str, Array] = field(default_factory=dict)
    corners: Mapping[str, Array] = field(default_factory=dict)
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)


def telltales(sample: Sample) -> list[Finding]:
    """Hold what is known of studies beside their medicine, and each column by itself, against each class.

    Returns:
        The most telling first. What has fewer than `LEAST_PATIENTS` on either side is not judged.
    """
    found = [one for number in range(len(sample.classes)) for one in _of_class(sample, number)]
    return sorted(found, key=lambda one: (not one.leaks, not one.judged, -_low(one), one.check, one.name, one.class_name))


def _of_class(sample: Sample, number: int) -> Iterator[Finding]:
    class_name, label, patient = sample.classes[number], sample.label[:, number], sample.patient
    for check, name, association in _associations(sample, label):
        yield judged(check, name, class_name, association, LIMITS[check])
    for name, notes in sample.notes.items():
        synonyms = sample.synonyms.get(class_name, ())
        yield from told_by_notes(name, notes, label, patient, class_name, synonyms, LIMITS, len(sample.classes))


def _associations(sample: Sample, label: Array) -> Iterator[tuple[Check, str, Association | None]]:
    patient = sample.patient
    for name, cells in sample.columns.items():
        yield "column", name, _of_cells(cells, label, patient)
    for name, values in sample.groups.items():
        yield "group", name, _of_words(values, label, patient)
    for name, values in sample.scanners.items():
        yield "scanner", f"{name}.scanner", _of_words(values, label, patient)
    for name, sizes in sample.sizes.items():
        yield "image size", f"{name}.size", _of_rows(_with_each_size(sizes), label, patient)
    for name, corners in sample.corners.items():
        yield "image corners", f"{name}.corners", _of_rows(corners, label, patient)
    gaps = [~has for has in sample.present.values()]
    gaps += [np.array([not cell for cell in cells]) for cells in sample.columns.values()]
    varying = [gap for gap in gaps if gap.any() and not gap.all()]
    if varying:
        yield "missing", "missing", of_features(np.stack(varying, 1).astype(float), label, patient)


def _of_cells(cells: Sequence[str], label: Array, patient: Array) -> Association | None:
    """Judge numbers by their size and, where values recur as codes do, by each value as well."""
    numbers = np.array([_number(cell) for cell in cells])
    given = np.array([bool(cell) for cell in cells])
    if not given.any() or (~np.isnan(numbers)).sum() < NUMERIC_SHARE * given.sum():
        return _of_words(cells, label, patient)
    _, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    if not (counts >= LEAST_PATIENTS).any():
        return of_number(numbers, label, patient)
    ways = [of_number(numbers, label, patient, tried=2), _of_words(cells, label, patient, tried=2)]
    return max((one for one in ways if one is not None), key=lambda one: one.low, default=None)


def _of_words(texts: Sequence[str], label: Array, patient: Array, tried: int = 1) -> Association | None:
    """Judge texts by the words in them and by their whole, so that a code and a sentence are both seen."""
    from sklearn.feature_extraction.text import CountVectorizer

    def parts(text: str) -> list[str]:
        return [f"= {text}", *re.findall(WORD, text.lower())]

    given = np.array([bool(text) for text in texts])
    if not given.any():
        return None
    features = CountVectorizer(analyzer=parts, binary=True).fit_transform([text for text in texts if text])
    return of_features(features, label[given], patient[given], tried)


def _of_rows(features: Array, label: Array, patient: Array) -> Association | None:
    known = ~np.isnan(features).any(axis=1)
    return of_features(features[known], label[known], patient[known])


def _with_each_size(sizes: Array) -> Array:
    """Add to (S, 3) sizes a column for each that several studies have, so that an odd size is seen as well as large ones."""
    known = sizes[~np.isnan(sizes).any(axis=1)]
    different, counts = np.unique(known, axis=0, return_counts=True)
    common = different[counts >= LEAST_PATIENTS]
    return np.hstack([sizes, (sizes[:, None] == common[None]).all(-1)])  # (S, 3 + sizes)


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def _low(one: Finding) -> float:
    return one.association.low if one.association else 0.0
