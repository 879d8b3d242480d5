"""What goes wrong with images: each damage acts on prepared images, in which the window reaches from 0 to 1.

What the preparation has cut off at the ends of the window cannot come back, so a shifted window is somewhat milder here than at
the scanner. Chance is drawn before the severity is looked at: a higher one does more of the same to the same image.

Letters: K channels; an image is (K, rows, columns), or (K, R, A, S) with slices along S; P images of an input of several.

Source:
    Hendrycks & Dietterich, Benchmarking neural network robustness to common corruptions, ICLR 2019.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from medmm.encoders.several import THERE
from medmm.inputs.base import Fields
from medmm.types import Array


def noise(image: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Add Gaussian noise; its standard deviation is a share of the window."""
    return np.asarray(image + deviation * rng.standard_normal(image.shape, np.float32))


def blur(image: Array, pixels: float, rng: np.random.Generator) -> Array:
    """Blur by a Gaussian whose standard deviation is in pixels of the prepared image."""
    return np.asarray(ndimage.gaussian_filter(image, (0, *[pixels] * (image.ndim - 1)), mode="nearest"))


def gamma(image: Array, factor: float, rng: np.random.Generator) -> Array:
    """Bend the grey scale by an exponent of `factor` (darker) or 1 / `factor` (brighter)."""
    return np.asarray(np.clip(image, 0, 1) ** (factor if rng.random() < 0.5 else 1 / factor))


def rotation(image: Array, degrees: float, rng: np.random.Generator) -> Array:
    """Turn one way or the other in the plane, of a volume about the body's axis; corners that come in are 0."""
    angle = degrees if rng.random() < 0.5 else -degrees
    return np.asarray(ndimage.rotate(image, angle, axes=(1, 2), reshape=False, order=1, mode="constant"))


def window_shift(image: Array, share: float, rng: np.random.Generator) -> Array:
    """Move the window up or down by a share of its width; what leaves it is cut off."""
    return np.asarray(image + (share if rng.random() < 0.5 else -share))


def lost_slices(image: Array, share: float, rng: np.random.Generator) -> Array:
    """Blank a share of the slices of a volume, as if padding stood for what got lost; the reader refuses a gap in DICOM."""
    slices = image.shape[-1]
    lost = rng.permutation(slices)[: min(slices - 1, round(share * slices))]
    kept = image.copy()
    kept[..., lost] = 0
    return kept


def each_image(
    damage: Callable[[Array, float, np.random.Generator], Array],
    fields: Mapping[str, Array],
    severity: float,
    rng: np.random.Generator,
) -> Fields:
    """Damage the image of a study, or each of its images that are there; values stay in the window, in their own type."""
    image = fields["image"].astype(np.float32)
    if THERE in fields:
        for place in np.flatnonzero(fields[THERE]):
            image[place] = damage(image[place], severity, rng)
    else:
        image = damage(image, severity, rng)
    return {**fields, "image": np.clip(image, 0, 1).astype(fields["image"].dtype)}


def lose_images(fields: Mapping[str, Array], share: float, rng: np.random.Generator) -> Fields:
    """Take a share of the images of a study away; one always stays."""
    there = np.flatnonzero(fields[THERE])
    lost = rng.permutation(there)[: min(len(there) - 1, round(share * len(there)))]
    kept = fields[THERE].copy()
    kept[lost] = 0
    return {**fields, THERE: kept}
