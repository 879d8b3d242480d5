"""The network of a package as one graph of named tensors, in which no shape depends on a value.

Letters: B studies, K outputs of a head.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from medmm.encoders.whole import encode_whole
from medmm.errors import ConfigError
from medmm.model import DiagnosisModel
from medmm.quiet import quietly
from medmm.types import Batch

PRESENT = "present"
"""After the name of an input and a dot: (B,) bool, which studies have it."""

UNREAD = ("cut",)
"""Prepared fields that no encoder reads."""

STUDIES = "studies"
"""What the axis of the studies is called."""

NamedTensors: TypeAlias = dict[str, torch.Tensor]
"""`INPUT.FIELD` -> (B, ...) prepared tensors, and `INPUT.present` -> (B,) bool; sorted by name, as a graph wants them."""


class Network(nn.Module):
    """Named tensors -> logits (B, K), freed from what the loss has put into them, as `predict` gives them.

    Args:
        model: In evaluation mode.
    """

    def __init__(self, model: DiagnosisModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tensors: NamedTensors) -> torch.Tensor:
        """Give the logits (B, K) of studies with any of the inputs."""
        encoded = {name: encode_whole(network, *_own(tensors, name)) for name, network in self.model.encoders.items()}
        return self.model.evidence(self.model.fuse(encoded).logits)


class Encoding(nn.Module):
    """One encoder as a graph of its own, to find out whether it can be one."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name

    def forward(self, tensors: NamedTensors) -> torch.Tensor:
        """Give the values of its tokens (B, N, D)."""
        return encode_whole(self.network, *_own(tensors, self.name)).values


@dataclass(frozen=True)
class Graph:
    """A network that was traced.

    Attributes:
        program: As torch.export has it; paths of this machine are struck from it.
        example: The tensors by which it was traced.
        studies: How many studies it takes at once; None for any number.
    """

    program: ExportedProgram
    example: NamedTensors
    studies: int | None


def trace(network: nn.Module, example: NamedTensors) -> Graph:
    """Trace a network for any number of studies, or where it does not allow that for one study at a time.

    Args:
        network: Named tensors -> a tensor.
        example: Of at least 2 studies.

    Raises:
        Exception: Of whatever class torch.export has for a network that is no single graph.
    """
    first = {name: one[:1] for name, one in example.items()}
    with quietly(), torch.no_grad():
        try:
            return Graph(_clean(torch.export.export(network, (example,), dynamic_shapes=any_number(example))), example, None)
        except Exception:  # noqa: BLE001 - a number of studies that the code fixes ends in many classes
            return Graph(_clean(torch.export.export(network, (first,))), first, 1)


def trace_model(model: DiagnosisModel, example: NamedTensors, encoders: Mapping[str, str]) -> Graph:
    """Trace the network of a package.

    Args:
        model: In evaluation mode, on the CPU.
        example: Of at least 2 studies.
        encoders: Input -> what its encoder is called.

    Raises:
        ConfigError: A part of it is no graph; it is named.
    """
    try:
        return trace(Network(model), example)
    except Exception as reason:
        part = culprit(model, example, encoders, trace)
        raise ConfigError(
            f"{part} cannot be written as one graph ({type(reason).__name__}): score with the package itself, or train with "
            "another"
        ) from reason


def culprit(
    model: DiagnosisModel,
    example: NamedTensors,
    encoders: Mapping[str, str],
    attempt: Callable[[nn.Module, NamedTensors], object],
) -> str:
    """Name the part of a network by which an attempt on the whole has failed: an encoder that fails alone, else the fusion."""
    for name, network in model.encoders.items():
        own = {key: one for key, one in example.items() if key.startswith(f"{name}.")}
        try:
            attempt(Encoding(network, name), own)
        except Exception:  # noqa: BLE001 - whatever it is, this part is it
            return f"the encoder {encoders[name]!r} of the input {name!r}"
    return f"the fusion {model.fusion_settings.name!r}"


def any_number(tensors: Iterable[str]) -> tuple[dict[str, dict[int, Dim]]]:
    """Say that the first axis of every tensor is that of the studies, of which there may be any number."""
    studies = Dim(STUDIES, min=1)
    return ({name: {0: studies} for name in tensors},)


def named_tensors(batch: Batch, like: NamedTensors | None = None) -> NamedTensors:
    """Give the tensors of a batch by the names that a graph has for them.

    Args:
        batch: On the CPU.
        like: Tensors of other studies, from which shapes are taken for an input that no study of the batch has.
    """
    tensors = {f"{name}.{PRESENT}": has for name, has in batch.present.items()}
    for name, fields in batch.inputs.items():
        tensors |= {f"{name}.{field}": one for field, one in fields.items() if field not in UNREAD}
    for name, one in (like or {}).items():
        if name not in tensors:
            tensors[name] = one.new_zeros(len(batch.rows), *one.shape[1:])
    return dict(sorted(tensors.items()))


def _own(tensors: NamedTensors, name: str) -> tuple[NamedTensors, torch.Tensor]:
    """Give the fields of one input, and which studies have it."""
    fields = {key.removeprefix(f"{name}."): one for key, one in tensors.items() if key.startswith(f"{name}.")}
    return fields, fields.pop(PRESENT)


def _clean(program: ExportedProgram) -> ExportedProgram:
    """Strike the example, which would be written as a pickle, and the source files, which are paths of this machine."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)
    return program
