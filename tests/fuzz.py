"""Damaged files, each made from a whole one by a numbered seed: every one must end in sound volumes or in a `Rejected`.

`python -m tests.fuzz` reads 20,000 of them within limits of time and memory, and prints how they ended and every offender;
`python -m tests.fuzz --seed 17 --keep /tmp/mutant` writes one to look at.

Originals are the files that pydicom brings, and NIfTI, PNG and JPEG files made here. Damage is done to bytes, and behind
compression and check sums too, where damage to bytes alone would never get.
"""

import argparse
import gzip
import io
import logging
import re
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from pydicom.data import get_testdata_files
from pydicom.uid import UID_dictionary

from medmm.errors import Code, Rejected
from medmm.readers import read_series
from medmm.readers.dicom_file import DEFLATED
from medmm.readers.formats import GZIP_MAGIC
from medmm.types import Volume
from medmm.workers import Limits, answers, cores

MUTANTS = 20_000
LIMITS = Limits(seconds=10, memory_bytes=1 << 30)
SLOW_SECONDS = 5.0
"""No original takes more than a tenth of a second."""

TEXT_LETTERS = 600
"""As much as is shown of what an offender did."""

VOLUMES, OFFENDER = "volumes", "offender"

Rng = np.random.Generator
Damage = Callable[[bytes, Rng], bytes]

NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
TEXTS = (b"NaN", b"inf", b"-1", b"1e400", b"1e-400", b"0", b"", b"..\\..\\x", b"9" * 16, b"1\\2", b"\x1b$B\xff", b"../../x\n")
EXPLICIT = re.compile(
    rb"(?s)(?=(?:..[\x00-\xff]{2})(AE|AS|AT|CS|DA|DS|FD|FL|IS|LO|LT|OB|OF|OW|PN|SH|SQ|SS|ST|TM|UI|UL|UN|US|UT))"
)
"""Where an explicit element may start, in either byte order."""

