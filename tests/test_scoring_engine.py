"""Whatever a study does to its reader or to the network, it costs itself alone; and what is loaded to score."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from conftest import Hospital
from torch import nn

from medmm.errors import Code, Rejected
from medmm.inputs.base import Fields
from medmm.inputs.text import TextInput
from medmm.package import Package, load_package
from medmm.scoring.compute import Compute, largest_tile
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.rows import Outcome, score_tile
from medmm.types import Evidence, Study, Tokens
from medmm.workers import Limits

SECRET = "DOE^JANE"
KILL, EXIT, PANIC, HANG, HOARD, RAISE, NAN = "kill", "exit", "panic", "hang", "hoard", "raise", "nan"

SIGNS = {RAISE: 1, NAN: 2}
"""What a note asks the network to do, as the number of its first token."""

LIMITS = Limits(seconds=3, memory_bytes=256 << 20)


class Panic(BaseException):
    """What a decoder written in Rust throws."""


class Poisoned(TextInput):
    """Notes that obey a few words. Must stand in a module, so that worker processes can load it."""

    def read(self, evidence: Evidence) -> Any:
        match evidence.text:
            case "kill":
                os.kill(os.getpid(), 9)
            case "exit":
                sys.exit(SECRET)
            case "panic":
                raise Panic(SECRET)
            case "hang":
                time.sleep(1000)
            case "hoard":
                hoard = []
                while True:
                    hoard.append(bytearray(1 << 24))
        return evidence.text, super().read(replace(evidence, text="cough and fever"))

    def prepare(self, raw: Any) -> Fields:
        text, known = raw
        fields = {name: values.copy() for name, values in super().prepare(known).items()}
        fields["ids"].flat[0] = SIGNS.get(text, fields["ids"].flat[0])
        return fields


class Failing(nn.Module):
    """A network that raises, or says no number, of notes with a sign."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        first = fields["ids"].flatten(1)[:, 0]
        if (first == SIGNS[RAISE]).any():
            raise ValueError(SECRET)
        said: Tokens = self.network(fields)
        values = torch.where((first == SIGNS[NAN])[:, None, None], torch.nan, said.values)
        return Tokens(values, said.mask)


@pytest.fixture
def poisoned(package: Package) -> Iterator[Package]:
    """The package with notes that obey, and a network that fails on some."""
    history = package.inputs["history"]
    inputs = {"history": Poisoned("history", history.settings, history.state)}  # type: ignore[arg-type]
    own = package.model.encoders["history"]
    package.model.encoders["history"] = Failing(own)
    yield replace(package, inputs={**package.inputs, **inputs}, model=package.model)
    package.model.encoders["history"] = own


def studies_with(*texts: str) -> list[Study]:
    return [
        Study(row, f"PAT-{row}", f"ACC-{row}", evidence={"history": Evidence(text=text)}) for row, text in enumerate(texts, 1)
    ]


def told(package: Package, studies: Sequence[Study], options: Options) -> dict[int, Outcome]:
    """Score, and give the outcome of each row, of which there must be one."""
    outcomes = [one for some in score_stream(package, studies, options) for one in some]
    found = {one.study.row: one for one in outcomes}
    assert len(outcomes) == len(found) == len(studies)
    return found


def codes(found: Mapping[int, Outcome]) -> dict[int, Code]:
    return {row: one.reason.code for row, one in found.items() if one.reason is not None}


def without_time(row: Mapping[str, object]) -> dict[str, object]:
    return {name: cell for name, cell in row.items() if name != "scored_at"}


