"""How far a backbone learns: all of it, nothing, low-rank adapters, or stage by stage from its output.

Sources: Hu et al. 2022, LoRA; Howard and Ruder 2018, ULMFiT (gradual unfreezing); Bao et al. 2022, BEiT (rates that fall with
the distance from the output).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import nn

from medmm.settings import Settings

ADAPTER = ".lora_"
"""Stands in the name of every weight of an adapter."""

WRAPPED = ".base_layer"
"""What an adapter adds to the name of the weight that it stands beside."""


class Tuning(Settings):
    """What of the backbone learns; what follows it always does."""

    learn: Literal["all", "none", "lora", "gradual"] = "all"
    """all; none: the backbone stays as it is, right for small cohorts; lora: low-rank changes of its layers; gradual: none at
    first, then stage by stage from its output."""

    layer_decay: float = Field(1.0, gt=0, le=1)
    """The learning rate is multiplied by this for each stage further from the output: 0.65 to 0.9 keeps early stages near what
    they were, 1 lets all learn alike."""

    rank: int = Field(8, ge=1)
    """Rank of the changes, for lora."""

    alpha: int = Field(16, ge=1)
    """Their weight is alpha / rank, for lora."""

    stage_epochs: int = Field(2, ge=1)
    """Epochs after which one more stage learns, for gradual."""


def frozen_at_first(value: object) -> object:
    """Let `learn` be none where a run file does not say, for encoders too large to learn from a small cohort."""
    return {"learn": "none", **value} if isinstance(value, Mapping) else value


def add_adapters(backbone: nn.Module, tuning: Tuning) -> None:
    """Put low-rank adapters beside every linear layer and every convolution that is not grouped; only they learn."""
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, part in backbone.named_modules() if _is_adaptable(name, part)]
    pattern = "|".join(re.escape(name) for name in names)  # as text it is matched whole, a list would match the ends of names
    config = LoraConfig(r=tuning.rank, lora_alpha=tuning.alpha, target_modules=pattern)
    inject_adapter_in_model(config, backbone)


def stage_numbers(names: Iterable[str], starts: Sequence[str]) -> dict[str, int]:
    """Tell the stage of each weight, 0 the nearest to the image or note.

    Args:
        names: Of weights, in the order in which they are used.
        starts: The parts with which stages 1, 2, ... begin.
    """
    numbers, stage = {}, 0
    for name in names:
        if stage < len(starts) and name.startswith(f"{starts[stage]}."):
            stage += 1
        numbers[name] = stage
    return numbers


def _is_adaptable(name: str, part: nn.Module) -> bool:
    if name.partition(".")[0] == "pooler":  # of a Hugging Face model; its result is not used
        return False
    return isinstance(part, nn.Linear) or (isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d) and part.groups == 1)
