"""One exposure is known again however it was sent; two exposures are not taken for one."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medmm.cohort import near_images as near
from medmm.cohort.near_images import near_images

STUDIES = 150
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same": lambda image: image,
    "brightness": lambda image: 0.7 * image + 40,
    "gamma": lambda image: np.sqrt(image - image.min()),
    "noise": lambda image: (
        image + np.random.default_rng(int(abs(image[0, 0].sum() * 1e6))).normal(0, 0.02 * np.ptp(image), image.shape)
    ),
    "blur": lambda image: gaussian_filter(image, (0, *[0.7] * (image.ndim - 1))),
    "window": lambda image: np.clip(image, *np.quantile(image, [0.05, 0.95])),
    "half the pixels": lambda image: (image[:, ::2, ::2] + image[:, 1::2, 1::2]) / 2,
}


def exposures(seed: int, *shape: int) -> list[np.ndarray]:
    """Images that share a shape, of which each has details of its own."""
    rng = np.random.default_rng(seed)

    def drawn() -> np.ndarray:  # of every scale, as anatomy is
        noise = rng.normal(size=(1, *shape))
        octaves = [gaussian_filter(noise, (0, *[blur] * len(shape)), mode="wrap") for blur in (1.2, 2, 4, 8)]
        return np.sum(
            [octave / octave.std() * weight for octave, weight in zip(octaves, (1, 0.7, 0.7, 1), strict=True)], axis=0
        )

    common = drawn()
    return [common + 0.6 * drawn() for _ in range(STUDIES)]


SIDES = np.arange(STUDIES) % 3


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(64, 64), (64, 48), (32, 32, 16)])
def test_two_exposures_are_not_taken_for_one(seed: int, shape: tuple[int, ...]) -> None:
    images = exposures(seed, *shape)
    assert not list(near_images(images, SIDES))
    # They are alike all the same: it is what is common to them that is taken away.
    assert np.mean([np.corrcoef(images[0].ravel(), other.ravel())[0, 1] for other in images[1:]]) > 0.6


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 8)])
def test_one_exposure_is_known_again(change: str, shape: tuple[int, ...]) -> None:
    images: list[np.ndarray | None] = [*exposures(7, *shape)]
    for copy, source in ((30, 4), (50, 9), (33, 3), (41, 5)):  # 33 and 3, 41 and 5 stand on one side each
        image = images[source]
        assert image is not None
        images[copy] = CHANGES[change](image)
    images[9 + 1] = None
    found = {frozenset(pair) for pair in near_images(images, SIDES)}
    assert found == {frozenset((4, 30)), frozenset((9, 50))}


def test_a_study_of_no_side_and_an_image_of_one_value_are_not_looked_at() -> None:
    images = exposures(3, 64, 64)
    images[1], images[5], images[6], images[2] = images[0], images[4], np.ones((1, 64, 64)), np.ones((1, 64, 64))
    sides = SIDES.copy()
    sides[5] = -1
    assert list(near_images(images, sides)) == [(0, 1)]
    assert list(near_images([None, np.zeros((1, 8, 8))], np.array([0, 1]))) == []


def test_blocks_lose_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    images = exposures(2, 64, 64)
    images[50], images[59] = images[4], images[0]
    whole = list(near_images(images, SIDES))
    monkeypatch.setattr(near, "BLOCK", 7)
    assert sorted(near_images(images, SIDES)) == sorted(whole) == [(0, 59), (4, 50)]


def test_the_same_details_on_another_image_are_no_copy() -> None:
    images = exposures(4, 64, 64)
    grid = 30 * (np.indices((64, 64)).sum(axis=0) % 16 < 8)  # such as that of a detector
    rng = np.random.default_rng(0)
    shapes = [gaussian_filter(rng.normal(size=(1, 64, 64)), (0, 10, 10)) * 100 for _ in range(2)]
    images[0], images[1] = (shape + grid + 0.1 * images[0] for shape in shapes)
    assert list(near_images(images, SIDES)) == []
    images[1] = images[0] + 1
    assert list(near_images(images, SIDES)) == [(0, 1)]