def test_a_study_costs_itself_alone_whatever_it_does(poisoned: Package) -> None:
    bad = {
        KILL: Code.CRASH,
        EXIT: Code.CRASH,
        PANIC: Code.CRASH,
        HANG: Code.TIMEOUT,
        HOARD: Code.MEMORY,
        RAISE: Code.MODEL,
        NAN: Code.MODEL,
    }
    texts = ["cough"] * 60
    rows = dict(zip(range(5, 60, 8), bad, strict=True))
    for row, text in rows.items():
        texts[row - 1] = text
    found = told(poisoned, studies_with(*texts), Options(workers=2, limits=LIMITS))
    assert codes(found) == {row: bad[text] for row, text in rows.items()}
    clean = told(poisoned, studies_with(*["cough"] * 60), Options(workers=0))
    for row, outcome in found.items():
        if outcome.reason is None:
            assert without_time(outcome.row) == without_time(clean[row].row)
        else:
            reason = str(outcome.reason)
            assert reason.startswith(f"{outcome.reason.code}: study in row {row}, ")
            assert SECRET not in reason


def test_a_study_that_hangs_holds_up_no_other(poisoned: Package) -> None:
    seconds = 60
    stream = score_stream(poisoned, studies_with("hang", *["cough"] * 80), Options(4, 2, Limits(seconds=seconds)))
    rows: list[int] = []
    start = time.monotonic()
    while len(rows) < 60:
        rows += [one.study.row for one in next(stream)]
        assert time.monotonic() - start < seconds, "the others wait for the one that hangs"
    assert 1 not in rows
    stream.close()  # type: ignore[attr-defined]


def test_decoding_goes_on_while_the_network_computes(package: Package, hospital: Hospital) -> None:
    """The studies of the next tiles are drawn before the outcomes of the first are there, but no more than that."""
    drawn = 0

    def source() -> Iterator[Study]:
        nonlocal drawn
        for study in [one for one in hospital.studies if one.evidence][:20]:
            drawn += 1
            yield study

    started: list[int] = []
    inner = package.model.encode

    def slow(*arguments: Any) -> Any:
        time.sleep(0.5)
        started.append(drawn)
        return inner(*arguments)

    object.__setattr__(package.model, "encode", slow)
    try:
        outcomes = [one for some in score_stream(package, source(), Options(tile=4, workers=0)) for one in some]
    finally:
        object.__delattr__(package.model, "encode")
    assert len(outcomes) == 20
    assert started[0] == 12, "the next tiles were not decoded while the network computed"


class Memory:
    """A network in a machine that holds no more than some studies at once."""

    def __init__(self, package: Package, most: int, fault: Exception) -> None:
        self.sizes: list[int] = []
        self.said: list[str] = []
        self._package, self._most, self._fault = package, most, fault

    def score(self, studies: Sequence[tuple[Study, Mapping[str, Fields]]], tile: int) -> list[Outcome]:
        self.sizes.append(tile)
        if tile > self._most:
            raise self._fault
        return score_tile(self._package, self._package.rulebook(), studies, tile)

    def compute(self, tile: int) -> Compute:
        return Compute(self._package, self.score, tile, self.said.append)


CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to")


def ready(package: Package, count: int) -> list[tuple[Study, Mapping[str, Fields]]]:
    known = package.inputs["history"]
    prepared = {"history": known.prepare(known.read(Evidence(text="cough and fever")))}
    return [(study, prepared) for study in studies_with(*["cough"] * count)]


@pytest.mark.parametrize("fault", [torch.OutOfMemoryError("CUDA out of memory"), CPU, MemoryError()])
def test_where_memory_runs_out_tiles_are_halved_for_good_and_the_user_hears_of_it(package: Package, fault: Exception) -> None:
    memory = Memory(package, 4, fault)
    compute = memory.compute(16)
    studies = ready(package, 10)
    outcomes = compute(studies)
    assert memory.sizes == [16, 8, 4, 4, 4]
    assert [one.study.row for one in outcomes] == list(range(1, 11))
    assert not any(one.reason for one in outcomes)
    assert [text.split(": ")[1].split(";")[0] for text in memory.said] == [
        f"the network now sees {tile} studies at once" for tile in (8, 4)
    ]
    compute(studies[:3])
    assert memory.sizes[5:] == [4]
    assert len(memory.said) == 2


