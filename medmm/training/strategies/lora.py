"""Low-rank adaptation: beside each layer of a pretrained backbone a change of low rank learns, the layer itself stays.

Source: Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models.
"""

from typing import Literal

from pydantic import Field

from medmm.encoders.tuning import Tuning
from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, StrategySettings
from medmm.training.strategies.supervised import Labelled


class LoRA(StrategySettings):
    """Few weights learn, and near what fine-tuning of all of them reaches: for large backbones and small memory."""

    name: Literal["lora"] = "lora"
    """Which one."""

    rank: int = Field(8, ge=1)
    """Rank of the changes."""

    alpha: int = Field(16, ge=1)
    """Their weight is alpha / rank."""

    @property
    def tuning(self) -> Tuning:
        """Let adapters alone learn."""
        return Tuning(learn="lora", rank=self.rank, alpha=self.alpha)

    def build(self, model: DiagnosisModel, situation: Situation) -> Labelled:
        """Make the objective that trains `model`."""
        return Labelled(model)
