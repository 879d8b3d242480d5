"""DenseNet-121, from the image to the last feature map. B studies, C channels.

Layer by layer and name by name that of MONAI, so weights made with either fit the other and give the same numbers
(`tests/test_encoder_networks.py`). It stands here because `import monai` takes longer than scoring a hundred studies.

Source:
    Huang et al., Densely Connected Convolutional Networks, CVPR 2017: table 1, growth of 32, bottlenecks of four times that,
    transitions that halve the channels.
"""

import torch
from torch import nn

from medmm.encoders.residual import CONVOLUTIONS, NORMS, POOLS, STEM

MEANS = {2: nn.AvgPool2d, 3: nn.AvgPool3d}

BLOCKS = (6, 12, 24, 16)
FIRST = 64
"""Channels of the first convolution."""
GROWTH = 32
"""Channels that each layer adds."""
BOTTLENECK = 4


class DenseLayer(nn.Module):
    """Adds channels to those that come in."""

    def __init__(self, before: int, dimensions: int) -> None:
        super().__init__()
        within = BOTTLENECK * GROWTH
        self.layers = nn.Sequential()
        self.layers.add_module("norm1", NORMS[dimensions](before))
        self.layers.add_module("relu1", nn.ReLU(inplace=True))
        self.layers.add_module("conv1", CONVOLUTIONS[dimensions](before, within, 1, bias=False))
        self.layers.add_module("norm2", NORMS[dimensions](within))
        self.layers.add_module("relu2", nn.ReLU(inplace=True))
        self.layers.add_module("conv2", CONVOLUTIONS[dimensions](within, GROWTH, 3, padding=1, bias=False))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Give (B, C + 32, ...)."""
        return torch.cat([image, self.layers(image)], 1)


def dense_network(channels: int, dimensions: int) -> nn.Sequential:
    """Build the network with fresh weights.

    Args:
        channels: Of the image.
        dimensions: Of the image, 2 or 3.
    """
    convolution, norm = CONVOLUTIONS[dimensions], NORMS[dimensions]
    network = nn.Sequential()
    network.add_module("conv0", convolution(channels, FIRST, STEM, stride=2, padding=STEM // 2, bias=False))
    network.add_module("norm0", norm(FIRST))
    network.add_module("relu0", nn.ReLU(inplace=True))
    network.add_module("pool0", POOLS[dimensions](3, stride=2, padding=1))
    have = FIRST
    for number, count in enumerate(BLOCKS, 1):
        block = nn.Sequential()
        for layer in range(1, count + 1):
            block.add_module(f"denselayer{layer}", DenseLayer(have, dimensions))
            have += GROWTH
        network.add_module(f"denseblock{number}", block)
        if number == len(BLOCKS):
            network.add_module(f"norm{number + 1}", norm(have))
            break
        transition = nn.Sequential()
        transition.add_module("norm", norm(have))
        transition.add_module("relu", nn.ReLU(inplace=True))
        transition.add_module("conv", convolution(have, have // 2, 1, bias=False))
        transition.add_module("pool", MEANS[dimensions](2, stride=2))
        network.add_module(f"transition{number}", transition)
        have //= 2
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight)
    return network