def test_two_tiles_that_memory_cannot_hold_at_once_are_halved_once(package: Package) -> None:
    together = Barrier(2, timeout=30)

    class Both(Memory):
        def score(self, studies: Sequence[tuple[Study, Mapping[str, Fields]]], tile: int) -> list[Outcome]:
            if tile == 16:
                together.wait()  # neither fails before the other has begun
            return super().score(studies, tile)

    memory = Both(package, 8, torch.OutOfMemoryError("CUDA out of memory"))
    compute = memory.compute(16)
    with ThreadPoolExecutor(2) as network:
        both = list(network.map(compute, [ready(package, 8), ready(package, 8)]))
    assert [len(outcomes) for outcomes in both] == [8, 8]
    assert sorted(memory.sizes) == [8, 8, 16, 16]
    assert len(memory.said) == 1


def test_a_study_that_memory_cannot_hold_is_rejected_and_the_others_go_on(package: Package) -> None:
    class Uneven(Memory):
        def score(self, studies: Sequence[tuple[Study, Mapping[str, Fields]]], tile: int) -> list[Outcome]:
            if any(study.row == 3 for study, _ in studies):
                raise CPU
            return super().score(studies, tile)

    outcomes = Uneven(package, 16, CPU).compute(2)(ready(package, 5))
    assert {one.study.row: one.reason and one.reason.code for one in outcomes} == {
        1: None,
        2: None,
        3: Code.MEMORY,
        4: None,
        5: None,
    }


def test_a_lost_gpu_ends_the_scoring(package: Package) -> None:
    memory = Memory(package, 0, torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(torch.AcceleratorError):
        memory.compute(4)(ready(package, 4))


def test_the_largest_tile_is_the_one_that_memory_holds(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def exact(model: object, batch: Any, tile: int) -> bool:
        assert len(batch.rows) == tile
        sizes.append(tile)
        if tile > 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return True

    monkeypatch.setattr("medmm.scoring.compute.is_exact", exact)
    assert largest_tile(package, ready(package, 3)) == 64
    assert sizes == [32, 64, 128]
    monkeypatch.setattr("medmm.scoring.compute.is_exact", lambda model, batch, tile: tile < 64)
    assert largest_tile(package, ready(package, 3)) == 32


def loaded_by(code: str) -> set[str]:
    """Give the names of the packages that a fresh process has loaded at its end."""
    ending = "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


SLOW = {"monai", "lightning", "mlflow", "transformers", "sklearn", "matplotlib", "ray", "onnx", "torchmetrics"}


def test_a_worker_loads_what_reads_studies_and_nothing_else() -> None:
    found = loaded_by("import medmm.dataset.decode\nfrom medmm.inputs import INPUTS")
    assert found.isdisjoint(SLOW | {"pandas", "scipy", "pyarrow", "typer", "rich"})


def test_the_command_loads_what_scores_and_nothing_else(saved: Any) -> None:
    code = f"import medmm.workflows.score\nfrom pathlib import Path\nmedmm.workflows.score.load_package(Path({str(saved)!r}))"
    assert loaded_by(code).isdisjoint(SLOW)


def print_what_a_child_loads(folder: str) -> None:
    package = load_package(Path(folder))
    history = package.inputs["history"]
    inputs = {**package.inputs, "history": Told("history", history.settings, history.state)}  # type: ignore[arg-type]
    reason = told(replace(package, inputs=inputs), studies_with("cough"), Options(workers=1))[1].reason
    assert reason is not None
    sys.stdout.write(reason.found)


def test_a_child_of_a_scoring_loads_neither_monai_nor_lightning_nor_mlflow(saved: Path) -> None:
    # In a process of its own: that from which children are forked is started once, by whoever comes first.
    code = f"import test_scoring_engine as own\nown.print_what_a_child_loads({str(saved)!r})"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths}
    )
    found = set(ran.stdout.split())
    assert found.isdisjoint(SLOW)
    assert "numpy" in found


class Told(TextInput):
    """Rejects every note, with what its process has loaded."""

    def read(self, evidence: Evidence) -> Any:
        names = " ".join(sorted({name.partition(".")[0] for name in sys.modules}))
        raise Rejected(Code.TYPE, "modules", names, "few", "none")
