"""Some hundred damaged recordings, the same ones each time: each ends in a sound waveform or in a refusal that tells of nobody.

`python -m tests.test_fuzz_waveforms 20000` reads more of them.
"""

import logging
import math
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import planted_waveforms as planted
import pytest
from fuzz import DAMAGES, LIMITS, _inside, _Said, _trail
from planted_waveforms import channel, ecg, edf, group, save_waveform, wfdb_header, wfdb_record
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GeneralAudioWaveformStorage,
    ImplicitVRLittleEndian,
)

from medmm.errors import Code, Rejected
from medmm.readers.waveform_dicom import read_dicom_waveform
from medmm.readers.waveform_edf import read_edf
from medmm.readers.waveform_wfdb import read_wfdb
from medmm.types import Waveform
from medmm.workers import answers

WHERE = "file 1 of 1"
READ = "read"


@cache
def originals() -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    """Give the kind and the files of every whole recording; of WFDB signals and header."""
    made: list[tuple[str, tuple[bytes, ...]]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        beat = group(ecg(1, samples=5), WaveformOriginality="DERIVED")
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
            big = syntax == ExplicitVRBigEndian
            groups = [group(ecg(leads=4), big=big), beat]
            made.append(("dicom", (save_waveform(folder / "a", groups, syntax).read_bytes(),)))
        sound = group(ecg(leads=1, low=0, high=255), [channel(ChannelSensitivity=None, WaveformBitsStored=8)], "MB")
        file = save_waveform(folder / "a", [sound], SOPClassUID=GeneralAudioWaveformStorage)
        made.append(("dicom", (file.read_bytes(),)))
        files = wfdb_record(folder, ecg(leads=3, samples=20), wfdb_header(ecg(leads=3, samples=20)))
        made.append(("wfdb", tuple(one.read_bytes() for one in files)))
    raw = np.random.default_rng(0).integers(1, 120, 48, np.uint8).tobytes()
    for coding, samples, size in (("212", 16, 48), ("80", 16, 32), ("24", 8, 48)):
        header = f"r 2 250 {samples}\n" + f"r.dat {coding} 100/mV\n" * 2
        made.append(("wfdb", (raw[:size], header.encode())))
    records = ecg(samples=4, leads=20)
    made.append(("edf", (edf(records, ("ECG I", "ECG II")),)))
    made.append(("edf", (edf(records, ("ECG I", "EDF Annotations"), reserved="EDF+C"),)))
    made.append(("edf", (edf(records, ("x", "y"), version=b"\xffBIOSEMI", reserved="24BIT"),)))
    return tuple(made)


def mutant(seed: int) -> tuple[str, list[bytes]]:
    """Damage a recording as the seed says."""
    rng = np.random.default_rng(seed)
    kind, files = originals()[int(rng.integers(len(originals())))]
    contents = list(files)
    for _ in range(int(rng.integers(1, 3))):
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        place = int(rng.integers(len(contents)))
        contents[place] = _inside(contents[place], rng, damage) if rng.random() < 0.6 else damage(contents[place], rng)
    return kind, contents


def decode(kind: str, contents: Sequence[bytes], folder: Path) -> Waveform:
    """Write files and read them."""
    files = [folder / "r.dat", folder / "r.hea"][: len(contents)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    if kind == "wfdb":
        return read_wfdb(files, WHERE)
    return read_dicom_waveform(files[0], WHERE) if kind == "dicom" else read_edf(files[0], WHERE)


def faults(found: Waveform) -> str:
    """Say what makes a waveform unsound; "" where nothing does."""
    values = found.values
    sound = values.ndim == 2 and values.dtype == np.float32 and min(values.shape) > 0 and bool(np.isfinite(values).all())
    named = len(found.leads) == len(found.units) == len(values) and all(found.leads)
    return "" if sound and named and 0 < found.rate_hz < math.inf else f"{values.shape} {found.leads} {found.rate_hz}"


def read(seed: int, folder: Path) -> tuple[str, str]:
    """Read a mutant; give how that ended, and what was wrong with that."""
    kind, contents = mutant(seed)
    place = folder / str(seed)
    place.mkdir()
    said = _Said()
    logging.getLogger().addHandler(said)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = decode(kind, contents, place)
        end, wrong = READ, faults(found)
    except Rejected as reason:
        line = str(reason)
        told = any(word in line for word in (planted.SECRET, str(folder), "r.dat", "r.hea", "\n"))
        end, wrong = reason.code.value, f"told {line}" if told else ""
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - any is an offence
        return kind, f"{type(error).__name__}: {error}; {_trail(error)}"
    finally:
        logging.getLogger().removeHandler(said)
    return f"{kind} {end}", wrong or "; ".join([*(str(one.message) for one in warned), *said.lines])


def _setup(folder: Path) -> Callable[[int], tuple[str, str]]:
    return partial(read, folder=folder)


def run(seeds: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    """Read mutants within limits of time and memory; one that its process was lost with ended wrong too."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, answer in answers(seeds, partial(_setup, Path(folder)), 2, LIMITS):
            yield (seed, "lost", answer.value) if isinstance(answer, Code) else (seed, *answer)


def test_damaged_recordings_end_in_waveforms_or_a_refusal() -> None:
    for package in ("wfdb", "edfio"):
        pytest.importorskip(package, reason="needs medmm[signal]")
    ends: Counter[str] = Counter()
    for seed, end, wrong in run(range(600)):
        assert not wrong, f"seed {seed}, {end}: {wrong}"
        ends[end] += 1
    assert ends.total() == 600
    assert all(ends[f"{kind} {READ}"] > 5 for kind in ("dicom", "wfdb", "edf"))
    assert len(ends) > 12


def test_the_originals_are_whole(tmp_path: Path) -> None:
    for number, (kind, contents) in enumerate(originals()):
        (tmp_path / str(number)).mkdir()
        assert not faults(decode(kind, contents, tmp_path / str(number)))


if __name__ == "__main__":
    counted: Counter[str] = Counter()
    for seed, end, wrong in run(range(int(sys.argv[1]))):
        counted[end] += 1
        if wrong:
            sys.stdout.write(f"seed {seed}, {end}: {wrong}\n")
    sys.stdout.write("\n".join(f"{count:8d} {end}" for end, count in counted.most_common()) + "\n")
