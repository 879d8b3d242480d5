"""Inputs of one study shall say the same, inputs of two patients something else.

Letters: B studies, D width, E width of the projections, S studies of a table.

Sources: Zhang et al. 2022, Contrastive Learning of Medical Visual Representations from Paired Images and Text (ConVIRT);
Radford et al. 2021, Learning Transferable Visual Models from Natural Language Supervision (CLIP).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.errors import ConfigError
from medmm.fusion.base import pooled, present
from medmm.inputs import Inputs
from medmm.training.pretraining.base import Encoders, MethodSettings, Part
from medmm.types import Batch, Tokens

SHARPEST = 100.0
"""Largest scale of the similarities, as CLIP bounds it."""


class Contrastive(MethodSettings):
    """Tell which image, table and note belong to one study, for every pair of inputs, among the studies that have both."""

    name: Literal["contrastive"] = "contrastive"
    """Which one."""

    views: ClassVar[int] = 1

    projection: int = Field(128, ge=8)
    """Width in which inputs are compared; the projections are thrown away afterwards."""

    temperature: float = Field(0.07, gt=0.01, le=1)
    """By which similarities are divided at first; it is learned."""

    def parts(self, inputs: Inputs, width: int, patients: Sequence[int]) -> Mapping[str, Part]:
        """Build the loss.

        Raises:
            ConfigError: The run has a single input, so there is no pair.
        """
        if len(inputs) < 2:
            raise ConfigError(
                f"pretraining.method: contrastive compares inputs, and the run has {next(iter(inputs))!r} alone: add an input, "
                "or choose masked"
            )
        return {"contrastive": Alignment(self, sorted(inputs), width, patients)}


class Alignment(Part):
    """A projection for each input, and one temperature.

    Args:
        settings: Width and temperature.
        names: Of the inputs.
        width: D.
        patients: (S,) number of each study's patient.
    """

    patient: torch.Tensor

    def __init__(self, settings: Contrastive, names: Sequence[str], width: int, patients: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, settings.projection, bias=False))
                for name in names
            }
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.temperature)))
        self.register_buffer("patient", torch.tensor(patients, dtype=torch.long), persistent=False)

    def loss(self, encoders: Encoders, batch: Batch, chance: torch.Generator | None) -> torch.Tensor:
        """Give the mean over the pairs of inputs that at least two patients of the batch have.

        In training it compares studies as they look after a strong augmentation, lest it learns each of them by heart.
        """
        projected = self.project(encoders.encode(batch.views[0] if batch.views else batch.inputs, batch.present))
        patient = self.patient[batch.rows.to(self.patient.device)]
        scale = self.log_scale.exp().clamp(max=SHARPEST)
        losses = []
        for (first, has_first), (second, has_second) in combinations(projected.values(), 2):
            both = has_first & has_second
            own = patient[both]
            if bool((own != own[:1]).any()):
                losses.append(info_nce(first[both], second[both], scale, own))
        return torch.stack(losses).mean() if losses else 0.0 * self.log_scale

    def project(self, tokens: Mapping[str, Tokens]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Give each input as unit vectors (B, E), and (B,) whether it is there."""
        return {
            name: (functional.normalize(head(pooled(tokens[name])).float(), dim=1), present(tokens[name]))
            for name, head in self.heads.items()
        }


def info_nce(first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor, patient: torch.Tensor) -> torch.Tensor:
    """Give the symmetric InfoNCE loss: the cross-entropy of finding each study among the others, both ways, averaged.

    Args:
        first: (B, E) unit vectors of one input.
        second: (B, E) those of another, study by study.
        scale: () factor on the similarities, the inverse of the temperature.
        patient: (B,) studies of one patient are not each other's negatives.
    """
    similarity = scale * first @ second.T  # (B, B)
    own = torch.eye(len(patient), dtype=torch.bool, device=patient.device)
    similarity = similarity.masked_fill((patient[:, None] == patient) & ~own, -torch.inf)
    truth = torch.arange(len(patient), device=patient.device)
    return (functional.cross_entropy(similarity, truth) + functional.cross_entropy(similarity.T, truth)) / 2
