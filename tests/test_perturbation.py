"""Strong changes of a study: what they take, what they leave, and that seeds fix them."""

from collections.abc import Mapping

import numpy as np
import pytest
from conftest import Hospital

from medmm.dataset.decode import prepare_study
from medmm.encoders.several import THERE
from medmm.errors import Rejected
from medmm.inputs.base import Fields, Input
from medmm.inputs.image import BLANK, AugmentationSettings, ImageSettings, random_transforms
from medmm.inputs.perturbation import (
    BLANKED,
    HIDDEN_CELLS,
    LOST_WORDS,
    SHAKEN,
    blank_features,
    keep_one,
    lose_words,
    shake_cells,
)
from medmm.types import Array

SEEDS = range(20)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def copied(fields: Mapping[str, Array]) -> Fields:
    return {name: values.copy() for name, values in fields.items()}


def alike(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return set(one) == set(other) and all(np.array_equal(values, other[name]) for name, values in one.items())


def test_those_with_a_chance_not_below_the_loss_stay_by_hand() -> None:
    there = np.array([True, True, False, True])
    chance = np.array([0.2, 0.3, 0.9, 0.1])
    assert keep_one(there, chance, 0.2, rng_of(0)).tolist() == [True, True, False, False]
    assert keep_one(np.zeros(4, bool), chance, 0.2, rng_of(0)).tolist() == [False] * 4
    left = [int(np.flatnonzero(keep_one(there, chance, 0.95, rng_of(seed))).item()) for seed in SEEDS]
    assert set(left) == {0, 1, 3}


def cells(known: int = 6, categories: int = 4) -> Fields:
    number = np.arange(1, known + 1, dtype=np.float32)
    number[0] = 0
    return {
        "number": number,
        "known": np.array([0, *[1] * (known - 1)], np.uint8),
        "category": np.array([0, *range(2, categories + 1)], np.int32),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_shaken_cells_are_of_the_same_kind_and_none_appears(seed: int) -> None:
    given = cells()
    before = copied(given)
    found = shake_cells(given, rng_of(seed))
    assert alike(given, before)  # what the cache holds stays as it is
    assert alike(found, shake_cells(given, rng_of(seed)))
    assert not alike(found, shake_cells(given, rng_of(seed + 1)))
    assert {n: (v.dtype, v.shape) for n, v in found.items()} == {n: (v.dtype, v.shape) for n, v in given.items()}
    assert set(found["known"].tolist()) <= {0, 1}
    assert not (found["known"] > given["known"]).any()
    assert not found["number"][found["known"] == 0].any()
    stays = found["category"] > 0
    assert np.array_equal(found["category"][stays], given["category"][stays])


def test_one_cell_always_stays_and_where_there_is_none_none_appears() -> None:
    lone: Fields = {"number": np.zeros(2, np.float32), "known": np.zeros(2, np.uint8), "category": np.array([0, 3], np.int32)}
    number = {**lone, "known": np.array([0, 1], np.uint8), "category": np.zeros(2, np.int32)}
    nothing = {**lone, "category": np.zeros(2, np.int32)}
    for seed in SEEDS:
        assert shake_cells(lone, rng_of(seed))["category"].tolist() == [0, 3]
        assert shake_cells(number, rng_of(seed))["known"].tolist() == [0, 1]
        assert alike(shake_cells(nothing, rng_of(seed)), nothing)


def test_how_much_is_hidden_and_shaken() -> None:
    given = {
        "number": np.full(20_000, 5, np.float32),
        "known": np.ones(20_000, np.uint8),
        "category": np.full(20_000, 2, np.int32),
    }
    found = shake_cells(given, rng_of(0))
    known = found["known"] > 0
    assert 1 - known.mean() == pytest.approx(HIDDEN_CELLS, abs=0.01)
    assert (found["category"] == 0).mean() == pytest.approx(HIDDEN_CELLS, abs=0.01)
    moved = found["number"][known] - 5
    assert moved.std() == pytest.approx(SHAKEN, rel=0.03)
    assert abs(moved.mean()) < 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_words_are_lost_in_order_and_the_rest_closes_up(seed: int) -> None:
    ids = np.array([11, 12, 13, 14, 15, 7, 7, 7], np.int32)
    given = {"ids": ids, "mask": np.array([1] * 5 + [0] * 3, np.uint8), "cut": np.array([3])}
    before = copied(given)
    found = lose_words(given, rng_of(seed), padding=7)
    assert alike(given, before)
    assert alike(found, lose_words(given, rng_of(seed), padding=7))
    assert (found["ids"].dtype, found["mask"].dtype) == (ids.dtype, given["mask"].dtype)
    left = found["ids"][: int(found["mask"].sum())].tolist()
    assert left
    assert left == sorted(set(left) & {11, 12, 13, 14, 15})
    assert found["mask"].tolist() == [1] * len(left) + [0] * (8 - len(left))
    assert found["ids"][len(left) :].tolist() == [7] * (8 - len(left))
    assert found["cut"].tolist() == [3]


def test_every_chunk_keeps_a_word_and_one_that_has_none_gets_none() -> None:
    ids = np.array([[21, 0, 0], [0, 0, 0], [31, 32, 33]], np.int64)
    given = {"ids": ids, "mask": (ids > 0).astype(np.uint8)}
    third = set()
    for seed in range(200):
        found = lose_words(given, rng_of(seed), padding=0)
        assert found["ids"].shape == ids.shape
        assert found["ids"][:2].tolist() == [[21, 0, 0], [0, 0, 0]]
        assert np.array_equal(found["mask"], found["ids"] > 0)
        third.add(tuple(found["ids"][2][found["ids"][2] > 0].tolist()))
    # By hand: every part of three words but none of them.
    assert third == {(31,), (32,), (33,), (31, 32), (31, 33), (32, 33), (31, 32, 33)}


def test_how_many_words_are_lost() -> None:
    given = {"ids": np.full((40, 500), 5, np.int32), "mask": np.ones((40, 500), np.uint8)}
    assert 1 - lose_words(given, rng_of(0), 0)["mask"].mean() == pytest.approx(LOST_WORDS, abs=0.01)


def test_features_are_blanked_alike_in_all_tokens() -> None:
    features = rng_of(1).normal(size=(3, 4, 5000)).astype(np.float16)
    given = {"features": features, "features_mask": np.ones((3, 4), np.uint8)}
    found = blank_features(given, rng_of(0))
    blanked = (found["features"] == 0).all((0, 1))
    assert blanked.mean() == pytest.approx(BLANKED, abs=0.02)
    assert np.array_equal(found["features"][..., ~blanked], features[..., ~blanked])
    assert found["features"].dtype == np.float16
    assert found["features_mask"] is given["features_mask"]
    assert alike(found, blank_features(given, rng_of(0)))
    assert not alike(found, blank_features(given, rng_of(1)))


def prepared(hospital: Hospital, name: str) -> tuple[Input[object], Fields]:
    study = next(study for study in hospital.studies if name in study.evidence)
    found = prepare_study(study, hospital.inputs)
    assert not isinstance(found, Rejected)
    return hospital.inputs[name], dict(found[name])


@pytest.mark.parametrize("name", ["chest", "labs", "history"])
def test_every_kind_is_varied_by_its_seed_and_otherwise_than_weakly(name: str, hospital: Hospital) -> None:
    one, fields = prepared(hospital, name)
    before = copied(fields)
    for seed in range(5):
        strong = one.perturb(fields, rng_of(seed))
        assert alike(strong, one.perturb(fields, rng_of(seed)))
        assert {n: v.shape for n, v in strong.items()} == {n: v.shape for n, v in fields.items()}
        assert all(np.isfinite(values).all() for values in strong.values())
    assert alike(fields, before)
    several = [one.perturb(fields, rng_of(seed)) for seed in range(5)]
    assert not all(alike(several[0], other) for other in several[1:])
    assert not all(alike(strong, one.augment(fields, rng_of(seed))) for seed, strong in enumerate(several))


@pytest.mark.parametrize("name", ["chest", "history"])
def test_of_a_frozen_backbone_features_are_blanked(name: str, hospital: Hospital) -> None:
    one, fields = prepared(hospital, name)
    kept: Fields = {"features": np.ones((2, 400), np.float32), "features_mask": np.ones(2, np.uint8)}
    if "mask" in fields:
        kept["mask"] = fields["mask"]
    found = one.perturb(kept, rng_of(0))
    assert alike(found, blank_features(kept, rng_of(0)))
    assert 0 < (found["features"] == 0).mean() < 1


def test_words_are_lost_to_the_padding_of_the_tokenizer(hospital: Hospital) -> None:
    one, fields = prepared(hospital, "history")
    padding = one.state["padding"]
    found = one.perturb(fields, rng_of(3))
    assert found["mask"].sum() < fields["mask"].sum()
    assert (found["ids"][found["mask"] == 0] == padding).all()
    other = one.settings.open("history", {**one.state, "padding": 77})
    assert (other.perturb(fields, rng_of(3))["ids"][found["mask"] == 0] == 77).all()


def test_strong_changes_of_an_image_by_hand() -> None:
    strong = AugmentationSettings(shift=0.08, rotation_degrees=2, scale=0.2, noise=0.05, contrast=0, blank=0).stronger()
    # By hand: thrice what is asked for, or thrice the usual where that is more, no more than the caps.
    expected = {"shift": 0.24, "rotation_degrees": 15, "scale": 0.3, "noise": 0.15, "contrast": 0.3, "blank": BLANK}
    assert strong.model_dump() == pytest.approx(expected)
    most = AugmentationSettings(shift=0.5, rotation_degrees=90, scale=0.9, noise=0, contrast=0.9, blank=0.5).stronger()
    assert most.model_dump() == pytest.approx(
        {"shift": 0.3, "rotation_degrees": 45, "scale": 0.3, "noise": 0.03, "contrast": 0.5, "blank": 0.5}
    )


@pytest.mark.parametrize("size", [(20, 40), (20, 10, 30)])
def test_a_box_is_blanked_as_large_as_asked_for(size: tuple[int, ...]) -> None:
    nothing = {"shift": 0, "rotation_degrees": 0, "scale": 0, "noise": 0, "contrast": 0}
    chance = random_transforms(AugmentationSettings.model_validate({**nothing, "blank": 0.3}), size)
    assert chance is not None
    image = rng_of(0).random((1, *size)).astype(np.float32)
    chance.set_random_state(seed=0)
    changed = np.argwhere(np.asarray(chance(image.copy()))[0] != image[0])
    sides = changed.max(0) - changed.min(0) + 1
    assert sides.tolist() == [round(0.3 * side) for side in size]
    assert len(changed) == np.prod(sides)
    assert random_transforms(AugmentationSettings.model_validate({**nothing, "blank": 0}), size) is None


def test_an_image_that_is_not_augmented_is_perturbed_all_the_same_and_one_that_is_not_there_is_not() -> None:
    nothing = {"shift": 0, "rotation_degrees": 0, "scale": 0, "noise": 0, "contrast": 0}
    settings = ImageSettings.model_validate({"path": "x", "images": 3, "size": [16, 16], "augmentation": nothing})
    one = settings.open("scan")
    image = np.zeros((3, 1, 16, 16), np.float16)
    image[:2] = rng_of(0).random((2, 1, 16, 16))
    fields: Fields = {"image": image, THERE: np.array([1, 1, 0], np.uint8)}
    assert one.augment(fields, rng_of(0)) is fields
    found = one.perturb(fields, rng_of(0))
    assert found["image"].shape == image.shape
    assert not found["image"][2].any()
    first, second = (found["image"][i] - image[i] for i in range(2))
    assert first.any()
    assert second.any()
    assert not np.allclose(first, second)
