"""Studies that are surely unlike any of the training, made of ordinary ones by altering prepared fields of one input.

| field | ways |
| --- | --- |
| images: numbers with two or more axes a study | `inverted`, `noise` of the study's own mean and spread, `shuffled` places |
| `number`, cells in standard deviations | `out_of_range`: every known cell far from all others |
| `ids`, tokens of a note | `shuffled` order, `random_words` of those that the studies have |

n studies.
"""

from collections.abc import Callable, Mapping

import numpy as np

from medmm.types import Array

FAR = 8.0
"""Standard deviations; no cell of a thousand studies is expected beyond 4."""


def inverted(values: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Turn bright into dark, within the range of each study."""
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    return np.asarray(low + high - values)


def noise(values: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Put noise of the mean and spread of each study in its place."""
    mean, spread = values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)
    return np.asarray(mean + spread * rng.normal(size=values.shape))


def shuffled(values: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Put what is real of each study into another order."""
    result = values.copy()
    for new, real in zip(result, mask, strict=True):
        new[real] = rng.permutation(new[real])
    return result


def out_of_range(values: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Put every known cell far above or below all others."""
    far = FAR * rng.choice([-1.0, 1.0], size=values.shape)
    return np.where(mask, far, values)


def random_words(values: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Put words of any study in the place of the words of each."""
    known = np.unique(values[mask]) if mask.any() else np.zeros(1, values.dtype)
    return np.where(mask, rng.choice(known, size=values.shape), values)


Alter = Callable[[Array, Array, np.random.Generator], Array]
"""(n, V) numbers, (n, V) which of them are real -> (n, V)."""

IMAGE: Mapping[str, Alter] = {"inverted": inverted, "noise": noise, "shuffled": shuffled}
CELLS: Mapping[str, Alter] = {"out_of_range": out_of_range}
WORDS: Mapping[str, Alter] = {"shuffled": shuffled, "random_words": random_words}

MASKS = {"number": "known", "ids": "mask"}
"""Field -> the field that tells which of its numbers are real."""


def ways(fields: Mapping[str, Array]) -> tuple[str, ...]:
    """Name the ways in which prepared fields (n, ...) can be made outliers; none where there is nothing to alter."""
    return tuple(_alterations(fields)[1])


def plant(fields: Mapping[str, Array], way: str, rng: np.random.Generator) -> dict[str, Array]:
    """Give prepared fields (n, ...) of studies as outliers, of the same shapes and kinds."""
    name, known = _alterations(fields)
    values = fields[name]
    wide = values.dtype if np.issubdtype(values.dtype, np.integer) else np.float64
    flat = np.asarray(values, wide).reshape(len(values), -1)
    real = np.ones(flat.shape, bool)
    if name in MASKS:
        real = np.asarray(fields[MASKS[name]] > 0).reshape(len(values), -1)
    return {**fields, name: known[way](flat, real, rng).reshape(values.shape).astype(values.dtype)}


def _alterations(fields: Mapping[str, Array]) -> tuple[str, Mapping[str, Alter]]:
    """Give the field to alter, and how."""
    if "ids" in fields:
        return "ids", WORDS
    if "number" in fields and fields["number"].size:
        return "number", CELLS
    for name, values in fields.items():
        if np.issubdtype(values.dtype, np.floating) and values.ndim > 2 and values.size:
            return name, IMAGE
    return "", {}
