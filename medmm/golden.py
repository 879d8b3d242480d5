"""Golden samples: studies of nobody whose answers travel with a model, so that a machine that computes something else is told.

They go the whole way of a study, from bytes of files over decoders, preparation and network to calibrated answers. Two files of
the package: the bytes as safetensors; cells, notes and answers as JSON. Both are checked as they are read, for a package may
come from elsewhere; no name of a file is among them.

S samples, C answers, K outputs of a head.
"""

import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from medmm.errors import DataError, Rejected
from medmm.files import write_bytes
from medmm.inputs import Inputs
from medmm.sealed import read_arrays
from medmm.settings import Plain
from medmm.types import Array, Evidence, Study

SAMPLES = 5
TOLERANCE = 1e-4
"""How far an answer in single precision may lie from that of the machine that trained: in probability, or relative to a value
beyond 1. Measured with a network that has learned nothing, which hardly looks at its inputs: other vector instructions, oneDNN
without AVX and other numbers of threads move a probability by 1.5e-7 at most; an image that lies one pixel beside by 2e-3, a
mirrored or blurred one by 3e-3, bfloat16 by 1.6e-3. TF32 of a GPU is no single precision."""

REPAIR = "package the run again"
WHEN = datetime(2000, 1, 1)
FACTS = {"samples", "tolerance", "made_on"}
KINDS = {"files", "counts", "cells", "text"}

Answer = Callable[[Sequence[Study]], Array]
"""Studies -> their calibrated answers (S, C), before any rule."""


@dataclass(frozen=True)
class Held:
    """One input of one sample: as `Evidence`, but with the files' bytes."""

    files: tuple[bytes, ...] = ()
    counts: tuple[int, ...] = ()
    cells: Mapping[str, str] | None = None
    text: str | None = None


@dataclass(frozen=True)
class Sample:
    """One study of nobody.

    Attributes:
        inputs: Those that it has.
        logits: (K,) of the network.
        answers: (C,) calibrated.
    """

    inputs: Mapping[str, Held]
    logits: tuple[float, ...]
    answers: tuple[float, ...]


@dataclass(frozen=True)
class Golden:
    """The samples of a package.

    Attributes:
        samples: They differ in which inputs they have.
        tolerance: How far an answer may lie from what is expected, in single precision.
        made_on: Processor and version of torch that gave the answers.
    """

    samples: tuple[Sample, ...]
    tolerance: float
    made_on: str


def make_golden(inputs: Inputs, say: Callable[[Sequence[Study]], tuple[Array, Array]], seed: int = 0) -> Golden:
    """Make samples, and note what the model says of them here.

    Args:
        inputs: The fitted inputs.
        say: Studies -> logits (S, K) and answers (S, C).
        seed: Of what is drawn.

    Raises:
        DataError: An example of an input is refused by that input.
    """
    made = [_make(inputs, sample, seed) for sample in range(SAMPLES)]
    with _studies(made) as studies:
        try:
            logits, answers = say(studies)
        except Rejected as reason:
            raise DataError(
                f"a golden sample cannot be made, its input refuses it ({reason}): correct its settings"
            ) from reason
    said = zip(made, np.asarray(logits, np.float64).tolist(), np.asarray(answers, np.float64).tolist(), strict=True)
    return Golden(tuple(Sample(one, tuple(own), tuple(final)) for one, own, final in said), TOLERANCE, _machine())


def check_golden(golden: Golden, answer: Answer, tolerance: float | None = None) -> float:
    """Let this machine answer the samples, before the first real study.

    Args:
        golden: Of the package.
        answer: As studies will be answered: on the same device, in the same precision. It may raise the `Rejected` of a study.
        tolerance: In place of the package's, for a precision that computes more coarsely.

    Returns:
        The largest difference: in probability, or relative to a value beyond 1.

    Raises:
        DataError: This machine computes something else, or refuses a sample.
    """
    limit = golden.tolerance if tolerance is None else tolerance
    with _studies([sample.inputs for sample in golden.samples]) as studies:
        try:
            given = np.asarray(answer(studies), np.float64)
        except Rejected as reason:
            raise DataError(f"this machine cannot read a golden sample ({reason.code.value}): {_repair(golden)}") from reason
    expected = np.array([sample.answers for sample in golden.samples])  # (S, C)
    if given.shape != expected.shape:
        raise DataError(f"the golden samples got {given.shape} answers, expected {expected.shape}: {REPAIR}")
    apart = np.abs(given - expected) / np.maximum(1.0, np.abs(expected))
    apart = np.where(np.isfinite(apart), apart, np.inf)
    largest = float(apart.max(initial=0.0))
    if largest > limit:
        sample, place = np.unravel_index(int(apart.argmax()), apart.shape)
        raise DataError(
            f"this machine computes something else than the one that trained: golden sample {sample + 1} got "
            f"{given[sample, place]:.6g}, expected {expected[sample, place]:.6g}, apart by {largest:.2g}, at most {limit:.2g}: "
            f"{_repair(golden)}"
        )
    return largest


