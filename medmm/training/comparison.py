"""What `medmm compare` trains, and how it judges."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from medmm.evaluation.verdict import MARGIN
from medmm.fusion import FUSIONS
from medmm.fusion.base import FusionSettings
from medmm.settings import Settings, named_choice
from medmm.training.strategies import STRATEGIES
from medmm.training.strategies.base import StrategySettings

METHODS = ("late", "transformer", "weighted", "concat")

FusionChoice = Annotated[SerializeAsAny[FusionSettings], BeforeValidator(named_choice("name", lambda: FUSIONS))]
StrategyChoice = Annotated[SerializeAsAny[StrategySettings], BeforeValidator(named_choice("name", lambda: STRATEGIES))]


class CompareSettings(Settings):
    """What `medmm compare` trains, and how it judges."""

    methods: tuple[FusionChoice, ...] = Field(METHODS, validate_default=True, min_length=1)
    """Fusion methods to try beside that of the run: names, or blocks with settings."""

    strategies: tuple[StrategyChoice, ...] = ()
    """Ways to fine-tune to try with the run's own fusion, beside the run's own way: names, or blocks with settings."""

    folds: int = Field(5, ge=2, le=20)
    """Folds by patient, or by group: each is the test part once, so that every study is judged by models that never saw its
    patient. A split by time or column is judged as it stands."""

    seeds: tuple[int, ...] = Field((0,), min_length=1, max_length=20)
    """Each draws other folds and other first weights."""

    baselines: bool = True
    """Also train what is usual without a network: gradient boosting on tables, TF-IDF and a linear model on notes. Survival has
    none."""

    margin: float = Field(MARGIN, gt=0, lt=0.5)
    """Smallest gain of AUROC, R² or C-index that is worth the trouble of several inputs."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("each of the seeds stands once")
        return self
