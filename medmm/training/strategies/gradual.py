"""Gradual unfreezing: what was pretrained learns later than what follows it, stage by stage from the output.

Source: Howard and Ruder 2018, Universal Language Model Fine-tuning for Text Classification, section 3.3.
"""

from typing import Literal

from pydantic import Field

from medmm.encoders.tuning import Tuning
from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, StrategySettings
from medmm.training.strategies.supervised import Labelled


class Gradual(StrategySettings):
    """First what follows the pretrained parts learns, then one more stage of them every few epochs.

    An encoder from another run that has no stages joins as a whole.
    """

    name: Literal["gradual"] = "gradual"
    """Which one."""

    stage_epochs: int = Field(2, ge=1)
    """Epochs after which one more stage learns."""

    @property
    def tuning(self) -> Tuning:
        """Let backbones learn stage by stage."""
        return Tuning(learn="gradual", stage_epochs=self.stage_epochs)

    def build(self, model: DiagnosisModel, situation: Situation) -> "Unfreezing":
        """Make the objective that trains `model`."""
        return Unfreezing(model, situation, self.stage_epochs)


class Unfreezing(Labelled):
    """Keeps encoders from another run as they are in the first epochs."""

    def __init__(self, model: DiagnosisModel, situation: Situation, stage_epochs: int) -> None:
        super().__init__(model)
        self._waiting = [model.encoders[name] for name in sorted(situation.taken)]
        self._stage_epochs = stage_epochs

    def begin_epoch(self, epoch: int) -> None:
        """Let those learn whose time has come."""
        for encoder in self._waiting:
            encoder.requires_grad_(epoch >= self._stage_epochs)
        super().begin_epoch(epoch)
