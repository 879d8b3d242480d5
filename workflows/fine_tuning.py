"""What a way to fine-tune asks of a run: its groups, encoders tuned as it says, refusals where it could not act."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medmm.config import RunConfig
from medmm.encoders.base import EncoderSettings
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.tables import nearest
from medmm.training.strategies.adversarial import Adversarial
from medmm.training.strategies.base import StrategySettings
from medmm.types import Array

from .cohort import Cohort


def refuse_idle_strategy(config: RunConfig) -> None:
    """Refuse a strategy that could not act with the fusion of the run.

    Raises:
        ConfigError: OGM-GE without inputs that learn together and have heads of their own; a way to tune pretrained encoders
            where there is none; an attack on an input that the run does not have.
    """
    fusion, strategy = config.model.fusion, config.training.strategy
    if strategy.together and (fusion.apart or not fusion.auxiliary_weight):
        raise ConfigError(
            f"training.strategy: {strategy.name} balances inputs that learn together, by heads of their own: choose another "
            "fusion than late, and an auxiliary_weight above 0"
        )
    known = config.training.init is not None or any(pretrained(one.encoder) for one in config.inputs.values())
    if strategy.tuning is not None and not known:
        raise ConfigError(
            f"training.strategy: {strategy.name} builds on pretrained encoders, and no input has one: name weights under its "
            "encoder, or encoders of `medmm pretrain` under training.init"
        )
    for name in strategy.inputs if isinstance(strategy, Adversarial) else ():
        if name not in config.inputs:
            raise ConfigError(f"training.strategy.inputs: there is no input {name!r}: {nearest(name, list(config.inputs))}")


def pretrained(encoder: EncoderSettings) -> bool:
    """Tell whether an encoder starts from pretrained weights: only such a one can be tuned in more than one way."""
    return any(encoder.tuned(Tuning(learn=one)) != encoder for one in ("all", "none"))


def fine_tuned(cohort: Cohort, strategy: StrategySettings | None) -> Cohort:
    """Give the cohort for another way to fine-tune."""
    if strategy is None:
        return cohort
    training = cohort.config.training.model_copy(update={"strategy": strategy})
    config, inputs = cohort.config.model_copy(update={"training": training}), cohort.inputs
    if (tuning := strategy.tuning) is not None:
        taken = () if cohort.start is None else cohort.start.inputs
        inputs = {name: one.settings.tuned(tuning, taken=name in taken).open(name, one.state) for name, one in inputs.items()}
        config = config.model_copy(update={"inputs": {name: one.settings for name, one in inputs.items()}})
    return replace(cohort, config=config, inputs=inputs)


def groups_of(cohort: Cohort, columns: Sequence[str]) -> tuple[tuple[str, ...], Array | None]:
    """Give the names of the groups that columns of the studies table make among the studies that learn, and each study's.

    Returns:
        Names, and (S,) the number of each study's group, -1 where a cell is empty or the group unknown; none without columns.

    Raises:
        ConfigError: The table has no such column, or there are fewer than two groups.
    """
    if not columns:
        return (), None
    known = list(cohort.studies[0].cells)
    for column in columns:
        if column not in known:
            raise ConfigError(f"training.strategy: the studies table has no column {column!r}: {nearest(column, known)}")
    own = [" ".join(cells) if all(cells := [study.cells[column] for column in columns]) else "" for study in cohort.studies]
    learning = (*cohort.split["train"], *(cohort.unlabelled if cohort.config.training.strategy.unlabelled else ()))
    names = tuple(sorted({own[i] for i in learning} - {""}))
    if len(names) < 2:
        raise ConfigError(
            f"training.strategy: the training studies are of {len(names)} group by {' and '.join(map(repr, columns))}, "
            "two or more are needed: name another column, or choose another strategy"
        )
    return names, np.array([names.index(one) if one in names else -1 for one in own])
