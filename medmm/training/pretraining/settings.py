"""How to learn without labels, how long and how fast."""

from typing import Annotated

from pydantic import BeforeValidator, Field, SerializeAsAny

from medmm.settings import named_choice
from medmm.training.pretraining import PRETRAININGS
from medmm.training.pretraining.base import MethodSettings
from medmm.training.pretraining.both import Both
from medmm.training.settings import LoopSettings


class PretrainingSettings(LoopSettings):
    """The loop of `medmm pretrain`."""

    method: Annotated[SerializeAsAny[MethodSettings], BeforeValidator(named_choice("name", lambda: PRETRAININGS))] = Both()
    """contrastive: which image, table and note belong together; masked: what was hidden of each; both."""

    epochs: int = Field(100, ge=1)
    """Passes over the studies, at most."""

    patience: int = Field(20, ge=1)
    """Epochs without a better validation loss before stopping."""

    batch_size: int = Field(64, ge=2)
    """Studies of a step; those of other patients are what a contrastive loss tells a study from."""

    weight_decay: float = Field(0.05, ge=0)
    """Decay of AdamW."""
