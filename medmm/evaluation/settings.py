"""How a run is judged."""

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

    robustness_studies: int = Field(500, ge=20)
    """Most test studies, all of a patient or none, on which each input is damaged to see what the model then says."""
