"""What stands in the corners of images, where there is air, a burned-in marker or a hospital's label, but no disease.

Letters: K channels, S studies, F features.
"""

from collections.abc import Iterable

import numpy as np

from medmm.types import Array

SHARE = 8
"""A corner is one part of so many of each of the first two sides; of a volume it goes through all slices."""

FEATURES = 12


def corner_features(images: Iterable[Array | None]) -> Array:
    """Give mean, largest value and spread of each of the four corners.

    Args:
        images: (K, rows, columns) or (K, x, y, z) of each study; None where it has none.

    Returns:
        (S, F), NaN where a study has no image.
    """
    rows = [np.full(FEATURES, np.nan) if image is None else _corners(image) for image in images]
    return np.array(rows).reshape(len(rows), FEATURES)


def _corners(image: Array) -> Array:
    values = image.astype(np.float32)
    height, width = (max(1, side // SHARE) for side in image.shape[1:3])
    corners = [
        values[:, rows, columns] for rows in (np.s_[:height], np.s_[-height:]) for columns in (np.s_[:width], np.s_[-width:])
    ]
    return np.array([value for corner in corners for value in (corner.mean(), corner.max(), corner.std())])
