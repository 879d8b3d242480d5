"""Studies read and prepared in worker processes, a bounded number ahead; a bad study costs itself alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

from medmm.errors import Code, Rejected
from medmm.inputs import Inputs
from medmm.inputs.base import Fields, Input
from medmm.readers.threads import limit_threads
from medmm.types import Study
from medmm.workers import Limits, answers, cores

Prepared: TypeAlias = Mapping[str, Fields] | Rejected
"""Input -> prepared arrays, for the inputs that the study has; or why the study must not be used."""

LOST = {
    Code.CRASH: ("a crash of the reader", "an image or a refusal", "look at the study's files with another viewer"),
    Code.TIMEOUT: ("no end of reading", "an end within the limit", "look at the study's files, and at the speed of their disk"),
    Code.MEMORY: ("more memory than a reader may take", "a study within the limit", "check the size of the study's images"),
}
"""What is said of a study that has no answer: found, expected, repair."""


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
    except MemoryError:
        return _lost(study, Code.MEMORY)
    except Exception as fault:  # noqa: BLE001 - whatever a reader did not foresee costs this study alone
        return _lost(study, Code.CRASH, f"a {type(fault).__name__} in the reader")  # its text may hold a path
    return prepared


def prepare_studies(
    studies: Iterable[Study],
    inputs: Inputs,
    workers: int | None = None,
    limits: Limits | None = None,
    *,
    ahead: int | None = None,
    ordered: bool = True,
) -> Iterator[tuple[Study, Prepared]]:
    """Read and prepare studies, in their order unless it is of no matter.

    A study that kills its process, hangs or takes too much memory is rejected, and the others go on.

    Args:
        studies: Any number of them; drawn only as fast as they are consumed.
        inputs: The fitted inputs.
        workers: Processes; None takes one a core, 0 decodes in this process, where no limit holds.
        limits: Of a study in its process; `Limits()` where left out.
        ahead: Studies under way at a time, as `answers` has it.
        ordered: Otherwise they come as they are ready, and one that hangs holds up no process but its own.
    """
    workers = cores() if workers is None else workers
    if workers == 0:
        for study in studies:
            yield study, prepare_study(study, inputs)
        return
    setup = partial(_setup, dict(inputs))
    for study, answer in answers(studies, setup, workers, limits, ahead=ahead, ordered=ordered):
        yield study, _lost(study, answer) if isinstance(answer, Code) else answer


def _prepare(study: Study, name: str, one: Input[object]) -> Fields:
    try:
        return one.prepare(one.read(study.evidence[name]))
    except Rejected as reason:
        raise reason.at(f"{study.key}, input {name}") from None


def _setup(inputs: Inputs) -> Callable[[Study], Prepared]:
    """Make a process ready to prepare studies."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)  # the cores are shared out by process
    threadpool_limits(1)
    limit_threads(1)
    return partial(prepare_study, inputs=inputs)


def _lost(study: Study, code: Code, found: str | None = None) -> Rejected:
    usual, expected, repair = LOST[code]
    return Rejected(code, f"{study.key}, reader", found or usual, expected, repair)
