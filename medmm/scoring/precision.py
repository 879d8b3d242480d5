"""How numbers are computed in scoring: 32 bits, bfloat16, 8-bit linear layers, compiled; and what that does to the answers.

Letters: S studies, K outputs of a head, C answers.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from medmm.errors import ConfigError, DataError
from medmm.evaluation.decision import decide
from medmm.fusion.base import Fused
from medmm.model import DiagnosisModel
from medmm.package import Package
from medmm.predict import predict
from medmm.scoring.compiling import check_compiler, compile_parts
from medmm.scoring.engine import Options
from medmm.scoring.int8 import products_are_exact, quantise
from medmm.tables import Table
from medmm.types import CLASS_TASKS, Array, Batch, Tokens


class Bfloat16(nn.Module):
    """A part of a network under autocast: products in bfloat16; what it gives is in 32 bits again.

    Args:
        network: An encoder or a fusion.
        device: Where it runs.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.network = network
        self.kind = device.type

    def forward(self, first: Any, *others: Any) -> Tokens | Fused:
        """Give the tokens, or what the fusion says, in 32 bits."""
        with torch.autocast(self.kind, torch.bfloat16):
            made: Tokens | Fused = self.network(first, *others)
        if isinstance(made, Tokens):
            return Tokens(made.values.float(), made.mask)
        logits, conflict = (None if one is None else one.float() for one in (made.logits, made.conflict))
        return replace(made, joint=made.joint.float(), logits=logits, conflict=conflict)


def to_bf16(model: DiagnosisModel) -> None:
    """Let encoders and fusion compute in bfloat16; the heads, and all that follows, stay in 32 bits.

    Raises:
        ConfigError: The accelerator has no bfloat16.
    """
    device = _device(model)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("this accelerator has no bfloat16: score with --precision fp32")
    for name, network in model.encoders.items():
        model.encoders[name] = Bfloat16(network, device)
    model.fusion = Bfloat16(model.fusion, device)  # type: ignore[assignment]


def to_int8(model: DiagnosisModel) -> None:
    """Put whole numbers into the linear layers of encoders and fusion; the heads stay in 32 bits.

    Raises:
        ConfigError: The model is not on the CPU, the CPU's products are not exact, or there is no layer for it.
    """
    if _device(model).type != "cpu":
        raise ConfigError("--precision int8 is for the CPU: on an accelerator take bf16")
    if not products_are_exact():
        raise ConfigError("this CPU does not multiply whole numbers of 8 bits exactly: score with --precision fp32 or bf16")
    if not sum(quantise(part) for part in (model.encoders, model.fusion)):
        raise ConfigError("no layer of this network is made for --precision int8: leave it out")


PRECISIONS: Table[Callable[[DiagnosisModel], None]] = Table(
    "precision",
    {
        "fp32": lambda model: None,
        "bf16": to_bf16,
        "int8": to_int8,
    },
)
"""Name -> what it does to a copy of the model, in place."""


GOLDEN_TOLERANCES = {"bf16": 0.05, "int8": 0.1}
"""How far the answers of golden samples may lie from those in 32 bits: room for coarser numbers, not for a wrong network."""


def prepare_model(model: DiagnosisModel, precision: str, *, compiled: bool, device: torch.device) -> DiagnosisModel:
    """Give the model as it is to score; with reduced precision, or compiled, a changed copy of it.

    `predict` takes it like the model itself, and its logits are in 32 bits.

    Args:
        model: Loaded from a package.
        precision: One of `PRECISIONS`.
        compiled: Compile encoders and fusion, which takes minutes at the first batch of each size; give all batches the same.
        device: Where it is to run.

    Raises:
        ConfigError: The machine or the network does not bear it.
    """
    change = PRECISIONS.pick(precision)
    if precision == "fp32" and not compiled:
        return model.to(device).eval()
    if compiled:
        check_compiler(device)
    made = deepcopy(model).to(device).eval()
    change(made)
    if compiled:
        compile_parts(made)
    return made.eval()


def make_ready(package: Package, options: Options) -> tuple[Package, float]:
    """Make a loaded package ready to score on this machine, on its accelerator where there is one, and try it.

    Returns:
        The package with its model as it is to compute, and how far its answers of the golden samples lie from what is expected.

    Raises:
        ConfigError: The machine or the network does not bear what is asked for.
        DataError: The machine computes something else than the one that trained.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = prepare_model(package.model, options.precision, compiled=options.compiled, device=device)
    computed_in = f"{options.precision}, compiled" if options.compiled else options.precision
    ready = replace(package, model=model, computed_in=computed_in)
    return ready, ready.check_golden(GOLDEN_TOLERANCES.get(options.precision))


@dataclass(frozen=True)
class Effect:
    """How far answers differ from those in 32 bits.

    Attributes:
        studies: S.
        largest: Difference of an answer.
        mean: Difference of the answers.
        changed: Studies of which a decision is another; None for a task without decisions.
    """

    studies: int
    largest: float
    mean: float
    changed: int | None

    def __str__(self) -> str:
        decisions = "" if self.changed is None else f", decisions changed in {self.changed} of {self.studies} studies"
        return f"answers differ by {self.largest:.2g} at most, {self.mean:.2g} on average{decisions}"


def compare_answers(package: Package, logits: Array, plain: Array) -> Effect:
    """Tell how far logits (S, K) lead to other answers than those in 32 bits (S, K).

    Raises:
        DataError: A logit is no number though it is one in 32 bits.
    """
    if not np.isfinite(logits[np.isfinite(plain).all(1)]).all():
        raise DataError("in this precision a logit is no number: score with --precision fp32")
    ours, theirs = package.answer(logits), package.answer(plain)  # (S, C)
    difference = np.abs(ours - theirs)
    changed = None
    if package.target.task in CLASS_TASKS:
        decided = [decide(one, package.thresholds, package.target.task) for one in (ours, theirs)]
        changed = int((decided[0] != decided[1]).any(1).sum())
    return Effect(len(ours), float(difference.max(initial=0.0)), float(difference.mean()) if len(ours) else 0.0, changed)


def measure_effect(package: Package, model: DiagnosisModel, batches: Iterable[Batch]) -> Effect:
    """Tell how far a prepared model answers otherwise than the package's own model.

    Args:
        package: With its model on the device where it is to run.
        model: From `prepare_model`.
        batches: Studies.

    Raises:
        ConfigError: The network was to be compiled, and cannot be.
        DataError: A logit is no number though it is one in 32 bits.
    """
    everything = frozenset(package.inputs)
    kept = list(batches)
    theirs = predict(package.model, kept, [everything]).logits[everything]
    try:
        ours = predict(model, kept, [everything]).logits[everything]
    except torch._dynamo.exc.TorchDynamoException as reason:  # a compiled network compiles at its first batch
        raise ConfigError(f"this network cannot be compiled ({type(reason).__name__}): leave --compile out") from reason
    return compare_answers(package, ours, theirs)


def _device(model: DiagnosisModel) -> torch.device:
    """Tell where a model is."""
    return model.head.weight.device
