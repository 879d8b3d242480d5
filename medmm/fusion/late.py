"""Late fusion: each input decides alone, and the decisions are combined.

Letters: B studies of a batch, S validation studies, D width, I inputs, K outputs of a head, T numbers of a target.

Source:
    Wolpert 1992, Stacked Generalization; Breiman 1996, Stacked Regressions (weights of at least 0);
    Guo et al. 2017, On Calibration of Modern Neural Networks (temperatures).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from medmm.errors import DataError
from medmm.fusion.base import Fused, Fusion, FusionSettings, Given, mean_of_present
from medmm.losses.base import Loss
from medmm.types import Array

TEMPERATURES = (0.2, 20.0)
"""Where a temperature is sought: logits that separate all studies ask for 0, logits that say nothing for infinity."""

FEWEST_FOR_A_TEMPERATURE = 10
"""Validation studies with an input, below which its temperature stays 1."""

FEWEST_FOR_WEIGHTS = 20
"""Validation studies with several inputs, below which the inputs weigh alike."""

RIDGE = 10.0
"""Pull of the weights towards equal ones: about as strong as so many studies."""

NOTHING = 1e-3
"""A smaller part of all weights than this says nothing about inputs that stand alone."""


class LateSettings(FusionSettings):
    """Every input has its own verdict, on its own temperature; what joins them is fitted on the validation studies."""

    apart: ClassVar[bool] = True

    name: Literal["late"] = "late"
    """Which one."""

    modality_dropout: float = Field(0.0, ge=0, lt=1)
    """Chance to hide an input of a training study; of no use here, for no input learns to rely on another."""

    combine: Literal["mean", "stacked"] = "stacked"
    """Mean of the present inputs' logits, or a sum with weights fitted on the validation studies."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Late(inputs, self.combine)


class Late(Fusion):
    """Logits as a weighted sum of the inputs' own; what weighs them is fitted after training, not learned in it."""

    temperature: torch.Tensor
    weight: torch.Tensor

    def __init__(self, inputs: Sequence[str], combine: Literal["mean", "stacked"]) -> None:
        super().__init__(inputs)
        self.combine = combine
        self.register_buffer("temperature", torch.ones(len(self.inputs)))
        self.register_buffer("weight", torch.full((len(self.inputs),), 1 / len(self.inputs)))

    def fuse(self, given: Given) -> Fused:
        """Give the mean of the present inputs as Z (B, D), and the combined logits (B, K)."""
        own = given.own / self.temperature[:, None]  # (B, I, K)
        logits = mean_of_present(own, given.has) if self.combine == "mean" else stacked(own, given.has, self.weight)
        return Fused(mean_of_present(given.pooled, given.has), logits)

    def calibrate(self, own: Array, has: Array, target: Array, criterion: Loss) -> None:
        """Fit temperatures, then weights, on validation studies; where these are too few, keep 1 and equal weights.

        Args:
            own: (S, I, K) logits of each input, freed from the weights of the loss; whatever where the input is absent.
            has: (S, I) bool, which inputs each study has.
            target: (S, T)
            criterion: Says how likely a target is, and whether logits have a temperature.

        Raises:
            DataError: A logit is missing or infinite.
        """
        if not np.isfinite(own[has]).all():
            raise DataError("a logit is missing or infinite: the model diverged; lower training.learning_rate and train again")
        own = np.where(has[..., None], own, 0.0).astype(np.float64)
        temperature = np.ones(len(self.inputs))
        if criterion.tempered:
            temperature[:] = [_temperature(own[there, i], target[there], criterion) for i, there in enumerate(has.T)]
        self.temperature.copy_(torch.from_numpy(temperature))
        if self.combine == "stacked":
            several = has.sum(1) > 1
            scaled = own[several] / temperature[:, None]
            self.weight.copy_(torch.from_numpy(_weights(scaled, has[several], target[several], criterion)))


def stacked(own: torch.Tensor, has: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Give the weighted sum (B, C) of the present inputs' logits (B, I, K).

    The weights (I,) of inputs that each know something of their own add up to more than 1, for evidence adds up. An input that
    stands alone counts as it is, with the weight 1; the weights of the inputs in between are scaled to a sum that grows from 1
    to that of all with the number of inputs. Where they are about nothing, the present inputs count alike.
    """
    count = has.sum(1, keepdim=True)  # (B, 1)
    whole = 1 + (weight.sum() - 1) * (count - 1) / max(1, has.shape[1] - 1)
    held = torch.where(has, weight, 0.0)  # (B, I)
    left = held.sum(1, keepdim=True)
    enough = left > NOTHING * weight.sum()
    scaled = held * whole / torch.where(enough, left, 1.0)
    return (torch.where(enough, scaled, has / count.clamp(min=1))[..., None] * own).sum(1)


def _temperature(logits: Array, target: Array, criterion: Loss) -> float:
    from scipy.optimize import minimize_scalar

    positives = target.sum(0)
    if len(target) < FEWEST_FOR_A_TEMPERATURE or not ((positives > 0) & (positives < len(target))).any():
        return 1.0
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(lambda log: _nll(logits / np.exp(log), target, criterion), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def _weights(own: Array, has: Array, target: Array, criterion: Loss) -> Array:
    """Give (I,) weights of at least 0 from (S, I, K) logits."""
    from scipy.optimize import minimize

    count = has.shape[1]
    alike = np.full(count, 1 / count)
    if len(target) < FEWEST_FOR_WEIGHTS:
        return alike
    logits, there = torch.from_numpy(own), torch.from_numpy(has)

    def loss(weight: Array) -> float:
        said = stacked(logits, there, torch.from_numpy(weight)).numpy()
        return _nll(said, target, criterion) + 0.5 * RIDGE * float(((count * weight - 1) ** 2).sum())

    return np.asarray(minimize(loss, alike, method="L-BFGS-B", bounds=[(0, None)] * count).x)


@torch.no_grad()
def _nll(logits: Array, target: Array, criterion: Loss) -> float:
    """Give the summed negative log-likelihood of (S, K) logits."""
    evidence = criterion.evidence(criterion.bind(torch.from_numpy(logits)))
    return float(criterion.likelihood(evidence, torch.from_numpy(target.astype(np.float64))).sum())
