"""Residual networks, from the image to the last feature map. B studies, C channels.

Layer by layer and name by name those of MONAI, so weights made with either fit the other and give the same numbers
(`tests/test_encoder_networks.py`). They stand here because `import monai` takes longer than scoring a hundred studies.

Source:
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016: blocks, shortcuts A and B, the stride of a bottleneck
    in its middle (as in the authors' later networks).
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}

EXPANSION = {"basic": 1, "bottleneck": 4}
"""Kind of a block -> its channels at the end over those within."""

STEM = 7
"""Side of the first kernel."""


class Block(nn.Module):
    """Two convolutions of side 3, or one between two of side 1, beside a shortcut.

    Args:
        kind: `basic` or `bottleneck`.
        before: Channels that come in.
        planes: Channels within.
        stride: Of the first convolution of side 3.
        dimensions: Of the image, 2 or 3.
        downsample: The shortcut; None hands the image on as it is.
    """

    def __init__(
        self, kind: str, before: int, planes: int, stride: int, dimensions: int, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        convolution, norm = CONVOLUTIONS[dimensions], NORMS[dimensions]
        after = planes * EXPANSION[kind]
        if kind == "basic":
            self.conv1 = convolution(before, planes, 3, stride=stride, padding=1, bias=False)
            self.bn1 = norm(planes)
            self.act = nn.ReLU(inplace=True)
            self.conv2 = convolution(planes, planes, 3, padding=1, bias=False)
            self.bn2 = norm(planes)
            self.conv3 = None
        else:
            self.conv1 = convolution(before, planes, 1, bias=False)
            self.bn1 = norm(planes)
            self.conv2 = convolution(planes, planes, 3, stride=stride, padding=1, bias=False)
            self.bn2 = norm(planes)
            self.conv3 = convolution(planes, after, 1, bias=False)
            self.bn3 = norm(after)
            self.act = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Give (B, C, ...)."""
        out: torch.Tensor = self.bn2(self.conv2(self.act(self.bn1(self.conv1(image)))))
        if self.conv3 is not None:
            out = self.bn3(self.conv3(self.act(out)))
        out += image if self.downsample is None else self.downsample(image)
        given: torch.Tensor = self.act(out)
        return given


class PaddedShortcut(nn.Module):
    """Shortcut A: every so many positions, with channels of zeros added. Gradient goes through, which that of MONAI stops."""

    def __init__(self, planes: int, stride: int, dimensions: int) -> None:
        super().__init__()
        self.planes = planes
        self.places = (slice(None), slice(None), *[slice(None, None, stride)] * dimensions)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Give (B, planes, ...)."""
        kept = values[self.places]
        return functional.pad(kept, (0, 0) * (kept.ndim - 2) + (0, self.planes - kept.shape[1]))


def residual_network(
    kind: str,
    layers: Sequence[int],
    planes: int,
    channels: int,
    dimensions: int,
    shortcut: Literal["A", "B"] = "B",
    *,
    kernel: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
) -> nn.Sequential:
    """Build a network with fresh weights.

    Args:
        kind: Of its blocks, `basic` or `bottleneck`.
        layers: Blocks of each of the four stages.
        planes: Channels within the first stage; each later one has twice as many.
        channels: Of the image.
        dimensions: Of the image, 2 or 3.
        shortcut: How one gets more channels: A by zeros, B by a convolution.
        kernel: Sides of the first convolution; 7 where left out.
        stride: Of the first convolution; 2 where left out.
    """
    convolution, norm = CONVOLUTIONS[dimensions], NORMS[dimensions]
    sides, steps = tuple(kernel or (STEM,) * dimensions), tuple(stride or (2,) * dimensions)
    around = tuple(side // 2 for side in sides)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv1"] = convolution(channels, planes, sides, steps, around, bias=False)  # type: ignore[arg-type]
    parts["bn1"] = norm(planes)
    parts["act"] = nn.ReLU(inplace=True)
    parts["maxpool"] = POOLS[dimensions](3, stride=2, padding=1)
    before = planes
    for stage, count in enumerate(layers):
        within, step = planes << stage, 1 if stage == 0 else 2
        after = within * EXPANSION[kind]
        blocks = []
        for number in range(count):
            stepping = step if number == 0 else 1
            downsample: nn.Module | None = None
            if stepping != 1 or before != after:
                downsample = (
                    PaddedShortcut(after, stepping, dimensions)
                    if shortcut == "A"
                    else nn.Sequential(convolution(before, after, 1, stride=stepping), norm(after))
                )
            blocks.append(Block(kind, before, within, stepping, dimensions, downsample))
            before = after
        parts[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    network = nn.Sequential(parts)
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return network
