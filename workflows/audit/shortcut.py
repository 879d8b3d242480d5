"""Check of images: with the centre blanked, where the patient is, does the frame still tell the diagnosis?

Source:
    Maguolo & Nanni, A critic evaluation of methods for COVID-19 automatic detection from X-ray images, Information Fusion 76
    (2021) 1-7. DeGrave, Janizek & Lee, AI for radiographic COVID-19 detection selects shortcuts over signal, Nature Machine
    Intelligence 3 (2021) 610-619.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from medmm.dataset.cache import ABSENT, PreparedInput
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.types import Array, Scores

from .audited import Audited, headline_of
from .finding import Finding, beyond, judge, not_applicable, shown
from .simple import simple_answers

FRAME = 0.125
"""Share of each side of an image that is left at either end; what lies between is blanked."""

HALF = 0.5
"""Of the way from nothing to perfect: a frame that surely tells more than this is a shortcut."""

GRID = 16
"""Cells of a side of the picture from which the simple model learns."""

CHUNK = 64
"""Studies whose blanked images are held at once."""

FIELD = "image"


def shortcut(audited: Audited) -> Finding:
    """Ask the model, and a simple model that learned from frames alone, about images of which only the frame is left."""
    subject = audited.subject
    images = [name for name in subject.inputs if subject.package.inputs[name].settings.kind == "image"]
    if not images:
        return not_applicable("no input is an image")
    yardstick = YARDSTICKS[subject.config.target.task]
    found: list[tuple[str, Estimate, Scores]] = []
    for name in images:
        has = subject.test.present[:, subject.inputs.index(name)].astype(bool)
        if not has.any():
            continue
        rows = subject.test.rows[has]
        truth = subject.test.scores.some(has)
        answers = _asked_of_frames(audited, name, rows)
        found.append(_measured(f"the model on the frame of {name}", replace(truth, predicted=answers), audited))
        if (simple := _simple(audited, name, rows)) is not None:
            found.append(_measured(f"a linear model of the frame of {name}", replace(truth, predicted=simple), audited))
    if not found:
        return not_applicable("no test study has an image")
    limit = yardstick.nothing + HALF * (1 - yardstick.nothing)
    told = "; ".join(f"{what}: {yardstick.label} {shown(one)}" for what, one, _ in found)
    surely = [one for one in found if beyond(one[1], most=limit, comparisons=len(found))]
    what, worst, scores = max(surely or found, key=lambda one: np.nan_to_num(one[1].value, nan=-np.inf))
    evidence = f"{told}; a shortcut is what surely exceeds {limit:.2f}"
    measure = f"{yardstick.label} of {what}"
    return judge(measure, worst, evidence, most=limit, comparisons=len(found), rests_on=yardstick.rests_on(scores))


def _measured(what: str, scores: Scores, audited: Audited) -> tuple[str, Estimate, Scores]:
    return what, headline_of(scores, audited.subject.config), scores


def _asked_of_frames(audited: Audited, name: str, rows: Array) -> Array:
    subject = audited.subject
    flat = _in_plane(audited, name)
    parts = []
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        frames = _with_images(subject.prepared[name], some, flat)
        parts.append(subject.ask(some, {name: frames}, frozenset([name])))
    return np.concatenate(parts)


def _in_plane(audited: Audited, name: str) -> tuple[int, int]:
    """Give the two axes, from the end, of a slice: of a volume (..., x, y, z) the first two of the three."""
    dimensions = len(getattr(audited.subject.package.inputs[name].settings, "size", (0, 0)))
    return (-3, -2) if dimensions == 3 else (-2, -1)


def _with_images(prepared: PreparedInput, rows: Sequence[int] | Array, axes: tuple[int, int]) -> PreparedInput:
    """Give the input of some studies with blanked centres; the others have nothing."""
    place = np.full_like(prepared.place, ABSENT)
    fields: dict[str, list[Array]] = {}
    for number, (row, own) in enumerate(_fields(prepared, rows)):
        place[row] = 0, number
        for field, values in own.items():
            fields.setdefault(field, []).append(blanked(values, axes) if field == FIELD else values)
    return replace(prepared, place=place, shards=({field: np.stack(values) for field, values in fields.items()},))


def _fields(prepared: PreparedInput, rows: Sequence[int] | Array) -> Iterator[tuple[int, dict[str, Array]]]:
    for row in rows:
        own = prepared.fields(int(row))
        assert own is not None, "only studies that have the input are asked about"
        yield int(row), own


def blanked(image: Array, axes: tuple[int, int]) -> Array:
    """Replace the centre of an image by the median of its frame.

    Args:
        image: Any leading axes, channels among them.
        axes: The two of a slice.
    """
    centre: list[slice] = [slice(None)] * image.ndim
    for axis in axes:
        side = image.shape[axis]
        edge = max(1, round(FRAME * side))
        centre[axis] = slice(edge, side - edge)
    inside = np.zeros(image.shape, bool)
    inside[tuple(centre)] = True
    left = np.array(image)
    left[inside] = np.median(image[~inside]).astype(image.dtype)
    return left


def _simple(audited: Audited, name: str, rows: Array) -> Array | None:
    """Let a linear model that learned from frames of training and validation speak; None without such studies."""
    subject, learning = audited.subject, audited.learning
    if learning is None:
        return None
    has = learning.present[:, subject.inputs.index(name)].astype(bool)
    if not has.any():
        return None
    axes = _in_plane(audited, name)
    known, asked = (_pictures(subject.prepared[name], some, axes) for some in (learning.rows[has], rows))
    return simple_answers(known, learning.scores.target[has], asked, subject.config.target.task)


def _pictures(prepared: PreparedInput, rows: Array, axes: tuple[int, int]) -> Array:
    """Give (n, GRID * GRID) the means of cells of blanked images, over all other axes."""
    pictures = []
    for _, own in _fields(prepared, rows):
        flat = np.moveaxis(blanked(own[FIELD], axes).astype(np.float32), axes, (0, 1))
        flat = flat.reshape(*flat.shape[:2], -1).mean(axis=-1)
        pictures.append(_cells(_cells(flat).T).ravel())
    return np.array(pictures)


def _cells(values: Array) -> Array:
    """Give the means of `GRID` runs of rows; of fewer rows, the rows."""
    runs = np.array_split(np.arange(len(values)), min(GRID, len(values)))
    return np.array([values[run].mean(axis=0) for run in runs])
