"""Convolutional image encoders from MONAI: the last feature map, position by position, as tokens.

Sources: Huang et al. 2017, Densely Connected Convolutional Networks; He et al. 2016, Deep Residual Learning. Both with the
group norm of Wu and He 2018 in place of the batch norm: a study is then encoded alike whatever stands beside it in the batch,
and a batch in which a single study has the image is no special case.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.base import ImageEncoderSettings
from medmm.types import Tokens

DENSENET121_CHANNELS = 1024
GROUPS = 8


class _Convolutional(nn.Module):
    """A feature extractor, then one linear map and a norm for each position of its last map."""

    def __init__(self, features: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        self.features = _group_normed(features)
        self.project = nn.Linear(channels, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        features = self.features(fields["image"]).flatten(2).transpose(1, 2)  # (B, N, channels)
        values = self.norm(self.project(features))  # (B, N, D)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))


class DenseNet121(ImageEncoderSettings):
    """DenseNet-121: strong on radiographs, few weights."""

    name: Literal["densenet121"] = "densenet121"
    """Which one."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> nn.Module:
        """Build the network."""
        from monai.networks.nets.densenet import DenseNet121 as Network

        network = Network(spatial_dims=len(size), in_channels=channels, out_channels=1)
        return _Convolutional(network.features, DENSENET121_CHANNELS, width)


class ResNet18(ImageEncoderSettings):
    """ResNet-18: the quickest of the convolutional encoders."""

    name: Literal["resnet18"] = "resnet18"
    """Which one."""

    channels: int = Field(64, ge=8, multiple_of=8)
    """Channels of the first stage; each of the three that follow has twice as many. 64 is the published network."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> nn.Module:
        """Build the network."""
        from monai.networks.nets.resnet import ResNet

        planes = [self.channels * factor for factor in (1, 2, 4, 8)]
        network = ResNet(
            "basic",
            [2, 2, 2, 2],
            planes,
            spatial_dims=len(size),
            n_input_channels=channels,
            feed_forward=False,
            conv1_t_stride=2,
        )
        stages = ["conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4"]
        return _Convolutional(nn.Sequential(*(getattr(network, stage) for stage in stages)), planes[-1], width)


def _group_normed(network: nn.Module) -> nn.Module:
    """Put a group norm in place of every batch norm; MONAI's ResNet hands its own `norm` to the first layer only."""
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(network, name, nn.GroupNorm(GROUPS, part.num_features))
        else:
            _group_normed(part)
    return network
