"""The vision transformer of MONAI: one token a patch.

Source: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.base import ImageEncoderSettings
from medmm.errors import ConfigError
from medmm.types import Tokens


class VisionTransformer(ImageEncoderSettings):
    """Patches as tokens; wants more studies than a convolutional encoder, or pretrained weights."""

    name: Literal["vit"] = "vit"
    """Which one."""

    patch: int = Field(16, ge=2)
    """Side of a patch in pixels; every side of the image is a multiple of it."""

    hidden: int = Field(192, ge=12)
    """Width inside the encoder."""

    layers: int = Field(6, ge=1)
    """Transformer blocks."""

    heads: int = Field(3, ge=1)
    """Attention heads; divides `hidden`."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> nn.Module:
        """Build the network.

        Raises:
            ConfigError: The image is not made of whole patches.
        """
        if any(side % self.patch for side in size):
            raise ConfigError(f"size {tuple(size)} is not a multiple of patch {self.patch}: change one of the two")
        return _Patches(self, width, channels, size)


class _Patches(nn.Module):
    def __init__(self, settings: VisionTransformer, width: int, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        from monai.networks.nets.vit import ViT

        self.network = ViT(
            in_channels=channels,
            img_size=tuple(size),
            patch_size=(settings.patch,) * len(size),
            hidden_size=settings.hidden,
            mlp_dim=4 * settings.hidden,
            num_layers=settings.layers,
            num_heads=settings.heads,
            dropout_rate=settings.dropout,
            spatial_dims=len(size),
        )
        self.project = nn.Linear(settings.hidden, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        hidden = cast("torch.Tensor", self.network(fields["image"])[0])  # (B, N, hidden)
        values = self.norm(self.project(hidden))  # (B, N, D)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
