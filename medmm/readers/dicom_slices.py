"""The slices of a DICOM stack, decoded when they are asked for: file by file, the files shared out among threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np

from medmm.readers.dicom_codestream import Places
from medmm.readers.dicom_file import DEFLATED, pixel_stream
from medmm.readers.dicom_format import VIDEO
from medmm.readers.dicom_frames import Frame
from medmm.readers.dicom_geometry import Stack
from medmm.readers.dicom_instance import Instance
from medmm.readers.dicom_pixels import FrameReader, TooNarrowError, fill, plain_type, read_plain, value_types
from medmm.readers.slices import Slices
from medmm.readers.threads import Room, in_threads, most_threads
from medmm.types import Array, Volume

SHARES = 4
"""Parts of a whole volume for each thread: few, for each costs some time, and enough that no thread waits long for another."""

New: TypeAlias = Callable[[tuple[int, ...], np.dtype[Any]], Array]
"""Makes an array of a shape and type."""


class StackSlices(Slices):
    """The slices of a stack.

    What `slab` and `volume` raise is NO_DECODER, TRUNCATED, MALFORMED, UNSUPPORTED, TOO_LARGE or MIXED_SERIES.
    """

    def __init__(self, stack: Stack) -> None:
        instance, _ = stack.members[0]
        rows, columns = instance.format.rows // instance.tiles, instance.format.columns // instance.tiles
        together = any(_is_decoded_whole(one) for one, _ in stack.members) and _share_files(stack)
        super().__init__((columns, rows, len(stack.members)), stack.affine, stack.spacing_mm, together=together)
        self._stack = stack
        self._coloured = instance.format.coloured
        self._places: dict[str, Places] = {}  # of the frames of each file, which are found once

    def slab(self, part: slice, room: Room) -> tuple[Array, Array | None]:
        """Give some of the slices."""
        return self._narrowest(lambda kind: self._decoded(part, kind, partial(room.array, "values")))

    def volume(self) -> Volume:
        """Give the whole image."""
        values, padding = self._narrowest(self._all)
        mask = None if padding is None else padding.swapaxes(0, 2)
        return Volume(values.swapaxes(0, 2), self.affine, self.spacing_mm, self._stack.members[0][0].modality, mask)

    def _narrowest(self, decoded: Callable[[np.dtype[Any]], tuple[Array, Array | None]]) -> tuple[Array, Array | None]:
        """Decode to the smallest type that holds the values."""
        *narrow, widest = self._types
        for kind in narrow:
            with suppress(TooNarrowError):
                return decoded(kind)
        return decoded(widest)

    def _all(self, kind: np.dtype[Any]) -> tuple[Array, Array | None]:
        """Decode all slices: (k, j, i[, 3]) and their padding."""
        columns, rows, count = self.shape
        parts = self.parts(math.ceil(count / (SHARES * most_threads())))
        if len(parts) == 1:
            return self._decoded(parts[0], kind, np.empty)
        values = np.empty((count, rows, columns, *[3] * self._coloured), kind)
        masks = in_threads(lambda part: self._decoded(part, kind, lambda shape, kind: values[part])[1], parts)
        if all(mask is None for mask in masks):
            return values, None
        padding = np.zeros(values.shape[:3], bool)
        for part, mask in zip(parts, masks, strict=True):
            padding[part] = False if mask is None else mask
        return values, padding

    def _decoded(self, part: slice, kind: np.dtype[Any], new: New) -> tuple[Array, Array | None]:
        """Decode slices into an array (k, j, i[, 3]) that `new` makes, and say where they are padding."""
        members = self._stack.members[part]
        columns, rows, _ = self.shape
        values = new((len(members), rows, columns, *[3] * self._coloured), kind)
        if self._alike is not None and self._alike.itemsize == kind.itemsize:
            words = values.view(self._alike)
            for (instance, frame), room in zip(members, words, strict=True):
                read_plain(instance, frame.index, room)
            mask = fill(values, words.astype(self._alike.newbyteorder("="), copy=False), *members[0])
            return values, mask if mask is not None and mask.any() else None
        padding = None
        for instance, numbers in _slices_by_file(members):
            with pixel_stream(instance.file, instance.format.syntax, instance.where) as stream:
                reader = FrameReader(stream, instance, self._places.get(instance.where))
                self._places[instance.where] = reader.places
                for number in numbers:
                    frame = members[number][1]
                    if self._coloured:
                        words = self._first if part.start == number == 0 else reader.words(frame.index)
                    else:
                        words = reader.words(frame.index, values[number])
                    mask = fill(values[number], words, instance, frame)
                    if mask is not None and mask.any():
                        padding = np.zeros(values.shape[:3], bool) if padding is None else padding
                        padding[number] = mask
        return values, padding

    @cached_property
    def _alike(self) -> np.dtype[np.generic] | None:
        """Type of the words of uncompressed slices that are all stored and rescaled alike, a file each; None for others."""
        first, frame = self._stack.members[0]
        if self._coloured or first.tiles > 1 or first.format.syntax == DEFLATED:
            return None
        rule = (first.tiles, first.lookup, frame.presentation, frame.slope, frame.intercept)
        for instance, other in self._stack.members[1:]:
            stored_alike = instance.format is first.format or instance.format == first.format
            if not stored_alike or rule != (instance.tiles, instance.lookup, other.presentation, other.slope, other.intercept):
                return None
        return plain_type(first)

    @cached_property
    def _types(self) -> tuple[np.dtype[Any], ...]:
        """Types to try for the values; colours stay as they come from their decoder."""
        return (self._first.dtype,) if self._coloured else value_types(self._stack.members)

    @cached_property
    def _first(self) -> Array:
        """The first frame of colours."""
        instance, frame = self._stack.members[0]
        with pixel_stream(instance.file, instance.format.syntax, instance.where) as stream:
            return FrameReader(stream, instance).words(frame.index)


def _share_files(stack: Stack) -> bool:
    return len({instance.where for instance, _ in stack.members}) < len(stack.members)


def _is_decoded_whole(instance: Instance) -> bool:
    return instance.tiles > 1 or instance.format.syntax == DEFLATED or instance.format.syntax in VIDEO


def _slices_by_file(members: Sequence[tuple[Instance, Frame]]) -> list[tuple[Instance, list[int]]]:
    slices: dict[str, tuple[Instance, list[int]]] = {}
    for number, (instance, _) in enumerate(members):
        slices.setdefault(instance.where, (instance, []))[1].append(number)
    return list(slices.values())
