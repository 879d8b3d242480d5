"""A Hugging Face text encoder from a local folder or a hub name, frozen or not. B studies, L tokens, H hidden width."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Literal, Self

import torch
from torch import nn

from medmm.encoders.attention import filled
from medmm.encoders.base import TextEncoderSettings
from medmm.errors import ConfigError
from medmm.settings import Plain
from medmm.types import Tokens


class HuggingFaceText(TextEncoderSettings):
    """A pretrained encoder such as BERT. Its weights are read as safetensors only, and no code that comes with it is run.

    It gets headings and negations as the words of the note, for it has never seen a marker.
    """

    name: Literal["huggingface"] = "huggingface"
    """Which one."""

    model: str
    """A local folder, or a name on the hub."""

    freeze: bool = True
    """Keep the pretrained weights as they are; only what follows learns. Right for small cohorts."""

    def fit(self, notes: Sequence[str], patients: Sequence[str], max_tokens: int) -> Plain:
        """Take the tokenizer and the architecture that come with the model; nothing is learned.

        Raises:
            ConfigError: The model cannot be read.
        """
        from transformers import AutoConfig, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, trust_remote_code=False)
            config = AutoConfig.from_pretrained(self.model, trust_remote_code=False)
        except (OSError, ValueError) as reason:
            raise ConfigError(
                f"encoder.model cannot be read as a text encoder ({type(reason).__name__}): {_REPAIR}"
            ) from reason
        if not tokenizer.is_fast or tokenizer.pad_token_id is None:
            raise ConfigError("encoder.model has no fast tokenizer with a padding token: choose another model")
        return {
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "padding": tokenizer.pad_token_id,
            "max_tokens": min(max_tokens, config.max_position_embeddings),
            "config": json.loads(config.to_json_string(use_diff=False)),
        }

    def build(self, width: int, state: Plain) -> nn.Module:
        """Build the network from its architecture, with random weights."""
        return _Pretrained(self, width, state)

    def initialise(self, network: nn.Module) -> None:
        """Load the pretrained weights.

        Raises:
            ConfigError: The folder or hub name holds no safetensors weights for this architecture.
        """
        from transformers import AutoModel

        assert isinstance(network, _Pretrained)
        try:
            pretrained = AutoModel.from_pretrained(self.model, trust_remote_code=False, use_safetensors=True)
        except (OSError, ValueError) as reason:
            raise ConfigError(f"encoder.model has no weights that can be read ({type(reason).__name__}): {_REPAIR}") from reason
        network.network.load_state_dict(pretrained.state_dict())

    def portable(self) -> Self:
        """Keep the last part of the model's name: architecture and tokenizer stand in the state, weights in the package."""
        return self.model_copy(update={"model": PurePath(self.model).name})


_REPAIR = "give a folder with config.json, tokenizer.json and model.safetensors, or a hub name that can be reached"


class _Pretrained(nn.Module):
    def __init__(self, settings: HuggingFaceText, width: int, state: Plain) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel

        config = dict(state["config"])
        self.network = AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config), trust_remote_code=False)
        self.freeze = settings.freeze
        self.network.requires_grad_(not self.freeze)
        self.project = nn.Linear(self.network.config.hidden_size, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        ids, mask = fields["ids"].long(), fields["mask"] > 0  # (B, L)
        if self.freeze:
            self.network.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            hidden = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # (B, L, H)
        return filled(Tokens(self.norm(self.project(hidden)), mask))
