"""The worst small change of what an encoder reads: of pixels, of signals, and of the vectors of words and cells.

Sources: Goodfellow et al. 2015 (FGSM); Madry et al. 2018 (PGD); Miyato et al. 2017, Adversarial Training Methods for
Semi-Supervised Text Classification (changes of embeddings). Letters: B studies, C classes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import Field

from medmm.encoders.embedded import Embedded
from medmm.model import DiagnosisModel
from medmm.settings import Settings
from medmm.types import Batch

IMAGE, SIGNAL, FEATURES, EMBEDDED = "image", "signal", "features", "embedded"
"""What is changed: three fields of prepared studies, and the vectors of words and cells."""


class AttackSettings(Settings):
    """How far and how hard to look for a change that harms."""

    image: float = Field(0.02, gt=0, le=1)
    """Largest change of a pixel; the window is 1."""

    signal: float = Field(0.05, gt=0)
    """Largest change of a sample of a trace or a cell of a spectrogram, in spreads of the lead over the training studies."""

    embedding: float = Field(0.2, gt=0)
    """Largest change of a number of the vector of a word or cell, in root mean squares of these vectors."""

    steps: int = Field(3, ge=1)
    """Steps of the search; 1 is the fast gradient sign method."""


class Change:
    """A bounded change of what the encoders of some inputs read.

    Args:
        model: The network.
        inputs: Those whose reading changes.
        settings: The bounds.
        random: Start anywhere inside the bounds rather than from no change.
    """

    def __init__(self, model: DiagnosisModel, inputs: Collection[str], settings: AttackSettings, *, random: bool) -> None:
        self._model = model
        self._inputs = sorted(inputs)
        self._settings = settings
        self._random = random
        self._deltas: dict[str, torch.Tensor] = {}
        self._sizes: dict[str, torch.Tensor] = {}
        self._room: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def deltas(self) -> list[torch.Tensor]:
        """What is added, one tensor an input; none before the first pass."""
        return list(self._deltas.values())

    @contextmanager
    def of(self, batch: Batch) -> Iterator[Batch]:
        """Give the changed batch; while it is open, vectors of words and cells are changed too."""
        inputs = dict(batch.inputs)
        with ExitStack() as hooks:
            for name in self._inputs:
                field = next((one for one in (FEATURES, IMAGE, SIGNAL) if one in batch.inputs[name]), None)
                if field is not None:
                    values = batch.inputs[name][field]
                    has = batch.present[name].view(-1, *[1] * (values.ndim - 1))
                    known = torch.where(has, values, 0.0)  # whatever stands where a study lacks the input
                    changed = self.changed(name, known, field)
                    inputs[name] = {**batch.inputs[name], field: changed}
                    continue
                for part in self._model.encoders[name].modules():
                    if isinstance(part, Embedded):
                        hooks.enter_context(_hooked(part, self, name))
            yield replace(batch, inputs=inputs)

    def ascend(self, gradients: Sequence[torch.Tensor | None], share: float) -> None:
        """Go along the sign of the gradients, a share of the bounds far, and stay inside them."""
        for (name, delta), gradient in zip(self._deltas.items(), gradients, strict=True):
            if gradient is not None:
                moved = delta.detach() + share * self._sizes[name] * gradient.sign()  # 0 where it overflowed to NaN
                self._deltas[name] = moved.clamp(*self._room[name]).requires_grad_()

    def hold(self) -> None:
        """Ask for no more gradient of the change."""
        self._deltas = {name: delta.detach() for name, delta in self._deltas.items()}

    def changed(self, name: str, values: torch.Tensor, field: str) -> torch.Tensor:
        """Give the changed values of an input.

        Args:
            name: Of the input.
            values: (B, ...)
            field: What they are: pixels and signals have bounds of their own, all else a share of its root mean square.
        """
        if name not in self._deltas:
            self._begin(name, values.detach(), field)
        delta = self._deltas[name]
        whole = field in {IMAGE, SIGNAL}  # of all else a zero is what is missing, and stays so
        return values + delta if whole else values + delta * (values.detach() != 0)

    def _begin(self, name: str, values: torch.Tensor, field: str) -> None:
        if field == IMAGE:  # no pixel leaves its window: outside it would have no gradient, and never find back
            bound = self._settings.image
            size = values.new_tensor(bound)
            self._room[name] = ((0 - values).clamp(-bound, 0), (1 - values).clamp(0, bound))
        else:
            size = (
                values.new_tensor(self._settings.signal)
                if field == SIGNAL
                else values.square().sum().div((values != 0).sum().clamp(min=1)).sqrt() * self._settings.embedding
            )
            self._room[name] = (-size, size)
        self._sizes[name] = size
        start = torch.zeros_like(values)
        if self._random:
            start = start.uniform_(-1, 1).mul_(size).clamp(*self._room[name])
        self._deltas[name] = start.requires_grad_()


@contextmanager
def _hooked(part: Embedded, change: Change, name: str) -> Iterator[None]:
    def add(_part: torch.nn.Module, _args: Any, values: torch.Tensor) -> torch.Tensor:
        return change.changed(name, values, EMBEDDED)

    handle = part.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def attack(
    model: DiagnosisModel, batch: Batch, inputs: Collection[str], settings: AttackSettings, *, random: bool = False
) -> Change:
    """Look for the change of a batch that makes the labelled loss worst.

    The network is in evaluation while it is looked for, so that no dropout hides the way; its mode comes back.

    Args:
        model: The network.
        batch: With labels.
        inputs: Those whose reading changes.
        settings: How far and how hard.
        random: Start anywhere inside the bounds.
    """
    some = [name for name in inputs if bool(batch.present[name].any())]
    change = Change(model, some, settings, random=random)
    if not some:
        return change
    training = model.training
    model.eval()
    share = 1.0 if settings.steps == 1 else 2.5 / settings.steps
    for _ in range(settings.steps):
        with torch.enable_grad(), _recurrent_backward(model), change.of(batch) as changed:
            loss = model.joint_loss(model(changed), changed)
            gradients = torch.autograd.grad(loss, change.deltas, allow_unused=True)
        change.ascend(gradients, share)
    model.train(training)
    return change


def _recurrent_backward(model: DiagnosisModel) -> AbstractContextManager[None]:
    """Let gradients go back through recurrent networks in evaluation, which cuDNN refuses."""
    recurrent = any(isinstance(part, torch.nn.RNNBase) for part in model.modules())
    return torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()


@dataclass(frozen=True)
class Attacked:
    """What a model says of S studies while each input in turn is attacked.

    Attributes:
        clean: (S, C) logits freed from class weights.
        robust: Input -> (S, C) logits under the attack on this input; a study that lacks it is not changed.
    """

    clean: torch.Tensor
    robust: Mapping[str, torch.Tensor]


def attacked(model: DiagnosisModel, batches: Iterable[Batch], settings: AttackSettings) -> Attacked:
    """Let a model speak of labelled studies, first as they are, then with each input attacked.

    Args:
        model: In evaluation mode.
        batches: With labels.
        settings: How far and how hard.
    """
    device = next(model.parameters()).device
    clean: list[torch.Tensor] = []
    robust: dict[str, list[torch.Tensor]] = {name: [] for name in sorted(model.encoders)}
    for given in batches:
        batch = given.to(device)
        with torch.no_grad():
            clean.append(model.evidence(model(batch).logits).float().cpu())
        for name, said in robust.items():
            change = attack(model, batch, [name], settings)
            with torch.no_grad(), change.of(batch) as changed:
                said.append(model.evidence(model(changed).logits).float().cpu())
    return Attacked(torch.cat(clean), {name: torch.cat(said) for name, said in robust.items()})
