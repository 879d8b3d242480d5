"""A Hugging Face image encoder such as DINOv2 or RAD-DINO, from a local folder or a hub name. B studies, N tokens, H width.

Sources: Oquab et al. 2023, DINOv2; Pérez-García et al. 2024, Exploring scalable medical image encoders beyond text supervision
(RAD-DINO).
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import ClassVar, Literal, Self

import torch
from torch import nn

from medmm.encoders.adapted import Adapted, all_real
from medmm.encoders.base import ImageEncoderSettings
from medmm.encoders.huggingface import (
    UNREADABLE,
    HuggingFace,
    build_backbone,
    layer_names,
    plain_config,
    read_config,
)
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.settings import Plain
from medmm.types import Tokens

REPAIR = "give a folder with config.json and model.safetensors, or a hub name that can be reached"
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""Centre and scale of the channels where a model names none."""

COLOURS = 3


class HuggingFaceImage(HuggingFace, ImageEncoderSettings):
    """A pretrained encoder of 2D images. Its weights are read as safetensors only, and no code that comes with it is run."""

    repair: ClassVar[str] = REPAIR

    name: Literal["huggingface"] = "huggingface"
    """Which one."""

    architecture: dict[str, Plain] | None = None
    """Filled in a package: what the network is built from there, without the model's folder."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> nn.Module:
        """Build the network, with random weights.

        Raises:
            ConfigError: The model cannot be read or does not take such images.
        """
        if len(size) != 2:
            raise ConfigError(
                "encoder huggingface takes 2D images only: give size two sides, or choose an encoder such as swin"
            )
        architecture = self._architecture()
        config = architecture["config"]
        if "mask_ratio" in config:
            raise ConfigError("encoder.model hides a random part of every image, also when it scores: choose another model")
        for side, patch in zip(size, _pair(config.get("patch_size", 1)), strict=True):
            if side % patch:
                raise ConfigError(f"size {tuple(size)} is not a multiple of the model's patch {patch}: change size")
        if channels not in {1, config.get("num_channels", COLOURS)}:
            raise ConfigError(f"encoder.model takes images of {config['num_channels']} channel: set channels to 1")
        backbone = build_backbone(config)
        return _Pretrained(backbone, width, architecture, self.tuning)

    def portable(self) -> Self:
        """Keep the architecture, and of the model's name the last part: the weights stand in the package."""
        return self.model_copy(update={"model": PurePath(self.model).name, "architecture": self._architecture()})

    def is_portable(self) -> bool:
        """Tell whether the architecture stands here, and no place is left of the model."""
        return self.architecture is not None and super().is_portable()

    def _architecture(self) -> dict[str, Plain]:
        if self.architecture is not None:
            return self.architecture
        return {"config": plain_config(read_config(self.model, REPAIR)), **_centre_and_scale(self.model)}


class _Pretrained(Adapted):
    """Args: architecture with the "config" of the backbone, and "mean" and "std" of its channels."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, width: int, architecture: Mapping[str, Plain], tuning: Tuning) -> None:
        config = architecture["config"]
        hidden = config["hidden_size"] if "hidden_size" in config else config["hidden_sizes"][-1]
        super().__init__(backbone, hidden, width, layer_names(backbone), tuning)
        channels = config.get("num_channels", COLOURS)
        for name in ("mean", "std"):
            values = torch.tensor(architecture[name], dtype=torch.float32)[:channels]
            self.register_buffer(name, values[:, None, None], persistent=False)
        self._registers = config.get("num_register_tokens", 0)
        takes = inspect.signature(backbone.forward).parameters
        self._options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}

    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        image = (fields["image"].expand(-1, len(self.mean), -1, -1) - self.mean) / self.std  # (B, 3, height, width)
        values = self.backbone(pixel_values=image, **self._options).last_hidden_state
        if values.ndim == 4:  # a feature map
            return all_real(values.flatten(2).transpose(1, 2))
        first = values[:, :1]  # registers follow the class token; they say nothing of the image
        return all_real(torch.cat([first, values[:, 1 + self._registers :]], dim=1) if self._registers else values)


def _centre_and_scale(model: str) -> dict[str, list[float]]:
    """Read how the model wants its channels scaled.

    Raises:
        ConfigError: It says so in a way that cannot be read.
    """
    from transformers.utils import cached_file

    try:
        file = cached_file(model, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
        said = {} if file is None else json.loads(Path(file).read_text(encoding="utf-8"))
        if said.get("do_normalize") is False:
            return {"mean": [0.0] * COLOURS, "std": [1.0] * COLOURS}
        found = {"mean": said.get("image_mean", IMAGENET["mean"]), "std": said.get("image_std", IMAGENET["std"])}
        found = {name: [float(value) for value in values] for name, values in found.items()}
    except (*UNREADABLE, AttributeError, TypeError) as reason:
        raise ConfigError(
            f"preprocessor_config.json of encoder.model cannot be read ({type(reason).__name__}): {REPAIR}"
        ) from reason
    if any(len(values) not in {1, COLOURS} for values in found.values()) or min(found["std"]) <= 0:
        raise ConfigError("preprocessor_config.json of encoder.model has no mean and std of 3 channels: correct the file")
    return found


def _pair(side: int | Sequence[int]) -> Sequence[int]:
    return (side, side) if isinstance(side, int) else tuple(side)
