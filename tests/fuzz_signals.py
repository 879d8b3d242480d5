"""Damaged recordings, each made from a whole one by a numbered seed: every one must end in a sound waveform or in a `Rejected`.

`PYTHONPATH=.:tests python tests/fuzz_signals.py 0 20000` reads as many from that seed on, and prints how they ended and every
offender. Damage is that of `fuzz`.
"""

import logging
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import fuzz
import numpy as np
import signals

from medmm.errors import Code, Rejected
from medmm.readers.waveform import read_waveform
from medmm.types import Waveform
from medmm.workers import answers

WAVEFORM = "waveform"
CHECKED = frozenset({"flac", "flac24", "vorbis", "opus"})
"""Formats with check sums over the sound: of these no other sound than the whole one may come out."""


@cache
def wholes() -> dict[str, bytes]:
    """Give the originals, made once."""
    return signals.originals()


def mutant(seed: int) -> tuple[str, bytes]:
    """Damage a recording as the seed says; gives the name of its original too."""
    rng = np.random.default_rng(seed)
    name = list(wholes())[int(rng.integers(len(wholes())))]
    content = wholes()[name]
    for _ in range(int(rng.integers(1, 3))):
        content = fuzz.DAMAGES[int(rng.integers(len(fuzz.DAMAGES)))](content, rng)
    return name, content


def read(seed: int, folder: Path, wave: Callable[[Sequence[Path]], Waveform] = read_waveform) -> fuzz.Outcome:
    """Make a mutant, read it, and judge how that ended."""
    name, content = mutant(seed)
    file = folder / f"mutant-{seed}"
    file.write_bytes(content)
    said = fuzz._Said()
    logging.getLogger().addHandler(said)
    start = time.monotonic()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            waveform = wave([file])
        end, text = WAVEFORM, "; ".join(faults(waveform, name, folder))
    except Rejected as reason:
        end, text = reason.code.value, "a path in the text" if file.name in str(reason) or str(folder) in str(reason) else ""
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - any is an offence
        return fuzz.Outcome(seed, fuzz.OFFENDER, f"{type(error).__name__}: {error}; {traceback.format_exc()[-300:]}")
    finally:
        logging.getLogger().removeHandler(said)
        file.unlink()
    text = text or "; ".join([*(str(one.message) for one in warned), *said.lines])
    if time.monotonic() - start > fuzz.SLOW_SECONDS:
        text = text or f"took {time.monotonic() - start:.1f} s"
    return fuzz.Outcome(seed, fuzz.OFFENDER if text else end, text)


def faults(waveform: Waveform, name: str, folder: Path) -> list[str]:
    """Say what makes a waveform unsound, or another than its original where check sums tell."""
    values = waveform.values
    found = []
    if values.ndim != 2 or min(values.shape) < 1 or values.dtype != np.float32 or not np.isfinite(values).all():
        found.append(f"values {values.shape} {values.dtype}")
    if not (len(values) == len(waveform.leads) == len(set(waveform.leads)) == len(waveform.units)):
        found.append(f"leads {len(waveform.leads)}, units {len(waveform.units)} of {len(values)}")
    if not (np.isfinite(waveform.rate_hz) and waveform.rate_hz > 0):
        found.append(f"rate {waveform.rate_hz}")
    if name in CHECKED:
        (folder / "whole").write_bytes(wholes()[name])
        whole = read_waveform([folder / "whole"])
        if not np.array_equal(whole.values, values):
            found.append("another sound than was written")
    return found


def run(seeds: Sequence[int], workers: int) -> Iterator[fuzz.Outcome]:
    """Read mutants within the limits; one that its process was lost with is an offender too."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, answer in answers(seeds, partial(_setup, Path(folder)), workers, fuzz.LIMITS):
            yield fuzz.Outcome(seed, fuzz.OFFENDER, answer.value) if isinstance(answer, Code) else answer


def main(first: int, count: int) -> int:
    """Read many."""
    ends: Counter[str] = Counter()
    for outcome in run(range(first, first + count), 2):
        ends[outcome.end] += 1
        if outcome.end == fuzz.OFFENDER:
            fuzz.say(f"seed {outcome.seed}, {mutant(outcome.seed)[0]}: {outcome.text[: fuzz.TEXT_LETTERS]}")
    for end, number in ends.most_common():
        fuzz.say(f"{number:8d} {end}")
    return ends[fuzz.OFFENDER] > 0


def _setup(folder: Path) -> Callable[[int], fuzz.Outcome]:
    own = Path(tempfile.mkdtemp(dir=folder))  # each process has one, for `whole`
    return partial(read, folder=own)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
