"""The slices of a DICOM stack, decoded when they are asked for: file by file, the files shared out among threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from medmm.readers.dicom_codestream import Places
from medmm.readers.dicom_file import DEFLATED, pixel_stream
from medmm.readers.dicom_format import PALETTE
from medmm.readers.dicom_frames import Frame
from medmm.readers.dicom_geometry import Stack
from medmm.readers.dicom_instance import Instance
from medmm.readers.dicom_pixels import FrameReader, fill, value_type
from medmm.readers.slices import Slices
from medmm.readers.threads import Room, in_threads
from medmm.types import Array, Volume


class StackSlices(Slices):
    """The slices of a stack.

    What `slab` and `volume` raise is NO_DECODER, TRUNCATED, MALFORMED, UNSUPPORTED, TOO_LARGE or MIXED_SERIES.
    """

    def __init__(self, stack: Stack) -> None:
        instance, _ = stack.members[0]
        rows, columns = instance.format.rows // instance.tiles, instance.format.columns // instance.tiles
        together = any(one.format.syntax == DEFLATED or one.tiles > 1 for one, _ in stack.members) and _share_files(stack)
        super().__init__((columns, rows, len(stack.members)), stack.affine, stack.spacing_mm, together=together)
        self._stack = stack
        self._coloured = instance.format.samples == 3 or instance.format.photometric == PALETTE
        self._places: dict[str, Places] = {}  # of the frames of each file, which are found once

    def slab(self, part: slice, room: Room) -> tuple[Array, Array | None]:
        """Give some of the slices."""
        return self._decoded(part, partial(room.array, "values"))

    def volume(self) -> Volume:
        """Give the whole image."""
        parts = self.parts()
        values, mask = self._decoded(parts[0], np.empty)
        masks = [mask]
        if len(parts) > 1:
            first = values
            values = np.empty((self.shape[2], *first.shape[1:]), first.dtype)
            values[parts[0]] = first
            masks += in_threads(lambda part: self._decoded(part, lambda shape, kind: values[part])[1], parts[1:])
        padding = None
        if any(mask is not None for mask in masks):
            padding = np.zeros(values.shape[:3], bool)
            for part, mask in zip(parts, masks, strict=True):
                padding[part] = False if mask is None else mask
        mask = None if padding is None else padding.swapaxes(0, 2)
        return Volume(values.swapaxes(0, 2), self.affine, self.spacing_mm, self._stack.members[0][0].modality, mask)

    def _decoded(self, part: slice, new: Callable[[tuple[int, ...], np.dtype[Any]], Array]) -> tuple[Array, Array | None]:
        """Decode slices into an array (k, j, i[, 3]) that `new` makes."""
        members = self._stack.members[part]
        columns, rows, _ = self.shape
        values = None if self._coloured else new((len(members), rows, columns), self._type)
        padding = None
        for instance, numbers in _slices_by_file(members):
            with pixel_stream(instance.file, instance.format.syntax, instance.where) as stream:
                reader = FrameReader(stream, instance, self._places.get(instance.where))
                self._places[instance.where] = reader.places
                for number in numbers:
                    frame = members[number][1]
                    words = reader.words(frame.index, None if self._coloured or values is None else values[number])
                    if values is None:
                        values = new((len(members), *words.shape), words.dtype if part.start == 0 else self._type)
                    mask = fill(values[number], words, instance, frame)
                    if mask is not None and mask.any():
                        padding = np.zeros(values.shape[:3], bool) if padding is None else padding
                        padding[number] = mask
        assert values is not None
        return values, padding

    @cached_property
    def _type(self) -> np.dtype[Any]:
        """Of the values; colours have that of the first frame as it comes from its decoder."""
        if not self._coloured:
            return value_type(self._stack.members)
        instance, frame = self._stack.members[0]
        with pixel_stream(instance.file, instance.format.syntax, instance.where) as stream:
            return FrameReader(stream, instance).words(frame.index).dtype


def _share_files(stack: Stack) -> bool:
    return len({instance.where for instance, _ in stack.members}) < len(stack.members)


def _slices_by_file(members: Sequence[tuple[Instance, Frame]]) -> list[tuple[Instance, list[int]]]:
    slices: dict[str, tuple[Instance, list[int]]] = {}
    for number, (instance, _) in enumerate(members):
        slices.setdefault(instance.where, (instance, []))[1].append(number)
    return list(slices.values())
