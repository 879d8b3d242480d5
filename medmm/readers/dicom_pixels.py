"""The pixels of a DICOM file: decoded, sign-extended, padding told apart, in real units.

Source: DICOM PS3.5, section 8 (pixel encoding); PS3.3, sections C.7.6.3.1 (photometric interpretation, palettes), C.7.5.1.1.2
(padding), C.11.1 (rescaling).
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_codestream import DELIMITER, ITEM, Places, check_codestream, frame_places
from medmm.readers.dicom_fast import decode_fast
from medmm.readers.dicom_file import EXPLICIT_BIG, NATIVE, read_header
from medmm.readers.dicom_format import JPEG_XL, PALETTE, VIDEO, PixelFormat
from medmm.readers.dicom_frames import Frame
from medmm.readers.dicom_instance import Instance
from medmm.readers.dicom_jpegxl import decode_jpegxl
from medmm.readers.dicom_lookup import palette
from medmm.readers.dicom_presentation import Presentation
from medmm.readers.dicom_video import Video
from medmm.readers.quiet import quiet
from medmm.types import Array

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

PLUGIN = "pylibjpeg"
"""One decoder for each syntax, so that the values of a file do not hang on what else is installed."""

PANIC = "PanicException"
"""What a decoder written in Rust raises where it fails; a BaseException that no module exports."""

_DECODING = threading.Lock()
"""Warning filters are those of the whole process; and pylibjpeg lets no other thread run while it decodes anyway."""

WHOLE_TYPES = (np.int16, np.uint16, np.int32, np.int64)


class FrameReader:
    """Decodes frames of one open file.

    Args:
        stream: As `pixel_stream` gives it.
        instance: The file's checked header.
        places: Those of an earlier reader of the same file, so that compressed frames need not be looked for again.
    """

    def __init__(self, stream: BinaryIO, instance: Instance, places: Places | None = None) -> None:
        stored = instance.format
        self._stream = stream
        self._instance = instance
        self._native = stored.syntax in NATIVE
        self._tiled: Array | None = None  # the image that holds all tiles, once it is decoded
        self._plain = plain_type(instance)
        elsewhere = self._plain is not None or stored.syntax in JPEG_XL or stored.syntax in VIDEO
        self._decoder = None if elsewhere else _decoder(stored.syntax, instance.where)
        if places is None:
            frames = 1 if stored.syntax in VIDEO else stored.frames
            places = [] if self._native else frame_places(stream, instance.pixels.offset, frames, instance.where)
        self.places = places
        self._video = Video(self._compressed(0), stored, instance.where) if stored.syntax in VIDEO else None

    def words(self, index: int, room: Array | None = None) -> Array:
        """Decode one frame to (row, column) words as stored, or to (row, column, 3) colours.

        Args:
            index: Which frame, from 0.
            room: (row, column) memory in C order that words of its size may be read into.
        """
        side, stored = self._instance.tiles, self._instance.format
        if side == 1:
            return self._image(index, room)
        if self._tiled is None:
            self._tiled = self._image(0, None)
        rows, columns = stored.rows // side, stored.columns // side
        down, across = index // side * rows, index % side * columns
        return self._tiled[down : down + rows, across : across + columns]

    def _image(self, index: int, room: Array | None) -> Array:
        stored = self._instance.format
        if self._plain is not None:
            words = self._plain_words(index, room)
        elif self._video is not None:
            return self._video.frame(index)
        elif self._decoder is None:
            return decode_jpegxl(self._compressed(index), stored, self._instance.where)
        elif self._native:
            words = _decode(self._decoder, self._native_frame(index), self._instance)
        else:
            words = self._compressed_words(index, self._decoder)
        if stored.photometric == PALETTE:
            header = read_header(self._instance.file, self._instance.where)
            colours = palette(header.attributes, stored.signed)
            return np.stack([lookup(_extended(words, stored)) for lookup in colours], axis=-1)
        return words

    def _plain_words(self, index: int, room: Array | None) -> Array:
        stored, kind = self._instance.format, self._plain
        assert kind is not None
        if room is None or room.itemsize != kind.itemsize:
            room = np.empty((stored.rows, stored.columns), kind)
        words = room.view(kind)
        self._stream.seek(self._instance.pixels.offset + index * stored.frame_bytes)
        if self._stream.readinto(words.data.cast("B")) < stored.frame_bytes:  # type: ignore[attr-defined]
            raise _shorter(self._instance)
        return words.astype(kind.newbyteorder("="), copy=False)

    def _native_frame(self, index: int) -> bytes:
        stored = self._instance.format
        padding = stored.frame_bytes % 2 if stored.frames == 1 else 0  # the byte that makes the whole value even
        self._stream.seek(self._instance.pixels.offset + index * stored.frame_bytes)
        content = self._stream.read(stored.frame_bytes + padding)
        if len(content) < stored.frame_bytes:
            raise _shorter(self._instance)
        return content

    def _compressed(self, index: int) -> bytes:
        parts = []
        for place, length in self.places[index]:
            self._stream.seek(place)
            parts.append(self._stream.read(length))
        return b"".join(parts)

    def _compressed_words(self, index: int, decoder: Decoder) -> Array:
        stored, where, frame = self._instance.format, self._instance.where, self._compressed(index)
        words = decode_fast(frame, stored, check_codestream(frame, stored, where), where)
        return _decode(decoder, frame, self._instance) if words is None else words


def read_plain(instance: Instance, index: int, words: Array) -> None:
    """Read a frame that needs no decoder straight from its file, which must not be deflated.

    Each call to the system lets another thread take the interpreter, so there are as few as can be.

    Args:
        instance: The file's checked header.
        index: Which frame, from 0.
        words: (row, column) of `plain_type`, in C order, to read into.

    Raises:
        Rejected: TRUNCATED.
    """
    room = words.data.cast("B")
    place = instance.pixels.offset + index * len(room)
    file = os.open(instance.file, os.O_RDONLY)
    try:
        while room:
            count = os.preadv(file, [room], place)
            if not count:
                raise _shorter(instance)
            room, place = room[count:], place + count
    finally:
        os.close(file)


def _shorter(instance: Instance) -> Rejected:
    found = "a file that has become shorter since its header was read"
    return Rejected(Code.TRUNCATED, instance.where, found, "a whole file", "wait until it is written")


def _encapsulated(frame: bytes) -> bytes:
    """Give a codestream as the value of an image of one frame, as decoders want it (PS3.5, annex A.4)."""
    frame += b"\0" * (len(frame) % 2)
    return ITEM + struct.pack("<I", 0) + ITEM + struct.pack("<I", len(frame)) + frame + DELIMITER + struct.pack("<I", 0)


def plain_type(instance: Instance) -> np.dtype[np.generic] | None:
    """Give the type of pixels that need no decoder: uncompressed ones of one sample. None for all others."""
    stored = instance.format
    big = stored.syntax == EXPLICIT_BIG
    swapped = big and instance.pixels.words and stored.bits_allocated == 8
    if stored.syntax not in NATIVE or stored.samples != 1 or swapped:
        return None
    letter = "f" if stored.floating else "i" if stored.signed else "u"
    return np.dtype(f"{'>' if big else '<'}{letter}{stored.bits_allocated // 8}")


def _decoder(syntax: str, where: str) -> Decoder:
    decoder, found, repair = _known_decoder(syntax, PLUGIN)
    if decoder is None:
        raise Rejected(Code.NO_DECODER, where, found, "one that an installed decoder reads", repair)
    return decoder


@lru_cache(maxsize=64)
def _known_decoder(syntax: str, plugin: str) -> tuple[Decoder | None, str, str]:
    """Give pydicom's decoder of a transfer syntax, or None; and what to say of it where there is none."""
    from pydicom.config import IGNORE
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax, IGNORE)
    found = f"transfer syntax {uid.name}" if uid.name != uid else "an unknown transfer syntax"  # its digits are the file's own
    try:
        with quiet():
            decoder = get_decoder(uid)
    except NotImplementedError:
        return None, found, "export it uncompressed"
    if syntax in NATIVE or plugin in decoder.available_plugins:
        return decoder, found, ""
    return None, found, f"install {'; '.join(decoder.missing_dependencies)}"


