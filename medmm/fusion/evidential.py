"""Evidence theory: each input believes, disbelieves or does not know; Dempster's rule combines them and tells of conflict.

Letters: B studies, D width, I inputs, C classes.

Source:
    Han et al. 2021, Trusted Multi-View Classification (reduced Dempster's rule); Sensoy, Kaplan & Kandemir 2018, Evidential
    Deep Learning; Jøsang 2016, Subjective Logic (opinions, base rate).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given, mean_of_present
from medmm.types import CLASS_TASKS, Task

BASE_RATE = 0.5
"""Share of what nobody knows that counts for a class."""

FIRST_EVIDENCE = 8.0
"""Imagined studies on which an input rests its verdict before training; two more say that nothing is known."""

LEAST = 1e-12
"""Keeps the logarithm of a probability finite."""


class EvidentialSettings(FusionSettings):
    """Decides by itself, and says how far the inputs of a study contradict each other.

    Every class is a question of its own, answered yes or no, whether the classes exclude each other or not.
    """

    tasks: ClassVar[tuple[Task, ...]] = CLASS_TASKS

    name: Literal["evidential"] = "evidential"
    """Which one."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Evidential(width, inputs)


@dataclass(frozen=True)
class Opinion:
    """How a mass of 1 is shared out, (B, C) each.

    Attributes:
        belief: For the class.
        disbelief: Against it.
        uncertainty: Not known.
    """

    belief: torch.Tensor
    disbelief: torch.Tensor
    uncertainty: torch.Tensor


class Evidential(Fusion):
    """The own logits of an input say which way its evidence points, its tokens say how much evidence there is."""

    def __init__(self, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        layers = [nn.Linear(width, 1) for _ in self.inputs]
        for layer in layers:
            nn.init.constant_(layer.bias, FIRST_EVIDENCE)
        self.amount = nn.ModuleList(layers)

    def opinions(self, given: Given) -> list[Opinion]:
        """Give the opinion of each input; an absent input knows nothing."""
        made = []
        for i, layer in enumerate(self.amount):
            amount = functional.softplus(layer(given.pooled[:, i]).float())  # (B, 1)
            share = given.own[:, i].float().sigmoid()  # (B, C)
            made.append(opinion(torch.where(given.has[:, [i]], amount, 0.0), share))
        return made

    def fuse(self, given: Given) -> Fused:
        """Give the mean of the present inputs as Z (B, D), the logits (B, C) of the combined opinion, and the conflict."""
        first, *others = self.opinions(given)
        agreed = torch.ones_like(first.belief)  # (B, C)
        for other in others:
            first, conflict = combine(first, other)
            agreed = agreed * (1 - conflict)
        return Fused(
            mean_of_present(given.pooled, given.has), logits(first), conflict=(1 - agreed).amax(1).clamp(min=0.0, max=1.0)
        )


def opinion(amount: torch.Tensor, share: torch.Tensor) -> Opinion:
    """Make an opinion from an amount of evidence (B, 1) and the share (B, C) of it that speaks for each class."""
    whole = amount + 2  # one for each answer, as in a Beta distribution that starts even
    return Opinion(amount * share / whole, amount * (1 - share) / whole, (2 / whole).expand_as(share))


def combine(one: Opinion, other: Opinion) -> tuple[Opinion, torch.Tensor]:
    """Give the combined opinion by Dempster's rule, and the mass (B, C) on which the two contradict each other."""
    belief = one.belief * other.belief + one.belief * other.uncertainty + one.uncertainty * other.belief
    disbelief = one.disbelief * other.disbelief + one.disbelief * other.uncertainty + one.uncertainty * other.disbelief
    uncertainty = one.uncertainty * other.uncertainty
    whole = belief + disbelief + uncertainty  # 1 less the conflict, without the cancellation; above 0 while none is certain
    conflict = one.belief * other.disbelief + one.disbelief * other.belief
    return Opinion(belief / whole, disbelief / whole, uncertainty / whole), conflict


def logits(said: Opinion) -> torch.Tensor:
    """Give the logits (B, C) of the probability that an opinion amounts to."""
    probability = said.belief + BASE_RATE * said.uncertainty
    against = said.disbelief + (1 - BASE_RATE) * said.uncertainty
    return probability.clamp(min=LEAST).log() - against.clamp(min=LEAST).log()
