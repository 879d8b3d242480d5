"""Random convolution kernels that never learn, and what a linear map makes of them: strong where there are few patients.

Sources: Dempster et al. 2020, ROCKET (random kernels; share of positive values and maximum as features); Dempster et al. 2021,
MiniRocket (its 84 kernels of nine samples, its dilations, its subsets of leads). Two things differ, so that no kernel needs the
training data and every sample has a gradient. MiniRocket takes its thresholds from responses to training signals; here a
response is divided by its root mean square, and thresholds are quantiles of the standard normal distribution: what a kernel
gives for white noise is normal, so they part noise at these shares, and of any signal they ask for its shape and not for its
size, which the maximum keeps. The step at a threshold is a steep sigmoid.

Letters: B studies, L leads, T samples, K kernels of a dilation, G dilations, P places, H features, D width.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.encoders.adapted import Adapted, all_real
from medmm.encoders.base import SignalEncoderSettings
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.types import Tokens

TAPS = 9
"""Samples of a kernel."""

HIGH = 3
"""How many of them weigh 2; the others weigh -1, so that a constant has no response."""

MOST_LEADS = 9
"""Of one kernel."""

STRIDE = 2
"""Samples from place to place. Each sample is still read, by the kernels without dilation."""

STEP = 0.1
"""Width of the step at a threshold, in root mean squares of a response."""

OUTERMOST = 0.02
"""Shares at which thresholds begin and, counted from above, end."""

GOLDEN = (5**0.5 - 1) / 2
"""Steps of this size, without the whole numbers, fill 0 to 1 evenly however many there are."""

FLAT = 1e-3
"""Response that counts as none, in spreads of a lead."""

LEAST_SPREAD = 0.01
"""Of a feature, so that one which is the same in all studies is not blown up."""


class Rocket(SignalEncoderSettings):
    """Hundreds of fixed kernels of many widths, summed up over time: strong where a few hundred patients train nothing else."""

    name: Literal["rocket"] = "rocket"
    """Which one."""

    dilations: int = Field(8, ge=1)
    """Most distances between the nine samples of a kernel, from 1 to as wide as the signal; 84 kernels each, of which each
    gives two features."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout of the features."""

    seed: int = Field(0, ge=0)
    """By which the leads of each kernel are drawn."""

    augment: bool = False
    """Whether features are computed anew in every epoch, from augmented signals. Else they are computed once and kept, and an
    epoch takes no time."""

    def build(self, width: int, leads: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The signal is no trace, or shorter than a kernel.
        """
        if len(size) != 1 or size[0] < TAPS:
            raise ConfigError(
                f"encoder rocket takes traces of at least {TAPS} samples, not {tuple(size)}: lengthen the segment"
            )
        kernels = _Kernels(leads, size[0], self.dilations, self.seed)
        return _Rocket(kernels, width, self.dropout, Tuning(learn="all" if self.augment else "none"))


class _Rocket(Adapted):
    def __init__(self, kernels: "_Kernels", width: int, dropout: float, tuning: Tuning) -> None:
        super().__init__(kernels, kernels.features, width, (), tuning)
        self.project = nn.Sequential(Standardised(kernels.features), nn.Dropout(dropout), nn.Linear(kernels.features, width))

    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        return all_real(self.backbone(fields["signal"])[:, None])  # (B, 1, H)


class _Kernels(nn.Module):
    """Signals (B, L, T) -> features (B, H): of each kernel the share of places above its threshold, and its maximum.

    All that a seed has drawn is kept with the weights of a network.
    """

    weight: torch.Tensor
    threshold: torch.Tensor

    def __init__(self, leads: int, samples: int, dilations: int, seed: int) -> None:
        super().__init__()
        widest = (samples - 1) / (TAPS - 1)
        steps = range(dilations)
        self.dilations = sorted({int(widest ** (step / max(1, dilations - 1)) + 1e-9) for step in steps})
        shapes = _shapes()  # (K, TAPS)
        groups = len(self.dilations)
        generator = torch.Generator().manual_seed(seed)
        mixed = _mixtures(groups * len(shapes), leads, generator)  # (G * K, L)
        share = OUTERMOST + (1 - 2 * OUTERMOST) * (torch.arange(1, len(mixed) + 1).double() * GOLDEN % 1)
        threshold = torch.special.ndtri(share).float()
        self.register_buffer("weight", mixed.view(groups, -1, leads, 1) * shapes[:, None])  # (G, K, L, TAPS)
        self.register_buffer("threshold", threshold.view(groups, -1, 1))  # (G, K, 1)
        self.features = 2 * len(mixed)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        features = []
        for dilation, weight, threshold in zip(self.dilations, self.weight, self.threshold, strict=True):
            around = dilation * (TAPS // 2)
            response = functional.conv1d(signal, weight, stride=STRIDE, padding=around, dilation=dilation).float()  # (B, K, P)
            size = (response.square().mean(2, keepdim=True) + FLAT**2).sqrt()
            above = torch.sigmoid((response / size - threshold) / STEP)
            features += [above.mean(2), response.amax(2)]
        return torch.cat(features, 1)


class Standardised(nn.Module):
    """Features (..., H) less their mean, over their spread: of all studies met in training, not of those in a batch.

    What was met is counted with the weights and stands still in evaluation. Without training features pass as they are.
    """

    seen: torch.Tensor
    mean: torch.Tensor
    squares: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("squares", torch.zeros(features))  # summed, of what is left without the mean

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Give (..., H)."""
        if self.training:
            self._meet(features.detach().float().flatten(0, -2))
        spread = (self.squares / self.seen.clamp(min=1)).sqrt().clamp(min=LEAST_SPREAD)
        return (features - self.mean) / torch.where(self.seen > 0, spread, 1.0)

    def _meet(self, features: torch.Tensor) -> None:
        """Add (S, H) to what was met (Chan et al. 1983, Algorithms for Computing the Sample Variance)."""
        count = len(features)
        if count == 0:
            return
        mean = features.mean(0)
        away, total = mean - self.mean, self.seen + count
        self.squares += (features - mean).square().sum(0) + away.square() * (self.seen * count / total)
        self.mean += away * (count / total)
        self.seen += count


def _shapes() -> torch.Tensor:
    """Give the 84 kernels (K, TAPS), of length 1: each choice of three samples that weigh 2 among six that weigh -1."""
    places = list(combinations(range(TAPS), HIGH))
    shapes = torch.full((len(places), TAPS), -1.0).scatter_(1, torch.tensor(places), 2.0)
    return functional.normalize(shapes, dim=1)


def _mixtures(count: int, leads: int, generator: torch.Generator) -> torch.Tensor:
    """Draw how leads are added (count, L): one or some, few more often than many, upright or turned over; of length 1."""
    most = min(leads, MOST_LEADS)
    added = torch.pow(float(most + 1), torch.rand(count, 1, generator=generator)).floor()
    place = torch.rand(count, leads, generator=generator).argsort(1).argsort(1)
    sign = 2.0 * torch.randint(0, 2, (count, leads), generator=generator) - 1
    return functional.normalize(torch.where(place < added, sign, 0.0), dim=1)
