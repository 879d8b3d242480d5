"""The Swin transformer of MONAI, the encoder of its SwinUNETR: attention in windows that shift, coarser from stage to stage.

Sources: Liu et al. 2021, Swin Transformer; Hatamizadeh et al. 2022, Swin UNETR.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field

from medmm.encoders.adapted import Adapted, all_real
from medmm.encoders.pretrainable import PretrainableImage
from medmm.errors import ConfigError
from medmm.types import Tokens

STAGES = ("layers1", "layers2", "layers3", "layers4")
HALVINGS = 2 ** len(STAGES)  # each stage halves every side
HEAD_WIDTH = 16


class Swin(PretrainableImage):
    """Local attention: for large images and volumes, where attention between all patches costs too much."""

    name: Literal["swin"] = "swin"
    """Which one."""

    patch: int = Field(2, ge=1)
    """Side of a patch in pixels; every side of the image is a multiple of 16 patches."""

    window: int = Field(7, ge=2)
    """Side of a window in patches; no side of the image is smaller."""

    hidden: int = Field(48, ge=16, multiple_of=16)
    """Width of the first stage; each that follows is twice as wide. 48 is that of SwinUNETR's pretrained weights."""

    depth: int = Field(2, ge=1)
    """Blocks in each of the four stages."""

    stochastic_depth: float = Field(0.1, ge=0, lt=1)
    """Rate at which the last block is left out in training; it falls towards the first one."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The image does not fit patch and window.
        """
        from monai.networks.nets.swin_unetr import SwinTransformer

        step, least = self.patch * HALVINGS, self.patch * self.window
        if any(side % step or side < least for side in size):
            raise ConfigError(
                f"size {tuple(size)} is not a multiple of {HALVINGS} patches of {self.patch}, or smaller than a window of "
                f"{self.window} patches: give sides that are a multiple of {step} and at least {least}, or change the two"
            )
        backbone = SwinTransformer(
            in_chans=channels,
            embed_dim=self.hidden,
            window_size=(self.window,) * len(size),
            patch_size=(self.patch,) * len(size),
            depths=(self.depth,) * len(STAGES),
            num_heads=[self.hidden * 2**stage // HEAD_WIDTH for stage in range(len(STAGES))],
            drop_path_rate=self.stochastic_depth,
            spatial_dims=len(size),
        )
        return _Windows(backbone, self.hidden * HALVINGS, width, STAGES, self.tuning)


class _Windows(Adapted):
    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        return all_real(self.backbone(fields["image"])[-1].flatten(2).transpose(1, 2))
