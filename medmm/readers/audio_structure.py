"""How long a file of sound says it is: read from its own structure, decoding nothing.

Of WAV the chunks are walked, of Ogg every page with its check sum; of FLAC the first block holds length and digest.

Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF/WAVE); EBU Tech 3306 (RF64); RFC 9639, section 8.2
(FLAC STREAMINFO); RFC 3533, section 6 (Ogg page); Vorbis I, section 4.2.2; RFC 7845, sections 4 and 5 (Opus in Ogg).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from medmm.errors import Code, Rejected

FILE_LIMIT_BYTES = 1 << 30
"""Twice what the limit of values takes as float32."""

UNKNOWN_LENGTH = 0xFFFFFFFF
"""Of RF64, whose chunk ds64 holds the length; of a WAV file that was streamed and whose length was never written."""

MOST_CHUNKS = 10_000
COMPRESSED_BITS = (0, 4)
"""Of a sample, as ADPCM, GSM and MP3 in WAV state them."""

FMT_BYTES, DS64_BYTES = 16, 16
STREAMINFO_BYTES = 34
FLAC_BITS = (8, 16, 24)
"""libsndfile decodes no others."""

PAGE_BYTES = 27
LAST_PAGE = 4
NO_GRANULE = (1 << 64) - 1
OPUS_COUNT_HZ, OPUS_RATES_HZ = 48000, (8000, 12000, 16000, 24000, 48000)
"""Opus counts in the first, whatever it was recorded at, and is decoded to the lowest of the others that holds all of it."""

MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""The check sum of Ogg is that of zlib with the bits of each byte, and of the sum, in reverse order, without inversions."""


@dataclass(frozen=True)
class Promise:
    """What a file says of itself.

    Attributes:
        frames: Samples of each channel.
        digest: MD5 of the sound as integers; None where there is none.
        compressed: Whether the file may be much smaller than its sound.
    """

    frames: int
    rate_hz: int
    channels: int
    digest: bytes | None = None
    compressed: bool = True


def promise_of(path: Path, where: str) -> Promise:
    """Read what a WAV, FLAC or Ogg file promises.

    Raises:
        Rejected: TOO_LARGE, TRUNCATED (the file ends before its data, or its length was never written), MALFORMED, or
            UNSUPPORTED (several streams in one Ogg file, or another codec than Vorbis and Opus).
    """
    size = path.stat().st_size
    if size > FILE_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, where, f"{size} bytes", f"at most {FILE_LIMIT_BYTES}", "cut it into shorter recordings")
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        return STRUCTURES[magic](file, size, where)


