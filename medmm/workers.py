"""Child processes that work on foreign bytes, each item within limits of time and memory: what a bad item costs is itself.

Each thread of a pool minds one process, hands it an item at a time and waits no longer than the limit. So it is known which
item a process was lost with, nothing is done twice, and an item that hangs or kills holds up no process but its own.
"""

import ctypes
import multiprocessing
import os
import resource
import signal
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar, cast

from medmm.errors import Code, MedmmError
from medmm.exchange import pack, receive, send, size_of

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Setup: TypeAlias = Callable[[], Callable[[Item], Answer]]
"""Called once in each process; gives what is then called with every item. Both travel by pickle."""

AHEAD = 4
"""Items under way for each process unless a caller says otherwise: enough to hide its work, few enough to keep memory flat."""

ITEM_SECONDS = 120.0
"""Most that an item may take; the slowest real study, a thousand compressed slices on a slow disk, takes some tens."""

ITEM_BYTES = 4 << 30
"""Most that a process may hold beyond what it holds at its start: half a billion values with their float32 copies."""

ANSWER_BYTES = 1 << 30
"""Most that an answer may hold, all of which the caller must hold too: a prepared volume of 512^3 voxels and three channels."""

START_SECONDS = 300.0
"""Most that the start of a process may take; on a busy machine the import of torch alone can take a minute."""

STEP_SECONDS = 1.0
"""Time is counted in steps of this length at most, so that a job which is stopped and continued does not run out of it."""

PRELOADED = ["numpy", "pydicom"]
"""Loaded once, in the process from which all others are forked, and with it what makes the first of them ready."""

PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of sys/prctl.h."""

CRASHED = 70
"""Exit status of a process that ends without a word; EX_SOFTWARE of sysexits.h."""


@dataclass(frozen=True)
class Limits:
    """What one item may take.

    Attributes:
        seconds: Until its answer is there.
        memory_bytes: Of private memory, beyond what the process holds at its start.
        answer_bytes: Of its answer on the way back.
    """

    seconds: float = ITEM_SECONDS
    memory_bytes: int = ITEM_BYTES
    answer_bytes: int = ANSWER_BYTES


def cores() -> int:
    """Give the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def get_ready(modules: Sequence[str]) -> None:
    """Start the process from which all others are forked, and have it load modules while this one goes on.

    To be called before anything else here, or it does nothing: there is one such process for as long as this one lives.
    """
    _preload(modules)
    forkserver.ensure_running()


def answers(
    items: Iterable[Item],
    setup: "Setup[Item, Answer]",
    workers: int,
    limits: Limits | None = None,
    *,
    ahead: int | None = None,
    ordered: bool = True,
) -> Iterator[tuple[Item, Answer | Code]]:
    """Have each item worked on in a child process, and give the answers in the order of the items.

    Args:
        items: Any number of them, drawn only as fast as they are consumed; they and the answers travel by pickle.
        setup: Makes, in the child, the function that answers.
        workers: Processes, at least one.
        limits: Of one item; `Limits()` where left out.
        ahead: Items under way at a time, those among them whose answers nobody has taken yet; four a process where left out.
        ordered: Otherwise answers come as they are ready, and an item that takes its time holds up no process but its own.

    Returns:
        Each item with its answer, or with CRASH, TIMEOUT or MEMORY where it has none.

    Raises:
        MedmmError: A process cannot start.
    """
    _preload([getattr(setup, "func", setup).__module__])
    desks = [_Desk(setup, limits or Limits()) for _ in range(workers)]
    free: SimpleQueue[_Desk[Item, Answer]] = SimpleQueue()
    for desk in desks:
        free.put(desk)

    def ask(item: Item) -> Answer | Code:
        desk = free.get()
        try:
            return desk.ask(item)
        finally:
            free.put(desk)

    pool = ThreadPoolExecutor(workers)
    waiting: _Waiting[Item, Answer] = _InOrder() if ordered else _AsTheyCome()
    ahead = max(workers, AHEAD * workers if ahead is None else ahead)
    source = iter(items)
    try:
        while True:
            for item in islice(source, ahead - len(waiting)):
                waiting.add(item, pool.submit(ask, item))
            if not len(waiting):
                return
            item, future = waiting.take()
            yield item, future.result()
            del item, future  # the answer is the caller's, who may let go of it
    finally:
        for desk in desks:
            desk.stop()
        pool.shutdown(cancel_futures=True)
        for desk in desks:
            desk.end()


def _preload(modules: Sequence[str]) -> None:
    """Name what is loaded before the first fork; a module of somebody else's, which may do work as it loads, is none of it."""
    ours = [name for name in modules if name.startswith(f"{__package__}.")]
    multiprocessing.get_context("forkserver").set_forkserver_preload([*PRELOADED, *ours])


