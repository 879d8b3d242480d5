"""Child processes with limits: order, loss, silence and the end."""

import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing import active_children

import pytest

from medmm.errors import Code, MedmmError
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
