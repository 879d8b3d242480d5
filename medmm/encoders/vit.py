"""The vision transformer of MONAI: one token a patch.

Source: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field

from medmm.encoders.adapted import Adapted, all_real
from medmm.encoders.pretrainable import PretrainableImage
from medmm.errors import ConfigError
from medmm.types import Tokens


class VisionTransformer(PretrainableImage):
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

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The image is not made of whole patches.
        """
        from monai.networks.nets.vit import ViT

        if any(side % self.patch for side in size):
            raise ConfigError(f"size {tuple(size)} is not a multiple of patch {self.patch}: change one of the two")
        backbone = ViT(
            in_channels=channels,
            img_size=tuple(size),
            patch_size=(self.patch,) * len(size),
            hidden_size=self.hidden,
            mlp_dim=4 * self.hidden,
            num_layers=self.layers,
            num_heads=self.heads,
            dropout_rate=self.dropout,
            spatial_dims=len(size),
        )
        return _Patches(backbone, self.hidden, width, [f"blocks.{i}" for i in range(self.layers)], self.tuning)


class _Patches(Adapted):
    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        return all_real(self.backbone(fields["image"])[0])
