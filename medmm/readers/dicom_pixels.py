"""The pixels of a DICOM file: decoded, sign-extended, padding told apart, in real units.

Source: DICOM PS3.5, section 8 (pixel encoding); PS3.3, sections C.7.6.3.1 (photometric interpretation, palettes), C.7.5.1.1.2
(padding), C.11.1 (rescaling).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_codestream import DELIMITER, ITEM, check_codestream, frame_places
from medmm.readers.dicom_file import EXPLICIT_BIG, NATIVE, pixel_stream, read_header
from medmm.readers.dicom_format import PALETTE, PixelFormat
from medmm.readers.dicom_frames import Frame
from medmm.readers.dicom_instance import Instance
from medmm.readers.dicom_lookup import palette
from medmm.readers.dicom_presentation import Presentation
from medmm.readers.quiet import quiet
from medmm.types import Array

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

PLUGIN = "pylibjpeg"
"""One decoder for each syntax, so that the values of a file do not hang on what else is installed."""

PANIC = "PanicException"
"""What a decoder written in Rust raises where it fails; a BaseException that no module exports."""

WHOLE_TYPES = (np.int16, np.uint16, np.int32, np.int64)


def volume_values(members: Sequence[tuple[Instance, Frame]]) -> tuple[Array, Array | None]:
    """Decode the frames of a stack.

    Args:
        members: In the order of the slices.

    Returns:
        Real values as (column, row, slice), colour as (column, row, slice, 3), and where they are padding; None where nowhere.

    Raises:
        Rejected: NO_DECODER, TRUNCATED, MALFORMED, UNSUPPORTED, TOO_LARGE or MIXED_SERIES.
    """
    values: Array | None = None
    padding = np.zeros(0, bool)
    for instance, numbers in _slices_by_file(members):
        with pixel_stream(instance.file, instance.format.syntax, instance.where) as stream:
            reader = FrameReader(stream, instance)
            for number in numbers:
                words = reader.words(members[number][1].index)
                if values is None:
                    kind = words.dtype if words.ndim == 3 else _value_type(members)
                    values = np.empty((len(members), *words.shape), kind)  # (slice, row, column[, 3])
                mask = _fill(values[number], words, instance, members[number][1])
                if mask is not None:
                    padding = padding if padding.size else np.zeros(values.shape[:3], bool)
                    padding[number] = mask
    assert values is not None
    return values.swapaxes(0, 2), padding.swapaxes(0, 2) if padding.any() else None


def _slices_by_file(members: Sequence[tuple[Instance, Frame]]) -> list[tuple[Instance, list[int]]]:
    slices: dict[str, tuple[Instance, list[int]]] = {}
    for number, (instance, _) in enumerate(members):
        slices.setdefault(instance.where, (instance, []))[1].append(number)
    return list(slices.values())


class FrameReader:
    """Decodes frames of one open file.

    Args:
        stream: As `pixel_stream` gives it.
        instance: The file's checked header.
    """

    def __init__(self, stream: BinaryIO, instance: Instance) -> None:
        stored = instance.format
        self._stream = stream
        self._instance = instance
        self._native = stored.syntax in NATIVE
        self._tiled: Array | None = None  # the image that holds all tiles, once it is decoded
        self._decoder = _decoder(stored.syntax, instance.where)
        self._places = [] if self._native else frame_places(stream, instance.pixels.offset, stored.frames, instance.where)

    def words(self, index: int) -> Array:
        """Decode one frame to (row, column) words as stored, or to (row, column, 3) colours."""
        side, stored = self._instance.tiles, self._instance.format
        if side == 1:
            return self._image(index)
        if self._tiled is None:
            self._tiled = self._image(0)
        rows, columns = stored.rows // side, stored.columns // side
        down, across = index // side * rows, index % side * columns
        return self._tiled[down : down + rows, across : across + columns]

    def _image(self, index: int) -> Array:
        stored = self._instance.format
        content = self._native_frame(index) if self._native else self._encapsulated_frame(index)
        if stored.floating:
            order = ">" if stored.syntax == EXPLICIT_BIG else "<"
            return np.frombuffer(content, f"{order}f{stored.bits_allocated // 8}").reshape(stored.rows, stored.columns)
        words = _decode(self._decoder, content, self._instance)
        if stored.photometric == PALETTE:
            header = read_header(self._instance.file, self._instance.where)
            colours = palette(header.attributes, stored.signed)
            return np.stack([lookup(_extended(words, stored)) for lookup in colours], axis=-1)
        return words

    def _native_frame(self, index: int) -> bytes:
        stored = self._instance.format
        padding = stored.frame_bytes % 2 if stored.frames == 1 else 0  # the byte that makes the whole value even
        self._stream.seek(self._instance.pixels.offset + index * stored.frame_bytes)
        return self._stream.read(stored.frame_bytes + padding)

    def _encapsulated_frame(self, index: int) -> bytes:
        stored = self._instance.format
        parts = []
        for place, length in self._places[index]:
            self._stream.seek(place)
            parts.append(self._stream.read(length))
        frame = b"".join(parts)
        check_codestream(frame, stored, self._instance.where)
        frame += b"\0" * (len(frame) % 2)
        return ITEM + struct.pack("<I", 0) + ITEM + struct.pack("<I", len(frame)) + frame + DELIMITER + struct.pack("<I", 0)


def _decoder(syntax: str, where: str) -> Decoder:
    from pydicom.config import IGNORE
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax, IGNORE)
    found = f"transfer syntax {uid.name}" if uid.name != uid else "an unknown transfer syntax"  # its digits are the file's own
    try:
        with quiet():
            decoder = get_decoder(uid)
    except NotImplementedError:
        raise Rejected(Code.NO_DECODER, where, found, "one that pydicom decodes", "export it uncompressed") from None
    if syntax not in NATIVE and PLUGIN not in decoder.available_plugins:
        needed = "; ".join(decoder.missing_dependencies)
        raise Rejected(Code.NO_DECODER, where, found, "a decoder for it", f"install {needed}")
    return decoder


def _decode(decoder: Decoder, content: bytes, instance: Instance) -> Array:
    """Give words as stored, of `bits_allocated` bits and the sign of the header; colours as RGB."""
    stored = instance.format
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
        with quiet():  # the codestream's colour space, which pydicom then uses, may differ from the header's
            plugin = "" if stored.syntax in NATIVE else PLUGIN
            words, _ = decoder.as_array(content, decoding_plugin=plugin, raw=stored.samples == 1, **options)  # type: ignore[arg-type]
    except BaseException as error:
        if isinstance(error, MemoryError) or not (isinstance(error, Exception) or type(error).__name__ == PANIC):
            raise
        found = "pixels that cannot be decoded"
        raise Rejected(Code.MALFORMED, instance.where, found, "whole pixels", "copy or export the file again") from None
    return np.asarray(words.astype(words.dtype.newbyteorder("="), copy=False))


def _fill(out: Array, words: Array, instance: Instance, frame: Frame) -> Array | None:
    """Write the real values of one frame, and give the mask of its padding."""
    if words.ndim == 3:
        if words.dtype != out.dtype:
            raise Rejected(
                Code.MIXED_SERIES, instance.where, f"colours of type {words.dtype}", f"{out.dtype}", "give each file on its own"
            )
        out[...] = words
        return None
    stored = instance.format
    if instance.presentation is not None:
        return _fill_shown(out, words, instance, instance.presentation, frame)
    if stored.floating:
        return _fill_floating(out, words, stored, frame)
    values = _extended(words, stored)
    mask = None
    if stored.padding is not None:
        low, high = stored.padding
        mask = ((words >= low) & (words <= high)) | ((values >= low) & (values <= high))
    if instance.lookup is not None:
        values = instance.lookup(values)
        out[...] = ((1 << instance.lookup.bits) - 1) - values.astype(out.dtype) if stored.inverted else values
        return mask
    if stored.inverted:
        low, high = _stored_range(stored)
        values = values.dtype.type(low + high) - values
    if frame.slope == 1 and out.dtype.kind == "i":
        # The sum fits, so a wrap-around of a stored value on the way there is undone by the addition.
        np.add(values, int(frame.intercept), out=out, dtype=out.dtype, casting="unsafe")
    else:
        out[...] = values * frame.slope + frame.intercept
    return mask


def _fill_shown(out: Array, words: Array, instance: Instance, shown: Presentation, frame: Frame) -> Array | None:
    """Write one frame as a screen shows it; its real values are those before any inversion."""
    plain = replace(instance, presentation=None, format=replace(instance.format, inverted=False))
    real = np.empty(words.shape, np.float64)
    mask = _fill(real, words, plain, frame)
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


def _value_type(members: Sequence[tuple[Instance, Frame]]) -> np.dtype[np.generic]:
    """Give the smallest type that holds every value: whole numbers where slopes and intercepts are whole, else float32."""
    ends: list[float] = []
    for instance, frame in members:
        if instance.presentation is not None:
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
