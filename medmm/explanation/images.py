"""Which part of an image speaks for an answer, through captum, and whether that holds when such parts are covered.

Letters: P images of an input, K channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from medmm.explanation.covering import MAP_METHODS, MapMethod, Pieces, even, grad_cam, gradients, occluded, patches, tested
from medmm.explanation.deletion import Deletion
from medmm.explanation.voice import Voice
from medmm.inputs.image import Image, ImageInput
from medmm.preview.pictures import letters
from medmm.types import Array

ImageMethod: TypeAlias = MapMethod

IMAGE_METHODS: tuple[ImageMethod, ...] = MAP_METHODS

WINDOWS = {2: 6, 3: 4}
"""Dimensions of an image -> windows of an occlusion along a side; they move by half of their side."""

PATCHES = {2: 8, 3: 4}
"""Dimensions -> patches along a side that are covered together by the deletion test; half of them where there are several
images."""


@dataclass(frozen=True)
class ImageShare:
    """What the pixels of one input say.

    Attributes:
        name: Of the input.
        method: How the map was made.
        pixels: (P, K, *size) as the model saw the images, in [0, 1]; only those that are there.
        map: (P, *size) how much each place speaks for the explained class; below zero against it.
        sides: Letters at the left, right, top and bottom of each image's slices; "" where it does not state its place.
        oriented: Whether the axes of a volume are those of the patient (right, anterior, superior), or rows, columns, frames.
        deletion: Whether this holds against random.
    """

    name: str
    method: ImageMethod
    pixels: Array
    map: Array
    sides: tuple[tuple[str, str, str, str], ...]
    oriented: tuple[bool, ...]
    deletion: Deletion


def explain_image(
    voice: Voice, one: ImageInput, raw: Image, method: ImageMethod, side: float, rng: np.random.Generator
) -> ImageShare:
    """Explain the images of one input.

    Args:
        voice: The model.
        one: The input.
        raw: What was read of it, for the patient's sides.
        method: How to make the map.
        side: 1 where the answer is for the class that is explained, -1 where it is against it.
        rng: Of random orders.

    Raises:
        ConfigError: Grad-CAM was asked for, and the encoder has no feature map.
    """
    pieces = Pieces.of(voice, one.name, "image", blur=True)
    dimensions, many = len(pieces.size), len(pieces.there)
    maps = _map(pieces, method)  # (P, *size)
    per_side = PATCHES[dimensions] // (2 if many > 1 else 1)
    held = tested(pieces, maps[:, None], patches(pieces.size, [per_side] * dimensions)[None], side, rng)
    oriented = tuple(dimensions == 3 and affine is not None for affine in _affines(raw))
    sides = tuple(_sides(affine, dimensions) for affine in _affines(raw))
    return ImageShare(one.name, method, pieces.shown, maps, sides[:many], oriented[:many], held)


def _map(pieces: Pieces, method: ImageMethod) -> Array:
    """Give one map (P, *size) for all channels."""
    if method == "grad_cam":
        return grad_cam(pieces)
    if method == "integrated_gradients":
        return np.asarray(even(gradients(pieces).sum(1, keepdim=True))[:, 0].cpu().numpy())
    channels, windows = pieces.whole.shape[2], [max(2, round(side / WINDOWS[len(pieces.size)])) for side in pieces.size]
    found = occluded(pieces, (channels, *windows), (channels, *(max(1, window // 2) for window in windows)))
    return np.asarray(found.mean(1))


def _affines(raw: Image) -> list[Array | None]:
    return [one.affine for one in (raw if isinstance(raw, tuple) else (raw,))]


def _sides(affine: Array | None, dimensions: int) -> tuple[str, str, str, str]:
    if affine is None:
        return ("", "", "", "")
    if dimensions == 3:
        return ("R", "L", "A", "P")
    right, down = affine[:3, 0], affine[:3, 1]
    return (letters(-right), letters(right), letters(-down), letters(down))
