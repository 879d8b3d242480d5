"""How long, how fast and how hard to learn."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from medmm.settings import Settings, named_choice
from medmm.training.strategies import STRATEGIES
from medmm.training.strategies.base import StrategySettings
from medmm.training.strategies.supervised import Supervised


class LoopSettings(Settings):
    """The loop."""

    epochs: int = Field(30, ge=1)
    """Passes over the training studies, at most."""

    patience: int = Field(8, ge=1)
    """Epochs without a better validation loss before stopping."""

    batch_size: int = Field(16, ge=2)
    """Studies of a step."""

    learning_rate: float = Field(3e-4, gt=0)
    """Highest rate of AdamW; it rises over the first tenth of the steps and falls along a cosine."""

    weight_decay: float = Field(0.01, ge=0)
    """Decay of AdamW."""

    gradient_clip: float = Field(1.0, gt=0)
    """Longest gradient."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""

    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """Number format; auto is bf16 on a GPU that has it, 16 on another GPU and 32 on a CPU."""

    seed: int = 0
    """Of weights, order, augmentation and dropout."""

    @model_validator(mode="after")
    def _patience_can_act(self) -> Self:
        if self.patience > self.epochs:
            raise ValueError(f"patience {self.patience} exceeds epochs {self.epochs}, so it could never act")
        return self


class TrainingSettings(LoopSettings):
    """The loop, and what a step of it is."""

    strategy: Annotated[SerializeAsAny[StrategySettings], BeforeValidator(named_choice("name", lambda: STRATEGIES))] = (
        Supervised()
    )
    """What a training step is."""

    init: str | None = None
    """Where encoders come from: runs:/RUN_ID of `medmm pretrain` or `medmm train`, models:/NAME@champion, or a local folder. An
    input of the same name, preparation and encoder takes over what was fitted and learned; one that does not fit is refused."""
