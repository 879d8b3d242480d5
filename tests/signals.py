"""Small recordings of every format that is read here without a package of its own, and a drawn ECG."""

import io
import struct

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from medmm.types import Array

RATE_HZ = 4000


def tone(samples: int = 3000, seed: int = 0) -> Array:
    """Give a noisy tone, (T,) within full scale."""
    rng = np.random.default_rng(seed)
    return np.clip(0.5 * np.sin(np.arange(samples) / 9) + rng.normal(0, 0.02, samples), -0.99, 0.99)


def ecg(samples: int, rate_hz: float, rng: np.random.Generator, *, beats_minute: float = 70) -> Array:
    """Draw an ECG in mV, (T,): waves as bells, wander and noise of random size; of a lead that points up or down."""
    time = np.arange(samples) / rate_hz
    phase = time * beats_minute / 60 % 1
    waves = ((0.15, 0.3, 0.03), (-0.1, 0.46, 0.012), (1.0, 0.5, 0.013), (-0.25, 0.54, 0.013), (0.3, 0.75, 0.05))
    beat = sum(
        height * rng.uniform(0.6, 1.4) * np.exp(-((phase - place) ** 2) / 2 / width**2) for height, place, width in waves
    )
    wander = rng.uniform(0, 0.1) * np.sin(2 * np.pi * (0.3 * time + rng.uniform()))
    return (beat + wander + rng.normal(0, rng.uniform(0, 0.02), samples)) * rng.choice([-1, 1]) * rng.uniform(0.3, 2)


def wav(
    content: bytes, *, channels: int = 1, rate_hz: int = RATE_HZ, bits: int = 16, tag: int = 1, stated: int | None = None
) -> bytes:
    """Write WAV by hand: the chunk of its format, then that of its sound, of a stated length."""
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, min(rate_hz * frame, 2**32 - 1), frame, bits)
    data = b"data" + struct.pack("<I", len(content) if stated is None else stated) + content
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def sound(format_: str, subtype: str, samples: Array | None = None, rate_hz: int = RATE_HZ) -> bytes:
    """Write sound as libsndfile does."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, tone() if samples is None else samples, rate_hz, format=format_, subtype=subtype)
    return stream.getvalue()


def csv_table(values: Array, rate_hz: float = 500, names: str = "I [mV],II [mV]") -> bytes:
    """Write values (L, T) as CSV, times first."""
    lines = [f"time,{names}", *(f"{i / rate_hz!r}," + ",".join(map(repr, row)) for i, row in enumerate(values.T.tolist()))]
    return ("\n".join(lines) + "\n").encode()


def parquet_table(
    columns: dict[str, object], metadata: dict[str, str] | None = None, units: dict[str, str] | None = None
) -> bytes:
    """Write columns as parquet, with a unit of some in the metadata of their field."""
    table = pa.table(columns)
    fields = [
        field.with_metadata({"unit": units[field.name]}) if units and field.name in units else field for field in table.schema
    ]
    stream = io.BytesIO()
    parquet.write_table(table.cast(pa.schema(fields, metadata=metadata)), stream)
    return stream.getvalue()


def originals() -> dict[str, bytes]:
    """Give whole recordings by the name of their format."""
    both = np.stack([tone(400), tone(400, 1)])
    return {
        "wav": sound("WAV", "PCM_16"),
        "wav24": sound("WAVEX", "PCM_24", np.stack([tone(), tone(seed=1)], 1)),
        "wav-float": sound("WAV", "FLOAT", tone(500)),
        "rf64": sound("RF64", "PCM_16", tone(500)),
        "flac": sound("FLAC", "PCM_16", np.stack([tone(), tone(seed=1)], 1)),
        "flac24": sound("FLAC", "PCM_24", tone(500)),
        "vorbis": sound("OGG", "VORBIS"),
        "opus": sound("OGG", "OPUS", rate_hz=8000),
        "csv": csv_table(both),
        "parquet": parquet_table({"I": both[0], "II": both[1]}, {"rate_hz": "500"}),
    }