class _Waiting(ABC, Generic[Item, Answer]):
    """Items under way with what will be their answers."""

    @abstractmethod
    def __len__(self) -> int:
        """Give how many there are."""

    @abstractmethod
    def add(self, item: Item, future: "Future[Answer | Code]") -> None:
        """Take one in."""

    @abstractmethod
    def take(self) -> "tuple[Item, Future[Answer | Code]]":
        """Give the next one up."""


class _InOrder(_Waiting[Item, Answer]):
    def __init__(self) -> None:
        self._line: deque[tuple[Item, Future[Answer | Code]]] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def add(self, item: Item, future: "Future[Answer | Code]") -> None:
        self._line.append((item, future))

    def take(self) -> "tuple[Item, Future[Answer | Code]]":
        return self._line.popleft()


class _AsTheyCome(_Waiting[Item, Answer]):
    def __init__(self) -> None:
        self._done: SimpleQueue[tuple[Item, Future[Answer | Code]]] = SimpleQueue()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, item: Item, future: "Future[Answer | Code]") -> None:
        self._count += 1
        future.add_done_callback(lambda done: self._done.put((item, done)))

    def take(self) -> "tuple[Item, Future[Answer | Code]]":
        item, future = self._done.get()
        self._count -= 1
        return item, future


class _Desk(Generic[Item, Answer]):
    """A place for one child process at a time; a lost one is replaced when the next item comes."""

    def __init__(self, setup: "Setup[Item, Answer]", limits: Limits) -> None:
        self._setup = setup
        self._limits = limits
        self._process: BaseProcess | None = None
        self._line: Connection
        self._stopped = False

    def ask(self, item: Item) -> Answer | Code:
        """Give the child's answer, or how the child was lost."""
        if self._process is None:
            self._start()
        try:
            self._line.send(item)
            if _comes(self._line, self._limits.seconds):
                return cast("Answer | Code", receive(self._line))
            lost = Code.TIMEOUT
        except (EOFError, OSError):
            lost = Code.CRASH
        self.end()
        return lost

    def stop(self) -> None:
        """Kill the child whatever it is doing, and any later one; may be called while another thread asks."""
        self._stopped = True
        process = self._process
        if process is not None:
            with suppress(ValueError):  # the other thread was faster, and has closed it
                process.kill()

    def end(self) -> None:
        """Kill the child and wait for its end."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
            process.close()
            self._line.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self._line, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._setup, self._limits), daemon=True)
        process.start()
        self._process = process
        theirs.close()
        if self._stopped:
            process.kill()
        try:
            started = _comes(self._line, START_SECONDS) and self._line.recv() is None
        except (EOFError, OSError):
            started = False
        if not started:
            self.end()
            raise MedmmError(
                "a process that reads studies cannot start; why stands above: free some memory, and in a script of your own "
                'guard what it does with `if __name__ == "__main__":`'
            )


def _comes(line: Connection, seconds: float) -> bool:
    """Wait for an answer; the time during which this process itself was stopped does not count."""
    left = seconds
    while left > 0:
        if line.poll(min(left, STEP_SECONDS)):
            return True
        left -= STEP_SECONDS
    return False


def _serve(line: Connection, setup: "Setup[Item, Answer]", limits: Limits) -> None:
    """Answer items until the line ends: what a child does."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; they are the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    _die_with_caller()
    work = setup()
    _limit(limits.memory_bytes)
    _fall_silent()
    line.send(None)
    try:
        while True:
            item = line.recv()
            try:
                answer = pack(work(item))
            except MemoryError:
                answer = pack(Code.MEMORY)
            send(line, answer if size_of(answer) <= limits.answer_bytes else pack(Code.MEMORY))
            del item, answer
    except EOFError:
        return
    except BaseException:  # noqa: BLE001 - whatever it is, its text may hold a name
        os._exit(CRASHED)


def _die_with_caller() -> None:
    """End this process when the caller ends, also in the middle of an item.

    The process that all are forked from ends when nobody holds its line any more; each that it forks holds one too, to fork by
    itself, which none here does. Its end is then this one's (prctl(2), PR_SET_PDEATHSIG).
    """
    server: Any = forkserver._forkserver
    if (line := getattr(server, "_forkserver_alive_fd", None)) is not None:
        os.close(line)
        server._forkserver_alive_fd = None
    ctypes.CDLL(None, use_errno=True).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() == 1:  # it has ended already
        os._exit(CRASHED)


def _limit(memory_bytes: int) -> None:
    """Bound the private memory of this process (getrlimit(2), RLIMIT_DATA), and leave no image of it behind in a crash.

    The whole address space is no measure: libraries and mapped files are not what an item makes grow.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    now = int(status.split("VmData:")[1].split()[0]) << 10
    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    most = now + memory_bytes if highest == resource.RLIM_INFINITY else min(now + memory_bytes, highest)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _fall_silent() -> None:
    """Close the mouth of this process: what a decoder or a warning says of foreign bytes may hold a name."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for handle in (1, 2):
            os.dup2(nowhere.fileno(), handle)
