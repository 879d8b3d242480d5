"""Planted outliers keep shapes and kinds, alter what they name and nothing else, and are the same for the same seed."""

import numpy as np
import pytest

from medmm.evaluation.outliers import FAR, plant, ways
from medmm.types import Array

RNG = np.random.default_rng(0)
IMAGES: dict[str, Array] = {"image": RNG.random((5, 1, 6, 7)).astype(np.float16)}
CELLS: dict[str, Array] = {
    "number": RNG.normal(size=(5, 4)).astype(np.float32),
    "known": np.tile(np.array([1, 1, 0, 1], np.uint8), (5, 1)),
    "category": np.ones((5, 2), np.int32),
}
WORDS: dict[str, Array] = {
    "ids": np.stack([np.r_[5:17, 0, 0], np.r_[20:30, 0, 0, 0, 0]]).astype(np.int32),
    "mask": np.stack([np.r_[[1] * 12, 0, 0], np.r_[[1] * 10, 0, 0, 0, 0]]).astype(np.uint8),
    "cut": np.zeros((2, 1), np.int32),
}


@pytest.mark.parametrize("fields", [IMAGES, CELLS, WORDS], ids=["image", "cells", "words"])
def test_every_way_changes_one_field_and_keeps_its_kind(fields: dict[str, Array]) -> None:
    before = {name: values.copy() for name, values in fields.items()}
    for way in ways(fields):
        planted = plant(fields, way, np.random.default_rng(1))
        again = plant(fields, way, np.random.default_rng(1))
        changed = [name for name in fields if not np.array_equal(planted[name], fields[name])]
        assert changed == [next(iter(fields))]
        for name, values in fields.items():
            assert planted[name].shape == values.shape
            assert planted[name].dtype == values.dtype
            assert np.array_equal(planted[name], again[name])
            assert np.array_equal(values, before[name])


def test_images_are_altered_as_they_say() -> None:
    image = IMAGES["image"].astype(np.float64)
    turned = plant(IMAGES, "inverted", RNG)["image"].astype(np.float64)
    for own, new in zip(image, turned, strict=True):
        np.testing.assert_allclose(own + new, own.min() + own.max(), atol=2e-3)
    moved = plant(IMAGES, "shuffled", RNG)["image"]
    np.testing.assert_array_equal(np.sort(moved.reshape(5, -1)), np.sort(IMAGES["image"].reshape(5, -1)))
    wild = {"image": np.random.default_rng(0).normal(3, 2, size=(5, 1, 40, 40)).astype(np.float32)}
    drawn = plant(wild, "noise", RNG)["image"].reshape(5, -1)
    np.testing.assert_allclose(drawn.mean(axis=1), 3, atol=0.3)
    np.testing.assert_allclose(drawn.std(axis=1), 2, atol=0.3)


def test_known_cells_alone_leave_their_range() -> None:
    number = plant(CELLS, "out_of_range", RNG)["number"]
    assert (np.abs(number[:, [0, 1, 3]]) == FAR).all()
    np.testing.assert_array_equal(number[:, 2], CELLS["number"][:, 2])


def test_words_stay_where_there_were_words() -> None:
    for way in ("shuffled", "random_words"):
        ids = plant(WORDS, way, np.random.default_rng(3))["ids"]
        assert (ids[WORDS["mask"] == 0] == 0).all()
        assert set(ids[WORDS["mask"] == 1]) <= set(WORDS["ids"].ravel().tolist()) - {0}
    assert sorted(plant(WORDS, "shuffled", np.random.default_rng(3))["ids"][0]) == sorted(WORDS["ids"][0])


def test_fields_of_which_nothing_can_be_altered_have_no_way() -> None:
    assert ways({"number": np.zeros((3, 0)), "category": np.ones((3, 2), np.int32)}) == ()
