"""Images that are nearly the same: one exposure sent twice, encoded, windowed or scaled in another way, but not moved.

Two images are nearly the same where both their perceptual hashes and what is peculiar to them agree. What all images of a
cohort have in common, such as the outline of a chest, is taken away first, for in that any two patients agree.

Letters: S images, P pixels of a thumbnail, K channels.

Source: Zauner, Implementation and benchmarking of perceptual image hash functions (2010), section 3.2.2, for the hash.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from medmm.types import Array

SIDE = 32
"""Pixels of a thumbnail's side; of a volume each of four slices has so many."""

SHARES_OF_DEPTH = (0.2, 0.4, 0.6, 0.8)
"""Where the slices lie that stand for a volume."""

DETAIL = 1.5
"""Standard deviation in pixels of the blur that is taken away, so that details are left."""

LOW_FREQUENCIES = 8
"""Of the cosine transform of a thumbnail, along each side; the hash is their signs about the median."""

FARTHEST = 12
"""Bits of 64 in which the hashes of near images may differ. Of 346 chest radiographs that were blurred, compressed, halved,
clipped, turned by two degrees or shown with another gamma, 95 of 100 stay within 10; of 33,544 pairs of patients the nearest
has 6."""

COMMON = 16
"""Principal components that images of a cohort have in common; never more than one for `IMAGES_OF_ONE` images."""

IMAGES_OF_ONE = 8
LEARNED_FROM = 512

LEAST_CORRELATION = 0.83
"""Of what is peculiar to two images. 95 of 100 changed radiographs lie above 0.93 (clipped 0.85); the pairs of patients below
0.58, and those of synthetic cohorts, whose smooth images have few details, below 0.81. What was moved is not found: of those
turned by two degrees 58 of 100 are, of those with a margin of two percent cut off 1 of 100."""

BLOCK = 1024


def near_images(images: Iterable[Array | None], sides: Array) -> Iterator[tuple[int, int]]:
    """Find pairs of studies on two sides of a split whose images are nearly the same.

    Args:
        images: (K, rows, columns) or (K, x, y, z) of each study; None where it has none.
        sides: (S,) whole numbers that tell sides apart; below zero for none.
    """
    places: list[int] = []
    hashes: list[np.uint64] = []
    details: list[Array] = []
    for index, image in enumerate(images):
        if image is not None and sides[index] >= 0 and image.min() < image.max():
            thumbnail = _thumbnail(image)
            places.append(index)
            hashes.append(_hash(thumbnail))
            details.append(_details(thumbnail))
    if not places:
        return
    at, coded = np.array(places), np.array(hashes)
    own = _peculiar(np.stack(details), sides[at])  # (S, P)
    for start in range(0, len(at), BLOCK):
        rows = slice(start, start + BLOCK)
        near = np.bitwise_count(coded[rows, None] ^ coded[None]) <= FARTHEST
        near &= sides[at][rows, None] != sides[at][None]
        near &= np.arange(start, start + near.shape[0])[:, None] < np.arange(len(at))[None]
        one, other = np.nonzero(near & (own[rows] @ own.T >= LEAST_CORRELATION))
        yield from zip(at[rows][one].tolist(), at[other].tolist(), strict=True)


def _thumbnail(image: Array) -> Array:
    """Give a picture of (32, 32), or of a volume one of (64, 64) in which four of its slices stand."""
    flat = image.astype(np.float32).mean(axis=0)
    if flat.ndim == 2:
        return _reduced(flat)
    slices = [_reduced(flat[..., int(share * flat.shape[2])]) for share in SHARES_OF_DEPTH]
    return np.block([[slices[0], slices[1]], [slices[2], slices[3]]])


def _reduced(picture: Array) -> Array:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def _hash(thumbnail: Array) -> np.uint64:
    from scipy.fft import dctn

    low = dctn(thumbnail, norm="ortho")[:LOW_FREQUENCIES, :LOW_FREQUENCIES].ravel()
    bits = low > np.median(low[1:])  # the first is the mean brightness
    return np.uint64(np.packbits(bits).view(np.uint64)[0])


def _details(thumbnail: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    fine: Array = _of_length_one((thumbnail - gaussian_filter(thumbnail, DETAIL)).reshape(1, -1))[0]
    return fine


def _peculiar(details: Array, sides: Array) -> Array:
    """Take from the details (S, P) of images what many have in common; a product of two rows is their correlation.

    What they have in common is learned from one side only, for a pair that lies across would make a component of its own.
    """
    largest = np.flatnonzero(sides == np.bincount(sides).argmax())
    some = details[np.random.default_rng(0).permutation(largest)[:LEARNED_FROM]]
    mean = some.mean(axis=0) if len(some) > 1 else np.zeros_like(some[0])
    _, _, components = np.linalg.svd(some - mean, full_matrices=False)
    common = components[: min(COMMON, len(some) // IMAGES_OF_ONE)]  # (C, P)
    own = details - mean
    return _of_length_one(own - own @ common.T @ common)


def _of_length_one(rows: Array) -> Array:
    unit: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return unit
