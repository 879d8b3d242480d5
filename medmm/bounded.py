"""A network that is built from foreign settings takes no more memory than the weights that come with it."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from medmm.errors import DataError

SLACK_BYTES, SLACK_TENSORS = 64 << 20, 1000
"""For what a network computes from its settings and does not store, such as tables of positions."""

FACTOR = 4
"""Of the bytes and of the number of weights. Weights are drawn into scratch, and copied modules are made twice: over all
encoders and fusions here, 1.5 times the bytes and 2.4 times as many tensors were made."""

SHAPED = frozenset({"empty", "zeros", "ones", "full", "rand", "randn", "empty_strided"})
COUNTED = frozenset({"arange", "eye", "linspace", "randperm"})
COPIED = frozenset({"clone", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"})
BYTES = 4


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """While it is entered, tensors that are made are counted, and too many or too large ones are refused before they are made.

    Args:
        weights: Those that the network shall have.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bytes = FACTOR * sum(one.nbytes for one in weights.values()) + SLACK_BYTES
        self._tensors = FACTOR * len(weights) + SLACK_TENSORS

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse, or do what was asked."""
        call: Callable[..., Any] = func
        elements = _elements(func.overloadpacket.__name__, args)
        self._bytes -= BYTES * elements
        self._tensors -= elements > 0
        if self._bytes < 0 or self._tensors < 0:
            raise DataError(
                "the settings describe a larger network than the weights that come with them: package the run again"
            )
        return call(*args, **(kwargs or {}))


def _elements(name: str, args: Sequence[Any]) -> int:
    if name in SHAPED and args and isinstance(args[0], Sequence):
        return prod(int(side) for side in args[0])
    if name in COPIED:
        return int(args[0].numel())
    if name in COUNTED:
        counts = [abs(int(one)) for one in args if isinstance(one, int | float)]
        return max(counts, default=0) ** (2 if name == "eye" and len(counts) == 1 else 1)
    return 0
