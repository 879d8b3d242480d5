"""A Hugging Face text encoder from a local folder or a hub name. B studies, L tokens, H hidden width."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import ClassVar, Literal, Self

import torch
from torch import nn

from medmm.encoders.adapted import Adapted
from medmm.encoders.base import TextEncoderSettings
from medmm.encoders.embedded import Embedded
from medmm.encoders.huggingface import (
    UNREADABLE,
    HuggingFace,
    build_backbone,
    layer_names,
    plain_config,
    read_config,
)
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.settings import Plain
from medmm.types import Tokens

REPAIR = "give a folder with config.json, tokenizer.json and model.safetensors, or a hub name that can be reached"


class HuggingFaceText(HuggingFace, TextEncoderSettings):
    """A pretrained encoder such as BERT. Its weights are read as safetensors only, and no code that comes with it is run.

    It gets headings and negations as the words of the note, for it has never seen a marker.
    """

    repair: ClassVar[str] = REPAIR

    name: Literal["huggingface"] = "huggingface"
    """Which one."""

    def fit(self, notes: Sequence[str], patients: Sequence[str], max_tokens: int) -> Plain:
        """Take the tokenizer and the architecture that come with the model; nothing is learned.

        Raises:
            ConfigError: The model cannot be read.
        """
        from transformers import AutoTokenizer

        config = read_config(self.model, REPAIR)
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, trust_remote_code=False)
        except UNREADABLE as reason:
            raise ConfigError(
                f"encoder.model has no tokenizer that can be read ({type(reason).__name__}): {REPAIR}"
            ) from reason
        if not tokenizer.is_fast or tokenizer.pad_token_id is None:
            raise ConfigError("encoder.model has no fast tokenizer with a padding token: choose another model")
        return {
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "padding": tokenizer.pad_token_id,
            # Positions of RoBERTa start late, so its tokenizer knows best how many tokens fit.
            "max_tokens": min(max_tokens, config.max_position_embeddings, tokenizer.model_max_length),
            "config": plain_config(config),
        }

    def build(self, width: int, state: Plain) -> nn.Module:
        """Build the network from its architecture, with random weights."""
        backbone = build_backbone(state["config"])
        return _Pretrained(backbone, state["config"]["hidden_size"], width, layer_names(backbone), self.tuning)

    def portable(self) -> Self:
        """Keep the last part of the model's name: architecture and tokenizer stand in the state, weights in the package."""
        return self.model_copy(update={"model": PurePath(self.model).name})


class _Pretrained(Adapted):
    def __init__(self, backbone: nn.Module, hidden: int, width: int, starts: Sequence[str], tuning: Tuning) -> None:
        super().__init__(backbone, hidden, width, starts, tuning)
        self.embedded = Embedded()

    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        mask = fields["mask"] > 0  # (B, L)
        words = self.embedded(self.backbone.get_input_embeddings()(fields["ids"].long()))  # type: ignore[operator]
        hidden = self.backbone(inputs_embeds=words, attention_mask=mask.long()).last_hidden_state  # (B, L, H)
        return Tokens(hidden, mask)
