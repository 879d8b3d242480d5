"""Studies read and prepared in worker processes, in order, a bounded number ahead; a bad study costs itself alone."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeAlias

from medmm.errors import Code, Rejected
from medmm.inputs import Inputs
from medmm.inputs.base import Fields, Input
from medmm.readers.threads import limit_threads
from medmm.types import Study

Prepared: TypeAlias = Mapping[str, Fields] | Rejected
"""Input -> prepared arrays, for the inputs that the study has; or why the study must not be used."""

AHEAD = 4  # studies under way for each worker: enough to hide the model, few enough to keep memory flat

_inputs: Inputs = {}  # of a worker process, set once when it starts


def prepare_study(study: Study, inputs: Inputs) -> Prepared:
    """Read and prepare every input of one study; the first rejection, or unforeseen fault of a reader, rejects the study."""
    try:
        for reason in study.rejected.values():
            raise reason
        prepared: dict[str, Fields] = {}
        for name, one in inputs.items():
            if name in study.evidence:
                prepared[name] = _prepare(study, name, one)
    except Rejected as reason:
        return reason
    except Exception as fault:  # noqa: BLE001 - whatever a reader did not foresee costs this study alone
        return _crash(study, f"a {type(fault).__name__} in the reader")  # its text may hold a path
    return prepared


def prepare_studies(studies: Iterable[Study], inputs: Inputs, workers: int | None = None) -> Iterator[tuple[Study, Prepared]]:
    """Read and prepare studies in their order.

    A worker that is killed by its study is replaced, the study rejected, and the others go on.

    Args:
        studies: Any number of them; drawn only as fast as they are consumed.
        inputs: The fitted inputs.
        workers: Processes; 0 decodes in this one, None takes one a core.
    """
    workers = cores() if workers is None else workers
    if workers == 0:
        for study in studies:
            yield study, prepare_study(study, inputs)
        return
    pool = _pool(inputs, workers)
    waiting: deque[tuple[Study, Future[Prepared] | None]] = deque()
    source = iter(studies)
    try:
        while True:
            waiting.extend((study, _submit(pool, study)) for study in islice(source, AHEAD * workers - len(waiting)))
            if not waiting:
                return
            study, future = waiting.popleft()
            prepared = _result(future)
            if prepared is None:
                pool.shutdown(wait=False, cancel_futures=True)
                prepared = _alone(study, inputs)
                pool = _pool(inputs, workers)
                waiting = deque((later, _submit(pool, later)) for later, _ in waiting)
            yield study, prepared
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """Give the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _prepare(study: Study, name: str, one: Input[object]) -> Fields:
    try:
        return one.prepare(one.read(study.evidence[name]))
    except Rejected as reason:
        raise reason.at(f"{study.key}, input {name}") from None


def _pool(inputs: Inputs, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (dict(inputs),))


def _start(inputs: Inputs) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    global _inputs  # noqa: PLW0603 - a worker process has one set of inputs for its whole life
    _inputs = inputs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    torch.set_num_threads(1)  # the cores are shared out by process
    threadpool_limits(1)
    limit_threads(1)


def _work(study: Study) -> Prepared:
    return prepare_study(study, _inputs)


def _submit(pool: ProcessPoolExecutor, study: Study) -> Future[Prepared] | None:
    """Hand a study to a pool; None where the pool is broken already."""
    try:
        return pool.submit(_work, study)
    except BrokenProcessPool:
        return None


def _result(future: Future[Prepared] | None) -> Prepared | None:
    """Wait for a study; None where its pool broke, by this study or by another."""
    try:
        return None if future is None else future.result()
    except BrokenProcessPool:
        return None


def _alone(study: Study, inputs: Inputs) -> Prepared:
    """Try a study once more in a process of its own, to tell the one that kills from those that were beside it."""
    with _pool(inputs, 1) as pool:
        prepared = _result(_submit(pool, study))
    return _crash(study, "a crash of the reader") if prepared is None else prepared


def _crash(study: Study, found: str) -> Rejected:
    return Rejected(
        Code.CRASH, f"{study.key}, reader", found, "an image or a refusal", "look at the study's files with another viewer"
    )
