"""Child processes with limits: order, loss, silence and the end."""

import gc
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

from medmm.errors import Code, MedmmError
from medmm.exchange import SHARED_BYTES
from medmm.workers import AHEAD, Limits, answers

SECRET = "DOE^JANE"


def obey(word: str) -> object:
    """What the children of these tests do with an item."""
    if word == "hang":
        time.sleep(1000)
    if word == "spin":
        while True:
            pass
    if word == "exit":
        sys.exit(SECRET)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "fail":
        raise RuntimeError(SECRET)
    if word == "hoard":
        return bytearray(1 << 30)
    if word == "great answer":
        return bytes(50 << 20)
    if word == "no answer":
        return lambda: None
    if word == "speak":
        os.write(1, SECRET.encode())
        warnings.warn(SECRET, stacklevel=1)
        os.write(2, SECRET.encode())
    if word == "core":
        return resource.getrlimit(resource.RLIMIT_CORE)
    if word in signal.Signals.__members__:
        os.kill(os.getpid(), signal.Signals[word])
    if word == "process":
        return os.getpid()
    return word


def obedient() -> Callable[[str], object]:
    return obey


def faulty() -> Callable[[str], object]:
    raise ImportError("no such library")


def given(*words: str, workers: int = 1, seconds: float = 5, memory_bytes: int = 256 << 20) -> list[object]:
    limits = Limits(seconds, memory_bytes)
    found = list(answers(words, obedient, workers, limits))
    assert tuple(word for word, _ in found) == words
    return [answer for _, answer in found]


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_come_in_order_whatever_happens_to_others(workers: int) -> None:
    lost = {"hang": Code.TIMEOUT, "spin": Code.TIMEOUT, "kill": Code.CRASH, "exit": Code.CRASH, "fail": Code.CRASH}
    lost |= {"no answer": Code.CRASH, "hoard": Code.MEMORY}
    words = [word for bad in lost for word in (f"before {bad}", bad, f"after {bad}")]
    assert given(*words, workers=workers, seconds=0.5) == [lost.get(word, word) for word in words]


def test_a_great_answer_is_whole() -> None:
    assert given("great answer", memory_bytes=1 << 30) == [bytes(50 << 20)]


def test_an_answer_beyond_the_limit_never_reaches_the_caller() -> None:
    limits = Limits(answer_bytes=1 << 20)
    assert [answer for _, answer in answers(["a", "great answer", "b"], obedient, 1, limits)] == ["a", Code.MEMORY, "b"]


def test_a_process_serves_until_it_is_lost() -> None:
    first, again, lost, other = given("process", "process", "kill", "process")
    assert (first, lost) == (again, Code.CRASH)
    assert other not in (first, os.getpid())


def test_a_signal_to_all_processes_is_left_to_the_parent() -> None:
    """A service manager sends SIGTERM to a whole group, a terminal Ctrl-C: no study may be lost to it."""
    assert given("SIGTERM", "SIGINT", "after") == ["SIGTERM", "SIGINT", "after"]


def test_a_child_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    given("speak", "fail", "exit", "kill")
    assert capfd.readouterr() == ("", "")


def test_no_image_of_memory_is_left_behind() -> None:
    assert given("core") == [(0, 0)]


def test_a_process_that_cannot_start_is_an_error_of_its_own() -> None:
    with pytest.raises(MedmmError, match="cannot start"):
        list(answers(["a"], faulty, 1))


def test_items_that_do_not_travel_are_the_callers_fault() -> None:
    with pytest.raises(Exception, match="pickle"):
        list(answers([lambda: None], partial(obedient), 1))  # type: ignore[list-item]


def test_leaving_early_ends_every_process_at_once() -> None:
    start = time.monotonic()
    stream = answers(["a", *["hang"] * AHEAD * 4], obedient, 2)
    assert next(stream) == ("a", "a")
    stream.close()  # type: ignore[attr-defined]
    assert not active_children()
    assert time.monotonic() - start < 20  # not the 120 s of the limit