def _wav(file: BinaryIO, size: int, where: str) -> Promise:
    rf64 = file.read(12)[:4] == b"RF64"
    fmt = long_bytes = None
    promised: list[tuple[int, int]] = []  # bytes, and how many there are of them
    for name, length in _chunks(file, size):
        start, count = file.tell(), length
        if name == b"fmt ":
            fmt = _whole(file, FMT_BYTES, where)
        elif name == b"ds64":
            long_bytes = int.from_bytes(_whole(file, DS64_BYTES, where)[8:], "little")
        elif name == b"data":
            if length == UNKNOWN_LENGTH and (not rf64 or long_bytes is None):
                raise _truncated(where, "a length that was never written", "the length of the sound")
            count = long_bytes if length == UNKNOWN_LENGTH and long_bytes is not None else length
            promised.append((count, size - start))
        file.seek(min(start + count + count % 2, size))  # a length of 64 bits is more than any file may be sought to
    if fmt is None or len(promised) != 1:
        if not promised and fmt is not None:
            raise _truncated(where, "no sound after the header", "the sound")
        raise _malformed(where, f"{len(promised)} chunks of sound, {'no' if fmt is None else 'a'} format", "one of each")
    ((length, there),) = promised
    _, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", fmt)
    if bits in COMPRESSED_BITS or not channels:  # the decoder names the encoding, or refuses it
        return Promise(0, rate, channels, compressed=False)
    if frame_bytes != channels * ((bits + 7) // 8):
        raise _malformed(where, f"{channels} channels of {bits} bits in {frame_bytes} bytes", "sizes that agree")
    if length > there:
        raise _truncated(where, f"{there} bytes of sound", str(length))
    if length % frame_bytes:
        raise _malformed(where, f"{length} bytes of sound", f"a multiple of {frame_bytes}")
    return Promise(length // frame_bytes, rate, channels, compressed=False)


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Give name and length of each chunk; the file stands at its content, and has to be moved on by the caller."""
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or file.tell() > size:
            return
        yield head[:4], int.from_bytes(head[4:], "little")


def _flac(file: BinaryIO, size: int, where: str) -> Promise:
    head = _whole(file, 8 + STREAMINFO_BYTES, where)
    if head[4] & 0x7F or int.from_bytes(head[5:8], "big") != STREAMINFO_BYTES:
        raise _malformed(where, "a FLAC file without its description", "STREAMINFO as its first block")
    packed = int.from_bytes(head[18:26], "big")  # 20 bits of rate, 3 of channels, 5 of bits a sample, 36 of samples
    bits, frames = (packed >> 36 & 31) + 1, packed & (1 << 36) - 1
    if bits not in FLAC_BITS:
        expected = "8, 16 or 24"
        raise Rejected(Code.UNSUPPORTED, where, f"{bits} bits a sample", expected, "convert it to FLAC of 24 bits, or to WAV")
    if not frames:
        raise _truncated(where, "a length that was never written", "the length of the sound")
    digest = head[26:42]
    return Promise(frames, packed >> 44, (packed >> 41 & 7) + 1, digest if any(digest) else None)


def _ogg(file: BinaryIO, size: int, where: str) -> Promise:
    serial = last = granule = None
    head = b""
    number = 0
    while page := file.read(PAGE_BYTES):
        if len(page) < PAGE_BYTES:
            raise _truncated(where, "a page that breaks off", "whole pages")
        if page[:5] != b"OggS\0":
            raise _malformed(where, "bytes between pages", "one page after the other")
        lengths = file.read(page[26])
        body = file.read(sum(lengths))
        if len(lengths) < page[26] or len(body) < sum(lengths):
            raise _truncated(where, "a page that breaks off", "whole pages")
        _, kind, place, stream, order, check = struct.unpack("<BBQIII", page[4:26])
        if check != _check_sum(page[:22] + bytes(4) + page[26:] + lengths + body):
            raise _malformed(where, "a page whose check sum is wrong", "pages as they were written")
        serial = stream if serial is None else serial
        if stream != serial or last:
            raise Rejected(Code.UNSUPPORTED, where, "several streams in one file", "one recording", "split the file")
        if order != number:
            raise _malformed(where, f"page {order} at place {number}", "all pages in order")
        granule = granule if place == NO_GRANULE else place
        head, last, number = head or body, bool(kind & LAST_PAGE), number + 1
    if not last or granule is None:
        raise _truncated(where, "no last page", "the whole file")
    if head.startswith(b"\x01vorbis") and len(head) >= 16:
        return Promise(granule, int.from_bytes(head[12:16], "little"), head[11])
    if head.startswith(b"OpusHead") and len(head) >= 16:
        recorded = int.from_bytes(head[12:16], "little") or OPUS_COUNT_HZ
        rate = next((rate for rate in OPUS_RATES_HZ if rate >= recorded), OPUS_COUNT_HZ)
        return Promise((granule - int.from_bytes(head[10:12], "little")) * rate // OPUS_COUNT_HZ, rate, head[9])
    raise Rejected(Code.UNSUPPORTED, where, "another codec", "Vorbis or Opus in Ogg", "convert it to FLAC or WAV")


def _check_sum(page: bytes) -> int:
    """Give the CRC of RFC 3533: polynomial 0x04c11db7, from 0, not inverted."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(MIRRORED), "big")


def _whole(file: BinaryIO, count: int, where: str) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise _truncated(where, "a header that breaks off", "the whole header")
    return content


def _truncated(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.TRUNCATED, where, found, expected, "copy or export the recording again")


def _malformed(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, found, expected, "export the recording again")


STRUCTURES: Mapping[bytes, Callable[[BinaryIO, int, str], Promise]] = {
    b"RIFF": _wav,
    b"RF64": _wav,
    b"fLaC": _flac,
    b"OggS": _ogg,
}
"""By the first bytes."""
