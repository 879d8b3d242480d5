"""A residual network over time: the last feature map, place by place, as tokens.

Sources: Ribeiro et al. 2020, Automatic diagnosis of the 12-lead ECG using a deep neural network; Hannun et al. 2019,
Cardiologist-level arrhythmia detection: long kernels, time that is much shorter from stage to stage, dropout. Smaller than
theirs, as cohorts of a hospital are; norms and the shortening of time are those of `over_time`.

Letters: B studies, L leads, T samples, C channels.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.adapted import Adapted, SignalMap
from medmm.encoders.base import SignalEncoderSettings
from medmm.encoders.over_time import GROUPS, Convolution, check_kernel, check_trace, shorter
from medmm.encoders.tuning import Tuning

STEM_STRIDE = 2
"""Of the first convolution."""


class ResNet1D(SignalEncoderSettings):
    """Learns waves and their sequence; wants a thousand patients or more."""

    name: Literal["resnet1d"] = "resnet1d"
    """Which one."""

    channels: int = Field(32, ge=8, multiple_of=8)
    """Channels of the first stage; each that follows has as many more."""

    stages: int = Field(4, ge=1, le=8)
    """Residual blocks; each makes time shorter."""

    stride: int = Field(4, ge=2)
    """How many times shorter."""

    kernel: int = Field(9, ge=3)
    """Samples of a kernel; odd."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout within the blocks."""

    def build(self, width: int, leads: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The kernel is even, or the signal is no trace or shorter than what becomes one token.
        """
        check_kernel(self.kernel)
        check_trace(tuple(size), STEM_STRIDE * self.stride**self.stages, self.stages, self.stride)
        parts: list[nn.Module] = [Convolution(leads, self.channels, self.kernel, STEM_STRIDE)]
        before = self.channels
        for stage in range(1, self.stages + 1):
            parts.append(_Block(before, stage * self.channels, self.kernel, self.stride, self.dropout))
            before = stage * self.channels
        parts += [nn.GroupNorm(GROUPS, before), nn.ReLU()]
        return SignalMap(nn.Sequential(*parts), before, width, [str(stage) for stage in range(1, self.stages + 1)], Tuning())


class _Block(nn.Module):
    """Two convolutions beside a shortcut, norm and activation before each; time is shortened between the two."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(GROUPS, before),
            nn.ReLU(),
            nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False),
            shorter(stride),
            nn.GroupNorm(GROUPS, after),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv1d(after, after, kernel, padding=kernel // 2, bias=False),
        )
        widen = nn.Identity() if before == after else nn.Conv1d(before, after, 1, bias=False)
        self.shortcut = nn.Sequential(shorter(stride), widen)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.shortcut(values) + self.inner(values)
        return added  # (B, C, T / stride)