PIXELS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10", b"IDAT", b"\xff\xda")
SYNTAXES = sorted(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax")
PNG_START = b"\x89PNG\r\n\x1a\n"
NIFTI_HEADER = 352


@dataclass(frozen=True)
class Mutant:
    """A damaged file.

    Attributes:
        origin: Name of the file that it was made from.
        damages: What was done to it, in this order.
    """

    seed: int
    origin: str
    damages: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        end: `VOLUMES`, or the code of the rejection, or `OFFENDER`.
        text: What an offender did.
    """

    seed: int
    end: str
    text: str = ""


@cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """Give name and content of every whole file."""
    bundled = sorted((Path(file) for file in get_testdata_files()), key=lambda file: file.name)
    return (*((file.name, file.read_bytes()) for file in bundled if file.is_file()), *_made())


def mutant(seed: int) -> Mutant:
    """Damage a file as the seed says."""
    rng = np.random.default_rng(seed)
    files = originals()
    made = rng.random() < 0.25  # these few stand for two whole formats
    count = len(_made())
    name, content = files[-int(rng.integers(1, count + 1))] if made else files[int(rng.integers(len(files) - count))]
    damages = []
    for _ in range(int(rng.integers(1, 4))):
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        damages.append(damage.__name__)
        content = _inside(content, rng, damage) if rng.random() < 0.6 else damage(content, rng)
    return Mutant(seed, name, tuple(damages), content)


def read(seed: int, folder: Path) -> Outcome:
    """Make a mutant, read it, and judge how that ended; what is said on the way is an offence too, for it may hold a name."""
    file = folder / f"mutant-{seed}"
    file.write_bytes(mutant(seed).content)
    said = _Said()
    logging.getLogger().addHandler(said)
    start = time.monotonic()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            volumes = read_series(file)
        end, text = VOLUMES, "; ".join(fault for volume in volumes for fault in faults(volume))
    except Rejected as reason:
        end, text = reason.code.value, "a path in the text" if file.name in str(reason) or str(folder) in str(reason) else ""
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - any is an offence
        return Outcome(seed, OFFENDER, f"{type(error).__name__}: {error}; {_trail(error)}")
    finally:
        logging.getLogger().removeHandler(said)
        file.unlink()
    text = text or "; ".join([*(str(one.message) for one in warned), *said.lines])
    if time.monotonic() - start > SLOW_SECONDS:
        text = text or f"took {time.monotonic() - start:.1f} s"
    return Outcome(seed, OFFENDER if text else end, text)


def faults(volume: Volume) -> list[str]:
    """Say what makes a volume unsound."""
    found = []
    values = volume.values
    if values.ndim not in (3, 4) or min(values.shape) < 1 or (values.ndim == 4 and values.shape[3] != 3):
        found.append(f"shape {values.shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        found.append("values that are not finite")
    if volume.padding is not None and volume.padding.shape != values.shape[:3]:
        found.append(f"padding of shape {volume.padding.shape}")
    if volume.spacing_mm is not None and not (np.isfinite(volume.spacing_mm).all() and min(volume.spacing_mm) > 0):
        found.append(f"spacing {volume.spacing_mm}")
    if volume.affine is not None and not (
        np.isfinite(volume.affine).all() and abs(np.linalg.det(volume.affine[:3, :3])) > 0 and volume.spacing_mm is not None
    ):
        found.append("no affine")
    return found


def run(seeds: Sequence[int], workers: int) -> Iterator[Outcome]:
    """Read mutants within the limits; one that its process was lost with is an offender too."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, answer in answers(seeds, partial(_setup, Path(folder)), workers, LIMITS):
            yield Outcome(seed, OFFENDER, answer.value) if isinstance(answer, Code) else answer


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line.encode("ascii", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read many, or write one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--keep", type=Path, help="where to write it")
    parser.add_argument("--workers", type=int, default=cores())
    chosen = parser.parse_args()
    if chosen.seed is not None:
        one = mutant(chosen.seed)
        say(f"{one.origin}: {' '.join(one.damages)}")
        if chosen.keep:
            chosen.keep.write_bytes(one.content)
    seeds = range(chosen.first, chosen.first + chosen.mutants) if chosen.seed is None else [chosen.seed]
    ends: Counter[str] = Counter()
    for outcome in run(seeds, chosen.workers):
        ends[outcome.end] += 1
        if outcome.end == OFFENDER:
            one = mutant(outcome.seed)
            say(f"seed {one.seed}, {one.origin}, {' '.join(one.damages)}: {outcome.text[:TEXT_LETTERS]}")
    for end, count in ends.most_common():
        say(f"{count:8d} {end}")
    return ends[OFFENDER] > 0


def _trail(error: BaseException) -> str:
    """Give the last places that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


class _Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} logs {record.getMessage()}")


def _setup(folder: Path) -> Callable[[int], Outcome]:
    return partial(read, folder=folder)


@cache
def _made() -> tuple[tuple[str, bytes], ...]:
    """Make small NIfTI, PNG and JPEG files."""
    made = []
    values = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    affine = np.array([[-2.0, 0, 0, 10], [0, 3.0, 0, 20], [0, 0, 4.0, 30], [0, 0, 0, 1]])
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        for name, voxels in (("int16", values), ("float32", values.astype(np.float32)), ("4d", np.stack([values] * 3, -1))):
            image = kind(voxels, affine)
            image.header.set_xyzt_units("mm")
            content = image.to_bytes()
            made += [
                (f"{kind.__name__}-{name}.nii", content),
                (f"{kind.__name__}-{name}.nii.gz", gzip.compress(content, mtime=0)),
            ]
    ramp = np.arange(20 * 24).reshape(20, 24)
    for mode, pixels in (
        ("L", ramp.astype(np.uint8)),
        ("I;16", (ramp * 100).astype(np.uint16)),
        ("RGB", np.stack([ramp.astype(np.uint8)] * 3, -1)),
        ("P", ramp.astype(np.uint8)),
    ):
        picture = Image.fromarray(pixels)
        picture = picture.convert("P") if mode == "P" else picture
        for format_ in ("PNG", "JPEG") if mode in ("L", "RGB") else ("PNG",):
            stream = io.BytesIO()
            picture.save(stream, format_)
            made.append((f"{mode}.{format_}", stream.getvalue()))
    return tuple(made)


def _inside(content: bytes, rng: Rng, damage: Damage) -> bytes:
    """Damage what lies behind compression or check sums, and close them again; plain files are damaged as they are."""
    if content.startswith(GZIP_MAGIC):
        try:
            plain = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return damage(content, rng)
        return gzip.compress(damage(plain, rng), mtime=0)
    if content.startswith(PNG_START):
        return _png_closed(damage(content, rng))
    place = content.find(DEFLATED.encode())
    if content[128:132] == b"DICM" and place > 0:
        return _deflated_inside(content, rng, damage)
    return damage(content, rng)


def _deflated_inside(content: bytes, rng: Rng, damage: Damage) -> bytes:
    start = 144 + int.from_bytes(content[140:144], "little")
    try:
        plain = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    except zlib.error:
        return damage(content, rng)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return content[:start] + packer.compress(damage(plain, rng)) + packer.flush()


def _png_closed(content: bytes) -> bytes:
    """Write the check sums of the chunks anew, as far as they can be found."""
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        body = content[place + 4 : place + 8 + length]
        if len(body) < length + 4:
            break
        parts += [content[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join([*parts, content[place:]])


def _place(content: bytes, rng: Rng) -> int:
    """Choose a place: anywhere, or in the first part, where headers stand."""
    end = len(content) if rng.random() < 0.5 else min(len(content), 3000)
    return int(rng.integers(max(end, 1)))


def _elements(content: bytes) -> list[int]:
    return [match.start() for match in EXPLICIT.finditer(content[:20_000])]


def flip(content: bytes, rng: Rng) -> bytes:
    """Change a few bytes."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 17))):
        if changed:
            changed[_place(content, rng)] ^= int(rng.integers(1, 256))
    return bytes(changed)


def cut(content: bytes, rng: Rng) -> bytes:
    """End the file early."""
    return content[: _place(content, rng)]


def number(content: bytes, rng: Rng) -> bytes:
    """Put a number that breaks programs somewhere, as 2, 4 or 8 bytes in either order."""
    width, order = int(rng.choice([2, 4, 8])), ("little", "big")[int(rng.integers(2))]
    value = NUMBERS[int(rng.integers(len(NUMBERS)))] % (1 << 8 * width)
    place = _place(content, rng) // 2 * 2
    return content[:place] + value.to_bytes(width, order) + content[place + width :]  # type: ignore[arg-type]


def length(content: bytes, rng: Rng) -> bytes:
    """Change the length of an explicit DICOM element, or any number in the header of NIfTI."""
    places = _elements(content)
    if not places:
        place = int(rng.integers(NIFTI_HEADER)) // 2 * 2
        return content[:place] + rng.bytes(2) + content[place + 2 :]
    place = places[int(rng.integers(len(places)))]
    wide = content[place + 4 : place + 6] in (b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN")
    value = NUMBERS[int(rng.integers(len(NUMBERS)))] if rng.random() < 0.5 else int(rng.integers(1 << 12))
    layout = "<I" if wide else "<H"
    start = place + (8 if wide else 6)
    return (
        content[:start]
        + struct.pack(layout, value % (1 << 8 * struct.calcsize(layout)))
        + content[start + struct.calcsize(layout) :]
    )


def swap(content: bytes, rng: Rng) -> bytes:
    """Let two DICOM elements take each other's tag, or two blocks each other's place."""
    places = _elements(content)
    size = 4
    if len(places) < 2:
        size = int(rng.integers(1, 65))
        places = [_place(content, rng), _place(content, rng)]
    first, second = sorted(int(place) for place in rng.choice(places, 2))
    if second - first < size:
        return content
    one, other = content[first : first + size], content[second : second + size]
    return content[:first] + other + content[first + size : second] + one + content[second + size :]


def double(content: bytes, rng: Rng) -> bytes:
    """Repeat a block, or a whole run of elements, somewhere else."""
    places = sorted({*_elements(content), 0, len(content)}) if rng.random() < 0.5 else [_place(content, rng) for _ in range(3)]
    pairs = list(pairwise(sorted(places)))
    start, end = pairs[int(rng.integers(len(pairs)))] if pairs else (0, 0)
    place = places[int(rng.integers(len(places)))]
    return content[:place] + content[start:end] * int(rng.choice([1, 1, 2, 50])) + content[place:]


def drop(content: bytes, rng: Rng) -> bytes:
    """Take an element or a block out."""
    places = _elements(content) if rng.random() < 0.5 else []
    if len(places) > 2:
        number_ = int(rng.integers(len(places) - 1))
        return content[: places[number_]] + content[places[number_ + 1] :]
    place = _place(content, rng)
    return content[:place] + content[place + int(rng.integers(1, 300)) :]


def text(content: bytes, rng: Rng) -> bytes:
    """Put a text into a DICOM element that its standard forbids, with the right length or over what stands there."""
    places = _elements(content)
    value = TEXTS[int(rng.integers(len(TEXTS)))]
    if not places:
        place = _place(content, rng)
        return content[:place] + value + content[place + len(value) :]
    place = places[int(rng.integers(len(places)))]
    value += b" " * (len(value) % 2)
    old = int.from_bytes(content[place + 6 : place + 8], "little")
    return content[: place + 6] + struct.pack("<H", len(value)) + value + content[place + 8 + old :]


def pixels(content: bytes, rng: Rng) -> bytes:
    """Damage what follows the mark of the pixels: a codestream, RLE segments, offsets."""
    start = max(content.rfind(mark) for mark in PIXELS)
    if start < 0:
        return flip(content, rng)
    tail = bytearray(content[start + 4 :])
    for _ in range(int(rng.integers(1, 30))):
        if tail:
            near = int(rng.integers(len(tail) if rng.random() < 0.5 else min(len(tail), 200)))
            tail[near] = int(rng.choice([0, 0xFF, int(rng.integers(256))]))
    return content[: start + 4] + bytes(tail)


def syntax(content: bytes, rng: Rng) -> bytes:
    """State another transfer syntax."""
    place = content.find(b"\x02\x00\x10\x00UI")
    if place < 0:
        return flip(content, rng)
    old = int.from_bytes(content[place + 6 : place + 8], "little")
    uid = SYNTAXES[int(rng.integers(len(SYNTAXES)))].encode()
    uid += b"\0" * (len(uid) % 2)
    return content[: place + 6] + struct.pack("<H", len(uid)) + uid + content[place + 8 + old :]


DAMAGES: tuple[Damage, ...] = (flip, cut, number, length, swap, double, drop, text, pixels, syntax)

if __name__ == "__main__":
    raise SystemExit(main())
