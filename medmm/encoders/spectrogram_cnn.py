"""A residual network over spectrograms, leads as channels: the last feature map, place by place, as tokens.

Sources: He et al. 2016, Deep Residual Learning; Hershey et al. 2017, CNN Architectures for Large-Scale Audio Classification
(networks of images over log-mel spectrograms). Group norms as in the encoders of images.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from medmm.encoders.adapted import Adapted, SignalMap
from medmm.encoders.base import SignalEncoderSettings
from medmm.encoders.convolutional import RESNET_STAGES, group_norm
from medmm.encoders.residual import residual_network
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError

REDUCTION = 32
"""Bands, and frames, that become one token."""


class SpectrogramCNN(SignalEncoderSettings):
    """For sounds: which pitches, how loud, when."""

    axes: ClassVar[frozenset[int]] = frozenset({2})

    name: Literal["spectrogram_cnn"] = "spectrogram_cnn"
    """Which one."""

    channels: int = Field(16, ge=8, multiple_of=8)
    """Channels of the first stage; each of the three that follow has twice as many."""

    depth: int = Field(1, ge=1)
    """Residual blocks of each stage."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout of the last feature map."""

    def build(self, width: int, leads: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The signal is no spectrogram, or has fewer bands or frames than become one token.
        """
        if len(size) != 2 or min(size) < REDUCTION:
            raise ConfigError(
                f"size {tuple(size)} is not a spectrogram of at least {REDUCTION} bands and {REDUCTION} frames: "
                "take more bands, a shorter hop or a longer segment"
            )
        backbone = residual_network("basic", (self.depth,) * len(RESNET_STAGES), self.channels, leads, 2)
        group_norm(backbone)
        backbone.append(nn.Dropout(self.dropout))
        return SignalMap(backbone, self.channels << (len(RESNET_STAGES) - 1), width, RESNET_STAGES, Tuning())
