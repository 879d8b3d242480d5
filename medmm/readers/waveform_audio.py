"""Recorded sound: WAV, FLAC and OGG, to shares of full scale.

libsndfile gives what is left of a file that breaks off, and says nothing. So what comes out is held against what the file
promises.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from medmm.errors import Code, ConfigError, Rejected
from medmm.readers.audio_structure import Promise, promise_of
from medmm.readers.waveform_checks import check_finite, check_rate, check_size
from medmm.types import Array, Waveform

CHANNELS_LIMIT = 64
"""Arrays of microphones on a chest have some tens."""

LOWEST_RATE_HZ = 20
"""Below it nothing can be heard; some keep an ECG as WAV, at 100 Hz and more."""

LOUDEST = 16.0
"""Floats may go beyond full scale; 24 dB beyond it they are of another scale, such as that of 16 bit integers."""

VALUES_A_BYTE = 256
"""Most values that a byte of a compressed file may become: Opus at its lowest rate comes to 64. More is a bomb, or silence."""

BLOCK_FRAMES = 1 << 16

INTEGERS = {"PCM_S8": ("int16", 8), "PCM_16": ("int16", 16), "PCM_24": ("int32", 24)}
"""How FLAC is decoded, whose digest is of integers: to which type, in whose upper bits the sample stands."""

ENCODINGS = frozenset({*INTEGERS, "PCM_U8", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS"})


def read_audio(path: Path, where: str) -> Waveform:
    """Read a recorded sound: its channels as leads `1`, `2`, in the unit `1`.

    Integers of b bits are divided by 2^(b - 1), exactly so up to 24 bits and to the nearest float32 beyond; floats stay as they
    are. Opus comes at 8, 12, 16, 24 or 48 kHz, the lowest that holds what was recorded.

    Returns:
        Values (L, T) of L channels in shares of full scale.

    Raises:
        Rejected: TRUNCATED, MALFORMED, TOO_LARGE (before memory is taken), EMPTY (no sample), RATE, LEADS (more than
            `CHANNELS_LIMIT` channels), NOT_FINITE, RANGE (floats of another scale), or UNSUPPORTED (another encoding).
        ConfigError: soundfile is not installed.
    """
    soundfile = _soundfile()
    promise = promise_of(path, where)
    if promise.channels > CHANNELS_LIMIT:
        found = f"{promise.channels} channels"
        raise Rejected(Code.LEADS, where, found, f"at most {CHANNELS_LIMIT}", "export the channels of the patient alone")
    check_rate(promise.rate_hz, where)
    if promise.rate_hz < LOWEST_RATE_HZ:
        expected = f"at least {LOWEST_RATE_HZ} Hz"
        raise Rejected(Code.RATE, where, f"{promise.rate_hz} Hz", expected, "correct the rate where it is exported")
    try:
        with soundfile.SoundFile(path) as file:
            if file.subtype not in ENCODINGS:
                expected = "PCM, floats, Vorbis or Opus"
                raise Rejected(Code.UNSUPPORTED, where, "another encoding of sound", expected, "convert it to FLAC or WAV")
            _check_promise(promise, path.stat().st_size, file, where)
            values = _decode(file, promise, where)
            whole_numbers = file.subtype.startswith("PCM")
    except soundfile.SoundFileError:
        raise _malformed(where, "sound that breaks off or cannot be decoded", "sound as its header describes it") from None
    if not whole_numbers:
        _check_scale(values, where)
    leads = tuple(str(number) for number in range(1, promise.channels + 1))
    return Waveform(values, float(promise.rate_hz), leads, ("1",) * len(leads))


def _check_scale(values: Array, where: str) -> None:
    check_finite(values, where)
    loudest = float(np.abs(values).max())
    if loudest > LOUDEST:
        expected = "floats of which 1 is full scale"
        raise Rejected(Code.RANGE, where, f"samples of up to {loudest:g}", expected, "scale the sound where it is exported")


def _check_promise(promise: Promise, size: int, file: Any, where: str) -> None:
    """Check that two readings of the header agree, and that no file promises more than it can hold."""
    if (file.samplerate, file.channels) != (promise.rate_hz, promise.channels):
        raise _malformed(where, "a header that can be read in two ways", "one rate and number of channels")
    check_size(promise.channels, promise.frames, where)
    if promise.compressed and promise.frames * promise.channels > VALUES_A_BYTE * size:
        expected = f"at most {VALUES_A_BYTE} for each byte of the file"
        repair = "check where the file comes from: it is damaged or hostile, or holds silence"
        raise Rejected(Code.TOO_LARGE, where, f"{promise.frames} samples in {size} bytes", expected, repair)


def _decode(file: Any, promise: Promise, where: str) -> Array:
    """Decode block by block, no further than promised; check length and digest."""
    kind, bits = INTEGERS.get(file.subtype, ("float32", 0)) if file.format == "FLAC" else ("float32", 0)
    values = np.empty((promise.channels, promise.frames), np.float32)  # (L, T)
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    while done < promise.frames:
        block = file.read(min(BLOCK_FRAMES, promise.frames - done), dtype=kind, always_2d=True)  # (t, L)
        if not len(block):
            repair = "copy or export the recording again"
            raise Rejected(Code.TRUNCATED, where, f"{done} samples", str(promise.frames), repair)
        if bits:
            block >>= 8 * block.itemsize - bits
            digest.update(_packed(block, bits))
        values[:, done : done + len(block)] = block.T
        done += len(block)
    if bits:
        values *= np.float32(2.0 ** (1 - bits))
        if promise.digest not in (None, digest.digest()):
            raise _malformed(where, "another sound than was written", "sound with the digest that the file states")
    return values


def _packed(block: Array, bits: int) -> bytes:
    """Give samples as the digest of FLAC takes them: little-endian, in as many bytes as they need (RFC 9639, section 8.2)."""
    wide = block.astype(f"<i{block.itemsize}", copy=False)
    return wide.view(np.uint8).reshape(*wide.shape, wide.itemsize)[..., : bits // 8].tobytes()


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # the package, or the library below it
        raise ConfigError("recorded sound needs soundfile, which is not installed: pip install medmm[signal]") from None
    return soundfile


def _malformed(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, found, expected, "export the recording again")
