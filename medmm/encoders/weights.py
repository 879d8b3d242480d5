"""Pretrained weights from a local file into a backbone: all of them or none, and no code that a file may hold is run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from medmm.encoders.tuning import ADAPTER, WRAPPED
from medmm.errors import ConfigError

PICKLED = {".pt", ".pth", ".ckpt"}
HOLDERS = ("state_dict", "model_state_dict", "model")
"""Under one of these a checkpoint keeps its weights."""

HEADS = {"fc", "_fc", "head", "heads", "classifier", "class_layers", "classification_head", "pooler", "proj", "projection"}
"""What a classifier calls the part that follows its backbone."""

SYNONYMS = (
    (re.compile(r"(denselayer\d+)\.((?:norm|conv)\d)\b"), r"\1.layers.\2"),  # torchvision
    (re.compile(r"\bmlp\.fc(\d)\b"), r"mlp.linear\1"),  # MONAI's own self-supervised weights of the Swin transformer
)
"""Other names of the same weights."""

SHORTCUT_BIAS = re.compile(r"\.downsample\.0\.bias$")
"""Files of MedicalNet and torchvision lack it: there a shortcut's convolution has no bias, which is a bias of zero."""

COUNT = "num_batches_tracked"  # of a batch norm; of no matter, and old files lack it
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Report:
    """What a file of weights and a backbone did not have in common.

    Attributes:
        missing: Biases of the backbone that the file lacks; they are zero now, which changes nothing.
        unexpected: Weights of the file that are no part of the backbone, such as a classifier's.
        averaged: Whether the first convolution, learned on three channels, was averaged over them.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    averaged: bool = False

    def __str__(self) -> str:
        zero = f", biases that the file lacks, now zero: {_some(self.missing)}" if self.missing else ""
        left = f", left aside: {_some(self.unexpected)}" if self.unexpected else ""
        grey = ", the first convolution averaged over its three channels" if self.averaged else ""
        return f"all weights of the backbone loaded{zero}{left}{grey}"


def load_weights(backbone: nn.Module, path: Path) -> Report:
    """Load the weights of a file into a backbone.

    Args:
        backbone: Changed in place; it may have adapters, which stay as they are.
        path: `.safetensors`, or `.pt`, `.pth`, `.ckpt` with tensors and plain values only.

    Raises:
        ConfigError: The file cannot be read, or is not of this backbone.
    """
    own = {name: tensor for name, tensor in own_weights(backbone).items() if not name.endswith(COUNT)}
    found = read_weights(path)
    prefix = _prefix(found, own)
    inside = {key.removeprefix(prefix): tensor for key, tensor in found.items() if key.startswith(prefix)}
    averaged = _average_first(inside, own)
    zero = [name for name in own if name not in inside and SHORTCUT_BIAS.search(name)]
    missing = [name for name in own if name not in inside and name not in zero]
    strange = [name for name in inside if name not in own and not name.endswith(COUNT)]
    foreign = [name for name in strange if name.partition(".")[0] not in HEADS]
    wrong = [name for name in own if name in inside and inside[name].shape != own[name].shape]
    if missing or foreign or wrong:
        fitting = len(own) - len(missing) - len(zero) - len(wrong)
        shapes = [f"{name} {tuple(inside[name].shape)} instead of {tuple(own[name].shape)}" for name in wrong]
        raise ConfigError(
            f"encoder.weights fits {fitting} of the {len(own)} weights of the backbone; missing: {_some(missing)}; "
            f"unexpected: {_some(foreign)}; of another shape: {_some(shapes)}: choose the encoder, its settings and the number "
            "of dimensions and channels that the weights were learned with"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            if name in zero:
                tensor.zero_()
            else:
                tensor.copy_(inside[name])
    outside = [key for key in found if not key.startswith(prefix)]
    return Report(tuple(zero), tuple(prefix + name for name in strange) + tuple(outside), averaged)


def own_weights(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Give the weights of a backbone by the names they have without adapters; the adapters' own are left out."""
    return {name.replace(WRAPPED, ""): tensor for name, tensor in backbone.state_dict().items() if ADAPTER not in name}


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the named tensors of a file.

    Raises:
        ConfigError: It is missing, damaged, of an unknown kind, or holds more than tensors and plain values.
    """
    repair = "give a .safetensors file, or a .pt, .pth or .ckpt file that holds nothing but named tensors and plain values"
    kind = path.suffix.lower()
    if kind != ".safetensors" and kind not in PICKLED:
        raise ConfigError(f"encoder.weights is no file of weights: {repair}")
    try:
        loaded = load_file(path) if kind == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:
        raise ConfigError(f"encoder.weights cannot be read ({type(reason).__name__}): {repair}") from reason
    while isinstance(loaded, Mapping) and (holder := next((h for h in HOLDERS if isinstance(loaded.get(h), Mapping)), None)):
        loaded = loaded[holder]
    tensors = loaded.items() if isinstance(loaded, Mapping) else ()
    found = {_own_name(str(key)): value for key, value in tensors if isinstance(value, torch.Tensor)}
    if not found:
        raise ConfigError(f"encoder.weights holds no named tensors: {repair}")
    return found


def _own_name(key: str) -> str:
    for pattern, name in SYNONYMS:
        key = pattern.sub(name, key)
    return key


def _prefix(found: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> str:
    """Give what stands before the backbone's names in the file ("module.", "features."): where most of them match."""
    starts = {key[: place + 1] for key in found for place, letter in enumerate(key) if letter == "."}
    return max(["", *sorted(starts, key=len)], key=lambda start: sum(start + name in found for name in own))


def _average_first(inside: dict[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> bool:
    """Let a first convolution of three channels take one: a grey image gives what it gave when repeated three times."""
    first = next((name for name, tensor in own.items() if tensor.ndim >= 4), None)
    if first not in inside:
        return False
    weight, shape = inside[first], own[first].shape
    if weight.shape != (shape[0], 3, *shape[2:]) or shape[1] != 1:
        return False
    inside[first] = 3 * weight.mean(1, keepdim=True)
    return True


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
