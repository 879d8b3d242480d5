"""Convolutional image encoders, those of MONAI: the last feature map, position by position, as tokens.

Sources: Huang et al. 2017, Densely Connected Convolutional Networks; He et al. 2016, Deep Residual Learning; Tan and Le 2019,
EfficientNet; Carreira and Zisserman 2017, Quo Vadis, Action Recognition? (inflated networks). From random weights all have the
group norm of Wu and He 2018 in place of the batch norm: a study is then encoded alike whatever stands beside it in the batch,
and a batch in which a single study has the image is no special case. With pretrained weights the batch norms stay, and with
them the statistics that they were pretrained with (Chen et al. 2019, Med3D, for the shortcuts of MedicalNet).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.adapted import Adapted, FeatureMap
from medmm.encoders.dense import dense_network
from medmm.encoders.pretrainable import PretrainableImage
from medmm.encoders.residual import residual_network
from medmm.errors import ConfigError
from medmm.types import Tokens

DENSENET121_CHANNELS = 1024
EFFICIENTNET_B0_CHANNELS = 1280
GROUPS = 8
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
EFFICIENTNET_PARTS = (
    "_conv_stem_padding",
    "_conv_stem",
    "_bn0",
    "_swish",
    "_blocks",
    "_conv_head_padding",
    "_conv_head",
    "_bn1",
)


class DenseNet121(PretrainableImage):
    """DenseNet-121: strong on radiographs, few weights."""

    name: Literal["densenet121"] = "densenet121"
    """Which one."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network."""
        return _feature_map(
            self, dense_network(channels, len(size)), DENSENET121_CHANNELS, width, [f"denseblock{i}" for i in (1, 2, 3, 4)]
        )


class ResNet18(PretrainableImage):
    """ResNet-18: the quickest of the convolutional encoders."""

    name: Literal["resnet18"] = "resnet18"
    """Which one."""

    channels: int = Field(64, ge=8, multiple_of=8)
    """Channels of the first stage; each of the three that follow has twice as many. 64 is the published network."""

    shortcut: Literal["A", "B"] | None = None
    """How a shortcut gets more channels: A by zeros, B by a convolution. Where left out, A for weights of volumes, which is how
    MedicalNet has it, else B."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network."""
        shortcut = self.shortcut or ("A" if self.weights is not None and len(size) == 3 else "B")
        backbone = residual_network("basic", (2, 2, 2, 2), self.channels, channels, len(size), shortcut)
        return _feature_map(self, backbone, 8 * self.channels, width, RESNET_STAGES)


class ResNet50(PretrainableImage):
    """ResNet-50: the network that most pretrained weights are of."""

    name: Literal["resnet50"] = "resnet50"
    """Which one."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network."""
        backbone = residual_network("bottleneck", (3, 4, 6, 3), 64, channels, len(size))
        return _feature_map(self, backbone, 4 * 8 * 64, width, RESNET_STAGES)


class I3ResNet152(PretrainableImage):
    """ResNet-152 inflated from 2D to volumes, as the CT backbones of Merlin and Astra are; made for their weights."""

    name: Literal["i3_resnet152"] = "i3_resnet152"
    """Which one."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The image is 2D.
        """
        if len(size) != 3:
            raise ConfigError("encoder i3_resnet152 takes volumes only: give size three sides, or choose resnet50")
        backbone = residual_network("bottleneck", (3, 8, 36, 3), 64, channels, 3, kernel=(3, 7, 7), stride=(1, 2, 2))
        return _feature_map(self, backbone, 4 * 8 * 64, width, RESNET_STAGES, HeadFirst)


class HeadFirst(FeatureMap):
    """Hands an image (B, K, R, A, S) on with the body's axis first, as networks inflated along it want it."""

    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        return super()._run({"image": fields["image"].permute(0, 1, 4, 2, 3)})


class EfficientNetB0(PretrainableImage):
    """EfficientNet-B0: the fewest multiplications of the convolutional encoders."""

    name: Literal["efficientnet"] = "efficientnet"
    """Which one."""

    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network."""
        from monai.networks.nets.efficientnet import EfficientNetBN

        network = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=len(size), in_channels=channels)
        parts = OrderedDict((name, getattr(network, name)) for name in EFFICIENTNET_PARTS)
        backbone = nn.Sequential(parts)
        backbone.add_module("_last_swish", network._swish)
        starts = [f"_blocks.{i}" for i in range(len(network._blocks))]
        return _feature_map(self, backbone, EFFICIENTNET_B0_CHANNELS, width, starts)


def _feature_map(
    settings: PretrainableImage,
    backbone: nn.Module,
    hidden: int,
    width: int,
    starts: Sequence[str],
    kind: type[FeatureMap] = FeatureMap,
) -> FeatureMap:
    if settings.weights is None:
        group_norm(backbone)
    return kind(backbone, hidden, width, starts, settings.tuning)


def group_norm(network: nn.Module) -> None:
    """Put a group norm in place of every batch norm within a network."""
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(network, name, nn.GroupNorm(GROUPS, part.num_features))
        else:
            group_norm(part)
