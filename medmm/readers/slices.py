"""An image as slices that are asked for a few at a time, so that it need never be in memory as a whole.

Letters: i, j, k the axes of a Volume; k counts slices.
"""

from abc import ABC, abstractmethod

from medmm.readers.threads import Room
from medmm.types import Array, Volume

SLAB = 8
"""Slices that are asked for at a time: few enough to stay in the processor's cache, enough to be worth handing to a thread."""


class Slices(ABC):
    """An image whose header is known and whose slices can be asked for, from any thread.

    Args:
        shape: Sizes along i, j and k.
        affine, spacing_mm: As in `Volume`.
        together: Whether all slices are to be asked for at once, for decoding one takes as long as decoding all.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        affine: Array | None,
        spacing_mm: tuple[float, float, float] | None,
        *,
        together: bool = False,
    ) -> None:
        self.shape = shape
        self.affine = affine
        self.spacing_mm = spacing_mm
        self._together = together

    @abstractmethod
    def slab(self, part: slice, room: Room) -> tuple[Array, Array | None]:
        """Give some of the slices.

        Args:
            part: One of `parts`.
            room: Where the values may be put; they must not be changed.

        Returns:
            Values (k, j, i) or (k, j, i, 3) as in `Volume`, and (k, j, i) where they are padding; None where nowhere.

        Raises:
            Rejected: The slices cannot be decoded right.
        """

    @abstractmethod
    def volume(self) -> Volume:
        """Give the whole image.

        Raises:
            Rejected: As `slab`.
        """

    def parts(self, least: int = 1) -> list[slice]:
        """Give the parts in which to ask for the slices, each of `SLAB` or of `least` slices."""
        count = self.shape[2]
        step = count if self._together else max(SLAB, least)
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]


class HeldSlices(Slices):
    """The slices of a volume that is in memory."""

    def __init__(self, volume: Volume) -> None:
        columns, rows, count = volume.values.shape[:3]
        super().__init__((columns, rows, count), volume.affine, volume.spacing_mm)
        self._volume = volume

    def slab(self, part: slice, room: Room) -> tuple[Array, Array | None]:
        """Give some of the slices."""
        padding = self._volume.padding
        return self._volume.values.swapaxes(0, 2)[part], None if padding is None else padding.swapaxes(0, 2)[part]

    def volume(self) -> Volume:
        """Give the volume."""
        return self._volume