def _decode(decoder: Decoder, content: bytes, instance: Instance) -> Array:
    """Give words as stored, of `bits_allocated` bits and the sign of the header; colours as RGB."""
    stored = instance.format
    content = content if stored.syntax in NATIVE else _encapsulated(content)
    options = {
        "rows": stored.rows,
        "columns": stored.columns,
        "samples_per_pixel": stored.samples,
        "photometric_interpretation": stored.photometric,
        "planar_configuration": stored.planar,
        "bits_allocated": stored.bits_allocated,
        "bits_stored": stored.bits_stored,
        "pixel_representation": int(stored.signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if instance.pixels.words else "OB",
        "correct_unused_bits": False,
    }
    try:
        with _DECODING, quiet():  # the codestream's colour space, which pydicom then uses, may differ from the header's
            plugin = "" if stored.syntax in NATIVE else PLUGIN
            words, _ = decoder.as_array(content, decoding_plugin=plugin, raw=stored.samples == 1, **options)  # type: ignore[arg-type]
    except BaseException as error:
        if isinstance(error, MemoryError) or not (isinstance(error, Exception) or type(error).__name__ == PANIC):
            raise
        found = "pixels that cannot be decoded"
        raise Rejected(Code.MALFORMED, instance.where, found, "whole pixels", "copy or export the file again") from None
    return np.asarray(words.astype(words.dtype.newbyteorder("="), copy=False))


class TooNarrowError(Exception):
    """A frame has values that the type asked for does not hold."""


def fill(out: Array, words: Array, instance: Instance, frame: Frame) -> Array | None:
    """Write the real values of a frame, or of some that are stored and rescaled alike, and give the mask of their padding.

    Args:
        out: (row, column) or (row, column, 3) of one of `value_types`, or several of them; it may be the memory of `words`.
        words: As `FrameReader` gives them.
        instance: The file of a frame.
        frame: Its rescaling.

    Raises:
        TooNarrowError: Another of `value_types` is needed.
        Rejected: MIXED_SERIES for colours of another type.
    """
    stored = instance.format
    if stored.coloured:
        if words.dtype != out.dtype:
            raise Rejected(
                Code.MIXED_SERIES, instance.where, f"colours of type {words.dtype}", f"{out.dtype}", "give each file on its own"
            )
        out[...] = words
        return None
    if frame.presentation is not None:
        return _fill_shown(out, words, instance, frame.presentation, frame)
    if stored.floating:
        return _fill_floating(out, words, stored, frame)
    values = _extended(words, stored)
    mask = None
    if stored.padding is not None:
        low, high = stored.padding
        mask = (words >= low) & (words <= high)
        if values is not words:
            mask |= (values >= low) & (values <= high)
    if instance.lookup is not None:
        values = instance.lookup(values)
        out[...] = ((1 << instance.lookup.bits) - 1) - values.astype(out.dtype) if stored.inverted else values
        return mask
    if stored.inverted:
        low, high = _stored_range(stored)
        values = values.dtype.type(low + high) - values
    if frame.slope == 1 and out.dtype.kind == "i":
        _check_width(values, stored, int(frame.intercept), out.dtype)
        # The sum fits, so a wrap-around of a stored value on the way there is undone by the addition.
        np.add(values, int(frame.intercept), out=out, dtype=out.dtype, casting="unsafe")
    else:
        out[...] = values * frame.slope + frame.intercept
    return mask


def _check_width(values: Array, stored: PixelFormat, intercept: int, kind: np.dtype[Any]) -> None:
    """Look at stored values where the header alone does not say that each plus the intercept fits."""
    limits, (low, high) = np.iinfo(kind), _stored_range(stored)
    too_low = low + intercept < limits.min and int(values.min()) + intercept < limits.min
    too_high = high + intercept > limits.max and int(values.max()) + intercept > limits.max
    if too_low or too_high:
        raise TooNarrowError


def _fill_shown(out: Array, words: Array, instance: Instance, shown: Presentation, frame: Frame) -> Array | None:
    """Write one frame as a screen shows it; its real values are those before any inversion."""
    plain = replace(instance, format=replace(instance.format, inverted=False))
    real = np.empty(words.shape, np.float64)
    mask = fill(real, words, plain, replace(frame, presentation=None))
    out[...] = shown(real)
    return mask


def _fill_floating(out: Array, words: Array, stored: PixelFormat, frame: Frame) -> Array | None:
    """Write floating-point values, and give the mask of their padding; what is no finite number holds no measurement."""
    mask = ~np.isfinite(words)
    if stored.padding is not None:
        low, high = stored.padding
        mask |= (words >= low) & (words <= high)
    out[...] = np.where(np.isfinite(words), words * frame.slope + frame.intercept, 0)
    return mask


def _extended(words: Array, stored: PixelFormat) -> Array:
    """Take the stored bits of each word; those above them belong to something else, and the sign bit is the highest stored."""
    unused = stored.bits_allocated - stored.bits_stored
    return (words << unused) >> unused if unused else words


def _stored_range(stored: PixelFormat) -> tuple[int, int]:
    if stored.signed:
        return -(1 << (stored.bits_stored - 1)), (1 << (stored.bits_stored - 1)) - 1
    return 0, (1 << stored.bits_stored) - 1


def value_types(members: Sequence[tuple[Instance, Frame]]) -> tuple[np.dtype[Any], ...]:
    """Give the types to try for the values of a stack, the smallest first; the last one holds every value that may occur.

    Words of 16 bits mostly hold far less, so that with the intercept too the values need no more than 16 bits.
    """
    widest = _value_type(members)
    short = all(instance.format.bits_allocated <= 16 and frame.slope == 1 for instance, frame in members)
    looked_up = any(instance.lookup is not None for instance, _ in members)
    return (np.dtype(np.int16), widest) if widest == np.int32 and short and not looked_up else (widest,)


def _value_type(members: Sequence[tuple[Instance, Frame]]) -> np.dtype[Any]:
    """Give the smallest type that holds every value: whole numbers where slopes and intercepts are whole, else float32."""
    ends: list[float] = []
    for instance, frame in members:
        if frame.presentation is not None:
            return np.dtype(np.float32)
        if instance.format.floating:
            return np.dtype(np.float32 if instance.format.bits_allocated == 32 else np.float64)
        if instance.lookup is not None:
            ends += [0, (1 << instance.lookup.bits) - 1]
            continue
        if not (float(frame.slope).is_integer() and float(frame.intercept).is_integer()):
            return np.dtype(np.float32)
        ends += [end * frame.slope + frame.intercept for end in _stored_range(instance.format)]
    fitting = (kind for kind in WHOLE_TYPES if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max)
    return np.dtype(next(fitting, np.float32))