def test_a_caller_that_takes_its_time_costs_no_item_its_answer() -> None:
    found = []
    for word, answer in answers(["a", "b", "c"], obedient, 1, Limits(seconds=0.5)):
        time.sleep(1)
        found.append((word, answer))
    assert found == [("a", "a"), ("b", "b"), ("c", "c")]


def test_out_of_order_an_item_that_hangs_holds_up_no_process_but_its_own() -> None:
    words = ["hang", *[f"w{i}" for i in range(50)]]
    limits = Limits(seconds=4)
    start = time.monotonic()
    found = []
    for word, answer in answers(words, obedient, 2, limits, ordered=False):
        if len(found) < len(words) - 1:
            assert time.monotonic() - start < 4, "the others wait for the one that hangs"
        found.append((word, answer))
    assert found[-1] == ("hang", Code.TIMEOUT)
    assert sorted(found[:-1]) == sorted((word, word) for word in words[1:])


def test_no_more_items_are_under_way_than_asked_for() -> None:
    drawn = 0

    def source() -> Iterator[str]:
        nonlocal drawn
        for _ in range(40):
            drawn += 1
            yield "a"

    for taken, _ in enumerate(answers(source(), obedient, 2, ahead=5, ordered=False)):
        assert drawn <= taken + 5
    assert drawn == 40


def arrays(size: int) -> object:
    return {
        "a": np.arange(size, dtype=np.float32),
        "none": np.zeros(0, np.int8),
        "b": np.full((3, 7), size, np.int32),
        "c": "d",
    }


def giving_arrays() -> Callable[[int], object]:
    return arrays


def shared_memory() -> int:
    """Give how many answers this process holds in files without a name."""
    return Path("/proc/self/maps").read_text().count("memfd:answer")


@pytest.mark.parametrize("size", [10, SHARED_BYTES // 4 - 64, SHARED_BYTES // 4 + 1, 3 * SHARED_BYTES])
def test_arrays_come_as_they_were_and_may_be_written_to(size: int) -> None:
    ((_, answer),) = answers([size], giving_arrays, 1)
    expected = arrays(size)
    assert isinstance(answer, dict)
    assert isinstance(expected, dict)
    assert list(answer) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(answer[name], values)
    answer["a"][0] = 7
    assert shared_memory() == (size > SHARED_BYTES // 4)
    del answer
    gc.collect()
    assert shared_memory() == 0, "memory is held after its arrays are gone"


def test_arrays_beyond_the_limit_never_reach_the_caller() -> None:
    limits = Limits(answer_bytes=2 << 20)
    sizes = [(1 << 18) + 9, 1 << 20, 5]
    found = [answer for _, answer in answers(sizes, giving_arrays, 1, limits)]
    assert [isinstance(answer, dict) for answer in found] == [True, False, True]
    assert found[1] is Code.MEMORY


CALLER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from functools import partial
from test_workers import told_and_stuck
from medmm.workers import answers

if __name__ == "__main__":
    list(answers(["item"], partial(told_and_stuck, {told!r}), 1))
"""


def told_and_stuck(told: str) -> Callable[[str], object]:
    def work(_item: str) -> object:
        Path(told).write_text(str(os.getpid()))
        time.sleep(600)
        return None

    return work


def test_a_child_that_hangs_ends_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    told, script = tmp_path / "pid", tmp_path / "caller.py"
    script.write_text(CALLER.format(tests=str(Path(__file__).parent), told=str(told)))
    with subprocess.Popen([sys.executable, script]) as caller:
        for _ in range(600):
            if told.exists() and told.read_text():
                break
            time.sleep(0.1)
        child = int(told.read_text())
        assert Path(f"/proc/{child}").exists()
        caller.kill()
    for _ in range(100):
        status = Path(f"/proc/{child}/status")
        if not status.exists() or "State:\tZ" in status.read_text():  # ended, though nobody may have asked how
            return
        time.sleep(0.1)
    raise AssertionError("the child outlived its caller")
