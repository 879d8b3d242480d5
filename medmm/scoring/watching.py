"""Watching: what arrives is given once it is complete and at rest, and again whenever it has changed since."""

import signal
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import TypeVar

from medmm.errors import DataError

SIGNALS = (signal.SIGTERM, signal.SIGINT)

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Pace:
    """How patiently one watches.

    Attributes:
        settle_seconds: How long nothing of a study may have changed before it is taken.
        poll_seconds: Between two looks.
        most: Studies that are given at a time.
    """

    settle_seconds: float = 30.0
    poll_seconds: float = 5.0
    most: int = 64


@dataclass(frozen=True)
class Sight:
    """What a look shows of something that may still be arriving.

    Attributes:
        stamp: Another one whenever anything of it has changed.
        unfinished: Whether it is known to be incomplete, however long it rests.
        after: Keys of other things that have to be at rest first, such as the table that names it.
        wanted: Whether it is given at all, or only waited for by others.
    """

    stamp: Hashable
    unfinished: bool = False
    after: frozenset[Hashable] = frozenset()
    wanted: bool = True


def settled(
    look: Callable[[], Mapping[Key, Sight]],
    pace: Pace,
    stop: Event,
    notice: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Key]]:
    """Give the keys of what is at rest, each once, and again after it has changed; ends when `stop` is set.

    A look that fails, because a folder or a table is just being replaced or a server is away, is said once and tried again.

    Args:
        look: Shows what is there now.
        pace: How patiently.
        stop: Set to end after what is in hand.
        notice: Told once why a look failed.
        clock: Seconds, never going back.

    Raises:
        ConfigError: Something that no waiting can mend.
    """
    since: dict[Hashable, tuple[Hashable, float]] = {}
    given: dict[Key, Hashable] = {}
    said: set[str] = set()
    while not stop.is_set():
        begun = clock()
        try:
            seen = look()
        except (DataError, OSError) as fault:
            text = (
                str(fault) if isinstance(fault, DataError) else f"the system refused a file ({fault.strerror or 'no reason'})"
            )
            if text not in said:
                said.add(text)
                notice(f"waiting, for the studies cannot be read yet: {text}")
            stop.wait(pace.poll_seconds)
            continue
        ended = clock()
        since = {key: _first_seen(since.get(key), sight.stamp, ended) for key, sight in seen.items()}
        still = {key for key, (_, first) in since.items() if begun - first >= pace.settle_seconds}
        ready = [
            key
            for key, sight in seen.items()
            if sight.wanted
            and key in still
            and not sight.unfinished
            and sight.after <= still
            and (key not in given or given[key] != sight.stamp)
        ]
        if not ready:
            stop.wait(pace.poll_seconds)
            continue
        taken = ready[: pace.most]
        given |= {key: seen[key].stamp for key in taken}
        yield taken


def _first_seen(known: tuple[Hashable, float] | None, stamp: Hashable, now: float) -> tuple[Hashable, float]:
    return known if known is not None and known[0] == stamp else (stamp, now)


@contextmanager
def stopping() -> Iterator[Event]:
    """Give an event that SIGTERM or Ctrl-C sets, so that what is in hand is ended first; a second one ends at once.

    What handled the signals before does so again afterwards. In another thread than the main one signals stay as they are.
    """
    stop = Event()
    if current_thread() is not main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        restore()
        # An event's lock is not reentrant, and the thread that this interrupts may hold it just now.
        Thread(target=stop.set, daemon=True).start()

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
