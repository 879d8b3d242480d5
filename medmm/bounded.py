"""A network that is built from foreign settings takes no more memory than the weights that come with it."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from medmm.errors import DataError

SLACK_BYTES = 64 << 20
"""For what a network computes from its settings and does not store, such as tables of positions."""

FACTOR = 4
"""A weight is made once and drawn again once or twice; modules copied from each other are made twice."""

SHAPED = frozenset({"empty", "zeros", "ones", "full", "rand", "randn", "empty_strided"})
COUNTED = frozenset({"arange", "eye", "linspace", "randperm"})
BYTES = 4


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """While it is entered, tensors that are made are added up, and too many are refused before they are made.

    Args:
        weights: Bytes of the file of weights.
    """

    def __init__(self, weights: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = FACTOR * weights + SLACK_BYTES

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse, or do what was asked."""
        call: Callable[..., Any] = func
        self._left -= BYTES * _elements(func.overloadpacket.__name__, args)
        if self._left < 0:
            raise DataError(
                "the settings describe a larger network than the weights that come with them: package the run again"
            )
        return call(*args, **(kwargs or {}))


def _elements(name: str, args: Sequence[Any]) -> int:
    if name in SHAPED and args and isinstance(args[0], Sequence):
        return prod(int(side) for side in args[0])
    if name in COUNTED:
        counts = [abs(int(one)) for one in args if isinstance(one, int | float)]
        return max(counts, default=0) ** (2 if name == "eye" and len(counts) == 1 else 1)
    return 0
