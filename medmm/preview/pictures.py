"""An image as pictures for the eye: centre slices in true proportion, windowed, with letters at their sides.

A volume is shown as radiologists look at it: the patient's right at the left of axial and coronal pictures, the front at the
left of sagittal ones, front or head at the top.

Letters: R, A, S axes to the patient's right, front and head.

Source: DICOM PS3.3, section C.7.6.1.1.1: letters of a side (right, left, anterior, posterior, head, foot), the one that it
faces most first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medmm.cohort.traits import PLANES
from medmm.readers.resample import Window, nearest_axes, own_window
from medmm.types import Array, Volume

SIDE_PIXELS = 240
"""Longest side of a picture; the pictures of one volume share a scale."""

SIDE_LETTERS = (("R", "L"), ("A", "P"), ("H", "F"))
"""Letters of the two ends of R, A and S."""

LEAST_SHARE = 0.1
"""Smallest cosine that is told by a further letter: sides that lie within 6 degrees of an axis have one letter."""

CT_WINDOWS: dict[str, Window] = {"soft tissue": (-160.0, 240.0), "lung": (-1350.0, 150.0)}
"""In HU: level 40 and width 400, level -600 and width 1500, the usual settings of chest CT."""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        pixels: (rows, columns) or (rows, columns, 3), uint8, with square pixels.
        caption: What it shows.
        sides: Letters at the left, right, top and bottom; "" where the image does not state its place.
    """

    pixels: Array
    caption: str
    sides: tuple[str, str, str, str]


@dataclass(frozen=True)
class Preview:
    """What is shown of one image.

    Attributes:
        pictures: Of a volume its centre slices, else the image itself.
        shape: (3,) columns, rows, slices.
        spacing_mm: (3,) in the same order; None where it is not stated.
        plane: Nearest to the slices; "" where the image does not state its place.
    """

    pictures: tuple[Picture, ...]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float] | None
    plane: str


def preview(volume: Volume, window: Window | None = None) -> Preview:
    """Show an image: a volume by its centre slices, an image of one slice as it is, a film by its middle frame.

    Args:
        volume: As the readers give it.
        window: Values that become black and white; None for those of its modality.
    """
    plane = "" if volume.affine is None else PLANES[nearest_axes(volume.affine)[0].index(2)]
    flat = volume.affine is None or volume.values.shape[2] == 1
    shown = _image(volume, plane, window) if flat else _volume(volume, window)
    return Preview(shown, volume.values.shape[:3], volume.spacing_mm, plane)


def letters(direction: Array) -> str:
    """Name where a direction points to.

    Args:
        direction: (3,) along R, A and S, of any length above zero.
    """
    shares = direction / np.linalg.norm(direction)
    order = np.argsort(-np.abs(shares), kind="stable")
    return "".join(SIDE_LETTERS[axis][int(shares[axis] < 0)] for axis in order if abs(shares[axis]) >= LEAST_SHARE)


def _volume(volume: Volume, own: Window | None) -> tuple[Picture, ...]:
    """Show the centre slices; of a CT the axial one in each window."""
    assert volume.affine is not None
    order, reverse = nearest_axes(volume.affine)
    flip = tuple(slice(None, None, -1 if one else None) for one in reverse)
    spacing = np.ones(3) if volume.spacing_mm is None else np.array(volume.spacing_mm)[list(order)]
    values = _turned(volume.values, order)[flip]
    padding = None if volume.padding is None else _turned(volume.padding, order)[flip]
    directions = [volume.affine[:3, axis] * (-1 if back else 1) for axis, back in zip(order, reverse, strict=True)]
    sides = [(letters(direction), letters(-direction)) for direction in directions]
    scale = SIDE_PIXELS / max(spacing * values.shape[:3])
    pictures = []
    for normal, name in zip((2, 1, 0), ("axial", "coronal", "sagittal"), strict=True):
        across, down = (axis for axis in range(3) if axis != normal)
        centre = values.shape[normal] // 2
        pixels = _displayed(values, normal, centre)
        hidden = None if padding is None else _displayed(padding, normal, centre)
        size = (spacing[across] * scale, spacing[down] * scale)
        for label, window in _windows(volume, name == "axial", own).items():
            picture = _sized(_windowed(pixels, hidden, window), size)
            pictures.append(Picture(picture, f"{name}{label}", (*sides[across], *sides[down])))
    return tuple(pictures)


def _image(volume: Volume, plane: str, own: Window | None) -> tuple[Picture, ...]:
    """Show an image of one slice, or the middle frame of a film, with its own rows and columns."""
    frames = volume.values.shape[2]
    middle = frames // 2
    pixels = volume.values[:, :, middle].swapaxes(0, 1)  # (rows, columns)
    hidden = None if volume.padding is None else volume.padding[:, :, middle].T
    column_mm, row_mm = (1.0, 1.0) if volume.spacing_mm is None else volume.spacing_mm[:2]
    scale = SIDE_PIXELS / max(pixels.shape[1] * column_mm, pixels.shape[0] * row_mm)
    sides = ("", "", "", "")
    if volume.affine is not None:
        right, down = volume.affine[:3, 0], volume.affine[:3, 1]
        sides = (letters(-right), letters(right), letters(-down), letters(down))
    size = (column_mm * scale, row_mm * scale)
    name = plane or ("image" if frames == 1 else f"frame {middle + 1} of {frames}")
    windows = _windows(volume, True, own) if plane == "axial" else {"": own or own_window(volume)}  # CT scouts are no slices
    return tuple(
        Picture(_sized(_windowed(pixels, hidden, window), size), f"{name}{label}", sides) for label, window in windows.items()
    )


def _turned(values: Array, order: tuple[int, ...]) -> Array:
    """Give values with their first three axes in an order."""
    return values.transpose(*order, *range(3, values.ndim))


def _displayed(values: Array, normal: int, index: int) -> Array:
    """Give one slice of values (R, A, S) with right or front at the left, and front or head at the top."""
    plane = values.take(index, axis=normal)
    return np.asarray(plane[::-1, ::-1].swapaxes(0, 1))


def _windows(volume: Volume, every: bool, own: Window | None) -> dict[str, Window]:
    """Give the windows to show, by what the caption adds for them."""
    if own is None and volume.modality == "CT" and volume.values.ndim == 3:
        return {f", {name}": window for name, window in CT_WINDOWS.items() if every or name == "soft tissue"}
    return {"": own or own_window(volume)}


def _windowed(pixels: Array, padding: Array | None, window: Window) -> Array:
    """Turn values into uint8, black at the window's low end, white at its high end; padding is black."""
    low, high = window
    width = high - low if high > low else 1.0
    shares = (pixels.astype(np.float32) - np.float32(low)) / np.float32(width)
    result: Array = (np.clip(shares, 0, 1) * 255).round().astype(np.uint8)
    if padding is not None:
        result[padding] = 0
    return result


def _sized(pixels: Array, size: tuple[float, float]) -> Array:
    """Resample a picture so that its pixels are square.

    Args:
        pixels: (rows, columns) or (rows, columns, 3), uint8.
        size: Of a pixel in the result: its columns, its rows.
    """
    from PIL import Image

    columns, rows = round(pixels.shape[1] * size[0]), round(pixels.shape[0] * size[1])
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((max(columns, 1), max(rows, 1)), Image.Resampling.BILINEAR))
