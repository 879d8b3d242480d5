"""What a study still means after: cells hidden and shaken, words taken out, features blanked.

Sources: Sohn et al. 2020, FixMatch (a strong view beside a weak one); Bahri et al. 2022, SCARF (cells of a table); Wei and Zou
2019, EDA (words of a text). L tokens, P chunks of a note, F numeric and G categorical columns.
"""

from collections.abc import Mapping

import numpy as np

from medmm.types import Array

HIDDEN_CELLS = 0.25
"""Chance of a known cell to be hidden."""

SHAKEN = 0.2
"""Standard deviation of the noise on a number, in standard deviations of its column."""

LOST_WORDS = 0.2
"""Chance of a token to be taken out."""

BLANKED = 0.2
"""Chance of a kept feature of a frozen backbone to be blanked."""


def shake_cells(fields: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Hide some cells of {"number": (F,), "known": (F,), "category": (G,)} and add noise to numbers; one cell always stays."""
    known, category = np.asarray(fields["known"] > 0), fields["category"]
    there = np.concatenate([known, category > 0])
    stays = keep_one(there, np.asarray(rng.random(len(there))), HIDDEN_CELLS, rng)
    noise = rng.normal(0, SHAKEN, len(known)).astype(fields["number"].dtype)
    kept = stays[: len(known)]
    return {
        **fields,
        "number": np.where(kept, fields["number"] + noise, 0).astype(fields["number"].dtype),
        "known": kept.astype(fields["known"].dtype),
        "category": np.where(stays[len(known) :], category, 0).astype(category.dtype),
    }


def lose_words(fields: Mapping[str, Array], rng: np.random.Generator, padding: int) -> dict[str, Array]:
    """Take tokens out of {"ids": (L,), "mask": (L,)} or (P, L), the rest closing up; one token of a chunk always stays."""
    ids, mask = np.full_like(fields["ids"], padding), np.zeros_like(fields["mask"])
    length = ids.shape[-1]
    for old, new, real, seen in zip(
        *(part.reshape(-1, length) for part in (fields["ids"], ids, fields["mask"], mask)), strict=True
    ):
        left = old[keep_one(np.asarray(real > 0), np.asarray(rng.random(length)), LOST_WORDS, rng)]
        new[: len(left)], seen[: len(left)] = left, 1
    return {**fields, "ids": ids, "mask": mask}


def blank_features(fields: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Blank columns of the kept features of a frozen backbone, "features" (..., H)."""
    features = fields["features"]
    return {**fields, "features": features * np.greater_equal(rng.random(features.shape[-1]), BLANKED).astype(features.dtype)}


def keep_one(there: Array, chance: Array, lost: float, rng: np.random.Generator) -> Array:
    """Give which of those that are there stay, those with a chance not below `lost`; where none has, one is drawn."""
    kept = np.asarray(there & np.greater_equal(chance, lost))
    if there.any() and not kept.any():
        kept[rng.choice(np.flatnonzero(there))] = True
    return kept
