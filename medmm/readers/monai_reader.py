"""The readers as MONAI sees them: an image reader, a loader that cannot fall back to another one, and the preparation.

`Compose([load_image(), PrepareImage(...)])(path)` gives, bit for bit, what `prepare_image(read_image([path]), ...)` gives.
A `Rejected` passes through the loader as it is; `Compose` wraps it in a RuntimeError, of which it is the cause.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.data.image_reader import ImageReader
from monai.transforms import LoadImage
from monai.transforms.transform import Transform
from monai.utils import MetaKeys, SpaceKeys

from medmm.errors import Code, Rejected
from medmm.readers import read_image
from medmm.readers.formats import files_in
from medmm.readers.reading import AS_STORED, Reading
from medmm.readers.resample import prepare_image, prepared_affine
from medmm.types import Array, Volume

MODALITY = "modality"
CARRIED = DTYPE, PADDING, SPACING, PLACED = "medmm_dtype", "padding", "spacing_mm", "has_affine"
"""Keys of the metadata that carry what of a volume an array and an affine do not say."""

CHANNELS_LAST = -1
NO_CHANNEL = float("nan")
"""How MONAI says that an array has no axis of channels."""


class SeriesReader(ImageReader):  # type: ignore[misc]
    """Reads one series (a folder of DICOM, or its files), or one NIfTI, PNG or JPEG file.

    Args:
        reading: What of DICOM is turned into something else.
    """

    def __init__(self, reading: Reading = AS_STORED) -> None:
        super().__init__()
        self.reading = reading

    def verify_suffix(self, filename: Sequence[Path | str] | Path | str) -> bool:
        """Accept every name: the content decides."""
        return True

    def read(self, data: Sequence[Path | str] | Path | str, **kwargs: Any) -> Volume:
        """Read the one volume of a folder, a file, or the files of a series.

        Raises:
            Rejected: As `read_image`.
        """
        if kwargs:
            raise TypeError(f"a series is read in one way only, without {', '.join(kwargs)}")
        names = [data] if isinstance(data, str | Path) else data
        paths = [Path(name) for name in names]
        if len(paths) == 1 and paths[0].is_dir():
            paths = list(files_in(paths[0]))
        return read_image(paths, self.reading)

    def get_data(self, img: Volume) -> tuple[Array, dict[str, Any]]:
        """Give the values, (i, j, k) or (i, j, k, 3), and what MONAI and `PrepareImage` need to know of them."""
        affine = np.eye(4) if img.affine is None else img.affine
        meta = {
            MetaKeys.AFFINE: affine,
            MetaKeys.ORIGINAL_AFFINE: affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(img.values.shape[:3]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: CHANNELS_LAST if img.values.ndim == 4 else NO_CHANNEL,
            DTYPE: img.values.dtype.name,
            MODALITY: img.modality,
            PADDING: np.zeros(0, bool) if img.padding is None else img.padding,
            SPACING: img.spacing_mm or (),
            PLACED: img.affine is not None,
        }
        return img.values, meta


def load_image(reading: Reading = AS_STORED) -> LoadImage:
    """Make a loader: path(s) of one series -> MetaTensor (K, i, j, k), float32, in real units unless `reading` says other."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "NvImgCodecPydicomReader", UserWarning)  # of readers that are taken out below
        loader = LoadImage(ensure_channel_first=True)
    # LoadImage tries its other readers where one raises, unless it chooses by suffix; so ours is the only one, and fits all.
    loader.readers = [SeriesReader(reading)]
    return loader


class PrepareImage(Transform):  # type: ignore[misc]
    """`prepare_image` on what `load_image` gives: MetaTensor (K, i, j, k) -> MetaTensor float16 in [0, 1].

    Args:
        size, window, spacing_mm, channels: As in `prepare_image`.
    """

    def __init__(
        self,
        size: tuple[int, ...],
        window: tuple[float, float] | None,
        spacing_mm: tuple[float, ...] | None,
        channels: int = 1,
    ) -> None:
        self.size = size
        self.window = window
        self.spacing_mm = spacing_mm
        self.channels = channels

    def __call__(self, data: MetaTensor) -> MetaTensor:
        """Prepare one image.

        Raises:
            Rejected: As `prepare_image`; MALFORMED where the image did not come from `load_image`.
        """
        volume = _volume(data)
        values = prepare_image(volume, self.size, self.window, self.spacing_mm, self.channels)
        affine = prepared_affine(volume, self.size, self.spacing_mm)
        meta = {key: value for key, value in data.meta.items() if key not in (MetaKeys.AFFINE, *CARRIED)}
        meta[MetaKeys.SPATIAL_SHAPE] = np.array(values.shape[1:])
        return MetaTensor(np.ascontiguousarray(values), affine=np.eye(4) if affine is None else affine, meta=meta)


def _volume(image: MetaTensor) -> Volume:
    meta = image.meta
    if DTYPE not in meta:
        raise Rejected(
            Code.MALFORMED, "the image", "an image of another loader", "one of load_image()", "load it with load_image()"
        )
    values = image.numpy()
    values = np.moveaxis(values, 0, -1) if len(values) == 3 else values[0]
    padding = np.asarray(meta[PADDING])
    return Volume(
        values=values.astype(meta[DTYPE]),
        affine=np.asarray(image.affine, float) if meta[PLACED] else None,
        spacing_mm=tuple(meta[SPACING]) or None,
        modality=meta[MODALITY],
        padding=padding if padding.size else None,
    )
