"""Convolutions that find waves, then a recurrent network that reads them in order, from both ends.

Sources: Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014, Learning Phrase Representations (GRU);
Oh et al. 2018, Automated diagnosis of arrhythmia using combination of CNN and LSTM techniques with variable length heart beats.

Letters: B studies, L leads, T samples, N places, C channels.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.adapted import Adapted, all_real
from medmm.encoders.base import SignalEncoderSettings
from medmm.encoders.over_time import Convolution, check_kernel, check_trace
from medmm.encoders.tuning import Tuning
from medmm.types import Tokens


class CNNLSTM(SignalEncoderSettings):
    """For rhythms: what follows what, and after how long."""

    name: Literal["cnn_lstm"] = "cnn_lstm"
    """Which one."""

    cell: Literal["lstm", "gru"] = "lstm"
    """LSTM has a longer memory, GRU fewer weights."""

    channels: int = Field(32, ge=8, multiple_of=8)
    """Channels of the first convolution; each that follows has as many more."""

    stages: int = Field(3, ge=1, le=8)
    """Convolutions; each makes time shorter."""

    stride: int = Field(4, ge=2)
    """How many times shorter."""

    kernel: int = Field(9, ge=3)
    """Samples of a kernel; odd."""

    hidden: int = Field(64, ge=8)
    """Width of the recurrent network in each direction."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout before and after the recurrent network."""

    def build(self, width: int, leads: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The kernel is even, or the signal is no trace or shorter than what becomes one token.
        """
        check_kernel(self.kernel)
        check_trace(tuple(size), self.stride**self.stages, self.stages, self.stride)
        channels = [leads, *(stage * self.channels for stage in range(1, self.stages + 1))]
        waves = nn.Sequential(
            *(Convolution(channels[i], channels[i + 1], self.kernel, self.stride) for i in range(self.stages)),
            nn.Dropout(self.dropout),
        )
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[self.cell]
        order = kind(channels[-1], self.hidden, batch_first=True, bidirectional=True)
        backbone = nn.ModuleDict({"waves": waves, "order": order, "dropout": nn.Dropout(self.dropout)})
        return _Read(backbone, 2 * self.hidden, width, ["order"], Tuning())


class _Read(Adapted):
    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        waves, order, dropout = (self.backbone.get_submodule(name) for name in ("waves", "order", "dropout"))
        places = waves(fields["signal"]).transpose(1, 2)  # (B, N, C)
        return all_real(dropout(order(places)[0]))  # (B, N, 2 hidden)
