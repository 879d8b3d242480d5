"""What a model says of one study while parts of it change. B variants of the study, K outputs of a head, C answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from medmm.dataset.batches import stack
from medmm.encoders.adapted import Adapted
from medmm.encoders.tuning import Tuning
from medmm.evaluation.shapley import NEARLY
from medmm.inputs.base import Fields
from medmm.model import encode_present
from medmm.package import Package
from medmm.predict import subsets
from medmm.types import Array, Batch, Tokens

VARIANTS = 32
"""Most variants of a study that go through the model at once."""

NUMBERS_AT_ONCE = 1 << 22
"""Most numbers of their prepared fields together, for a network over volumes takes some hundred times as much memory."""

Varied: TypeAlias = Mapping[str, torch.Tensor]
"""Field -> (B, ...) of variants."""


class Voice:
    """Asks a model about one study; the encoder of an input runs again only where that input has changed.

    What it says is in log odds of the answer's probability or risk, with the temperature, before a curve
    of the calibration and the rules; of a value in its unit.

    Args:
        package: The model.
        prepared: Fields of the inputs that the study has.
        column: C of the answer that is asked for.
    """

    def __init__(self, package: Package, prepared: Mapping[str, Fields], column: int) -> None:
        self.package = package
        self.column = column
        self.model = package.model.eval()
        self.device = next(self.model.parameters()).device
        self.present = tuple(sorted(prepared))
        self._criterion = deepcopy(self.model.criterion).cpu()
        self.fields: dict[str, dict[str, torch.Tensor]] = {
            name: {field: values.to(self.device) for field, values in stack([one]).items()} for name, one in prepared.items()
        }
        batch = Batch(
            inputs={name: self.fields.get(name, {}) for name in package.inputs},
            present={name: torch.tensor([name in prepared], device=self.device) for name in package.inputs},
            target=None,
            rows=torch.arange(1),
        )
        with torch.no_grad():
            self._tokens = self.model.encode(batch)

    def answers(self, keep: frozenset[str] | None = None) -> Array:
        """Give all answers (C,) of the study as it is, or with some inputs only; calibrated, before the rules."""
        with torch.no_grad():
            logits = self.model.evidence(self.model.fuse(self._tokens, keep).logits)
            return np.asarray(self.package.answer(logits.float().cpu().numpy())[0])

    def joint(self) -> Array:
        """Give the representation (D,) of the study."""
        with torch.no_grad():
            return np.asarray(self.model.fuse(self._tokens).fused.joint[0].float().cpu().numpy())

    def by_subset(self) -> dict[frozenset[str], Array]:
        """Give what the model says with only some of the inputs that the study has, of every subset and of none: ()."""
        with torch.no_grad():
            every = [*subsets(self.present), frozenset[str]()]
            return {some: self._said(self.model.fuse(self._tokens, some).logits)[0].numpy() for some in every}

    def of(self, name: str, fields: Varied) -> torch.Tensor:
        """Give what the model says (B,) with other fields (B, ...) of one input, in float64; gradients flow back to them."""
        count = len(next(iter(fields.values())))
        there = torch.ones(count, dtype=torch.bool, device=self.device)
        own = encode_present(self.model.encoders[name], fields, there, self.model.head.in_features)
        others = {
            other: Tokens(one.values.expand(count, -1, -1), one.mask.expand(count, -1)) for other, one in self._tokens.items()
        }
        return self._said(self.model.fuse({**others, name: own}).logits)

    def of_many(self, name: str, count: int, vary: Callable[[Array], Varied]) -> Array:
        """Give what the model says (count,) of many variants of one input, some at a time.

        Args:
            name: The input.
            count: How many variants there are.
            vary: Numbers of some variants -> their fields.
        """
        said = []
        with torch.no_grad():
            step = self.at_once(name)
            for start in range(0, count, step):
                some = np.arange(start, min(start + step, count))
                said.append(self.of(name, vary(some)).numpy())
        return np.concatenate(said) if said else np.empty(0)

    def at_once(self, name: str) -> int:
        """Tell how many variants of an input may go through the model at once."""
        numbers = sum(values.numel() for values in self.fields[name].values())
        return max(1, min(VARIANTS, NUMBERS_AT_ONCE // numbers))

    def of_prepared(self, name: str, variants: Sequence[Fields]) -> Array:
        """Give what the model says (B,) of variants that are prepared."""
        return self.of_many(name, len(variants), lambda some: self._stacked([variants[i] for i in some]))

    def with_expanded(self, name: str, field: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give the fields of an input with one of them varied (B, ...) and the others as they are."""
        return {
            other: values if other == field else one.expand(len(values), *one.shape[1:])
            for other, one in self.fields[name].items()
        }

    def value(self, said: Array) -> Array:
        """Turn what was said into the probability or risk; a value stays what it is."""
        return said if self.package.target.task == "regression" else np.asarray(1 / (1 + np.exp(-said)))

    def support(self, said: Array, side: float) -> Array:
        """Turn what was said into how much it supports an answer for (side 1) or against (-1) what is asked for."""
        value = self.value(said)
        if self.package.target.task == "regression":
            return side * value
        return value if side > 0 else 1 - value

    @property
    def unit(self) -> float:
        """What counts as 1 of what `value` gives: of a value the standard deviation of the training studies."""
        deviation = getattr(self.model.criterion, "deviation", None)
        return 1.0 if deviation is None else float(deviation)

    @contextmanager
    def letting_gradients_through(self, name: str) -> Iterator[nn.Module]:
        """Let gradients reach the fields of an input even where its backbone is frozen; gives the encoder."""
        adapted = [part for part in self.model.encoders[name].modules() if isinstance(part, Adapted)]
        before = [part.tuning for part in adapted]
        try:
            for part in adapted:
                part.tuning = Tuning(learn="all")
            yield self.model.encoders[name]
        finally:
            for part, tuning in zip(adapted, before, strict=True):
                part.tuning = tuning

    def _stacked(self, variants: Sequence[Fields]) -> dict[str, torch.Tensor]:
        return {field: values.to(self.device) for field, values in stack(variants).items()}

    def _answers(self, evidence: torch.Tensor) -> torch.Tensor:
        return self._criterion.answer(evidence.cpu().double() / self.package.temperature)  # (B, C)

    def _said(self, logits: torch.Tensor) -> torch.Tensor:
        answer = self._answers(self.model.evidence(logits))[:, self.column]
        return answer if self.package.target.task == "regression" else answer.clamp(NEARLY, 1 - NEARLY).logit()
