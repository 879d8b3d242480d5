"""Contrastive and masked at once: what inputs share, and what each of them says by itself.

Source: Singh et al. 2022, FLAVA: A Foundational Language And Vision Alignment Model.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from medmm.inputs import Inputs
from medmm.training.pretraining.base import MethodSettings, Part
from medmm.training.pretraining.contrastive import Contrastive
from medmm.training.pretraining.masked import Masked


class Both(MethodSettings):
    """The sum of both losses."""

    name: Literal["both"] = "both"
    """Which one."""

    views: ClassVar[int] = Contrastive.views

    contrastive: Contrastive = Contrastive()
    """The one."""

    masked: Masked = Masked()
    """The other."""

    masked_weight: float = Field(1.0, gt=0)
    """Weight of the masked loss; the contrastive one has 1."""

    def parts(self, inputs: Inputs, width: int, patients: Sequence[int]) -> Mapping[str, Part]:
        """Build both losses.

        Raises:
            ConfigError: The inputs suit one of them not.
        """
        return {**self.contrastive.parts(inputs, width, patients), **self.masked.parts(inputs, width, patients)}

    def weight(self, part: str) -> float:
        """Give the weight of a part in the whole loss."""
        return self.masked_weight if part == "masked" else 1.0