def pack(golden: Golden) -> tuple[bytes, Plain]:
    """Give the content of the two files."""
    arrays = {
        _key(sample, name, place): np.frombuffer(content, np.uint8)
        for sample, one in enumerate(golden.samples)
        for name, held in one.inputs.items()
        for place, content in enumerate(held.files)
    }
    samples = [
        {
            "inputs": {name: _plain(held) for name, held in one.inputs.items()},
            "logits": list(one.logits),
            "answers": list(one.answers),
        }
        for one in golden.samples
    ]
    return save(arrays), {"samples": samples, "tolerance": golden.tolerance, "made_on": golden.made_on}


def unpack(content: bytes, plain: Plain, inputs: Sequence[str], answers: int, outputs: int) -> Golden:
    """Give the samples in the content of the two files.

    Args:
        content: Of the bytes.
        plain: Of the JSON.
        inputs: Of the package.
        answers: C of the package.
        outputs: K of its network.

    Raises:
        DataError: They are not what `pack` gives for such a model.
    """
    arrays = read_arrays(content, "the golden samples of the package", REPAIR)
    _check(isinstance(plain, dict) and set(plain) == FACTS and isinstance(plain["made_on"], str))
    _check(isinstance(plain["samples"], list) and len(plain["samples"]) == SAMPLES)
    _check(_is_number(plain["tolerance"]) and 0 < plain["tolerance"] <= TOLERANCE)
    samples = tuple(_sample(one, number, arrays, inputs) for number, one in enumerate(plain["samples"]))
    _check(all(len(one.answers) == answers and len(one.logits) == outputs for one in samples))
    _check(not arrays)  # each was taken by an input of a sample
    return Golden(samples, float(plain["tolerance"]), plain["made_on"])


def _sample(plain: Plain, number: int, arrays: dict[str, Array], inputs: Sequence[str]) -> Sample:
    _check(isinstance(plain, dict) and set(plain) == {"inputs", "logits", "answers"})
    own = plain["inputs"]
    _check(isinstance(own, dict) and len(own) > 0 and set(own) <= set(inputs))
    for name in ("logits", "answers"):
        _check(isinstance(plain[name], list) and all(map(_is_number, plain[name])))
    held = {name: _held(one, number, name, arrays) for name, one in own.items()}
    return Sample(held, tuple(plain["logits"]), tuple(plain["answers"]))


def _held(plain: Plain, number: int, name: str, arrays: dict[str, Array]) -> Held:
    _check(isinstance(plain, dict) and set(plain) == KINDS)
    count, counts, cells, text = (plain[kind] for kind in ("files", "counts", "cells", "text"))
    _check(type(count) is int and 0 <= count <= len(arrays))
    _check(isinstance(counts, list) and all(type(one) is int and one > 0 for one in counts))
    _check(not counts or sum(counts) == count)
    _check(cells is None or (isinstance(cells, dict) and all(isinstance(cell, str) for cell in cells.values())))
    _check(text is None or isinstance(text, str))
    _check((count > 0) + (cells is not None) + (text is not None) == 1)
    files = [arrays.pop(_key(number, name, place), None) for place in range(count)]
    found = [one.tobytes() for one in files if one is not None and one.dtype == np.uint8 and one.ndim == 1]
    _check(len(found) == count)
    return Held(tuple(found), tuple(counts), cells, text)


def _make(inputs: Inputs, sample: int, seed: int) -> dict[str, Held]:
    """Make the evidence of a sample: the first two have all inputs, each later one lacks one of several."""
    names = sorted(inputs)
    lacking = names[(sample - 2) % len(names)] if sample > 1 and len(names) > 1 else ""
    made: dict[str, Held] = {}
    for place, name in enumerate(names):
        if name != lacking:
            with tempfile.TemporaryDirectory() as folder:
                one = inputs[name].example(np.random.default_rng([seed, sample, place]), Path(folder))
                made[name] = Held(tuple(file.read_bytes() for file in one.files), one.counts, one.cells, one.text)
    return made


@contextmanager
def _studies(samples: Sequence[Mapping[str, Held]]) -> Iterator[list[Study]]:
    """Give the samples as studies for the time of the block, their files in a folder that only this user can read."""
    with tempfile.TemporaryDirectory() as folder:
        studies = []
        for row, sample in enumerate(samples, start=1):
            evidence: dict[str, Evidence] = {}
            for name, held in sample.items():
                places = [Path(folder, f"{row}-{len(evidence)}-{place}") for place in range(len(held.files))]
                for path, content in zip(places, held.files, strict=True):
                    write_bytes(path, content)
                evidence[name] = Evidence(tuple(places), held.counts, held.cells, held.text)
            studies.append(Study(row, "golden", f"golden-{row}", WHEN, evidence=evidence))
        yield studies


def _plain(held: Held) -> Plain:
    cells = None if held.cells is None else dict(held.cells)
    return {"files": len(held.files), "counts": list(held.counts), "cells": cells, "text": held.text}


def _key(sample: int, name: str, place: int) -> str:
    return f"{sample}/{name}/{place}"


def _is_number(value: Plain) -> bool:
    return type(value) in {int, float} and bool(np.isfinite(value))


def _check(sound: bool) -> None:
    if not sound:
        raise DataError(f"the golden samples of the package are not of its model: {REPAIR}")


def _machine() -> str:
    import torch

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def _repair(golden: Golden) -> str:
    return (
        f"install the packages that the model was made with ({golden.made_on}), in single precision on a CPU to begin with, or "
        "package the run again on this machine"
    )
