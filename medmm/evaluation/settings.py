"""How a run is judged."""

from typing import Annotated

from pydantic import Field

from medmm.evaluation.decision import DecisionSettings
from medmm.settings import Settings


class EvaluationSettings(Settings):
    """What is computed beside the scores themselves."""

    decision: DecisionSettings = DecisionSettings()
    """Where a probability becomes a diagnosis; chosen on the validation studies."""

    resamples: int = Field(2000, ge=100)
    """How often patients are drawn anew for an interval."""

    single_inputs: bool = True
    """Also train a model on each input alone, the fair rival of the fusion; hiding inputs from a fused model is not."""

    prevalences: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.01, 0.05, 0.1, 0.2, 0.5)
    """Shares of ill among those who are asked about, at which predictive values are told beside those of the test studies."""

    conformal_level: float = Field(0.9, ge=0.5, lt=1)
    """Share of the studies whose conformal set, or interval, is to hold the true answer."""

    conformal_by_class: bool = False
    """Hold that level among the studies of each class, where 50 validation patients have a study of each; the sets grow."""

    robustness_studies: int = Field(500, ge=20)
    """Most test studies, all of a patient or none, on which each input is damaged to see what the model then says."""
