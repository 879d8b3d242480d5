"""A small transformer over notes and its tokenizer, both learned from the training notes. B studies, L tokens.

Source: Gulati et al. 2020, Conformer, for convolution beside attention.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.encoders.attention import attend, blocks, filled
from medmm.encoders.base import TextEncoderSettings
from medmm.encoders.embedded import Embedded
from medmm.encoders.word_pieces import byte_pairs
from medmm.settings import Plain
from medmm.types import Tokens

PHRASE_TOKENS = 5  # a negation and what it negates, within reach of one convolution: few notes teach attention this


class TextTransformer(TextEncoderSettings):
    """Byte pairs, positions, attention. The vocabulary holds only words of several patients, so no name enters it."""

    name: Literal["transformer"] = "transformer"
    """Which one."""

    vocabulary: int = Field(4000, ge=100)
    """Most pieces of words that the tokenizer keeps."""

    min_patients: int = Field(5, ge=2)
    """A word is learned from only if the notes of that many patients hold it."""

    layers: int = Field(2, ge=1)
    """Transformer blocks."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides the width of the model."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def fit(self, notes: Sequence[str], patients: Sequence[str], max_tokens: int) -> Plain:
        """Learn the pieces of words."""
        return byte_pairs(notes, patients, self.vocabulary, self.min_patients, max_tokens)

    def build(self, width: int, state: Plain) -> nn.Module:
        """Build the network."""
        return _Notes(self, width, state["tokens"], state["max_tokens"])


class _Notes(nn.Module):
    def __init__(self, settings: TextTransformer, width: int, tokens: int, max_tokens: int) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, width, padding_idx=0)
        self.position = nn.Parameter(torch.randn(max_tokens, width) / width**0.5)
        self.embedded = Embedded()
        self.phrase = nn.Conv1d(width, width, PHRASE_TOKENS, padding="same")
        self.blocks = blocks(width, settings.layers, settings.heads, settings.dropout)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        words = filled(Tokens(self.embedded(self.token(fields["ids"].long())), fields["mask"] > 0))  # (B, L, D)
        phrases = functional.gelu(self.phrase(words.values.transpose(1, 2)).transpose(1, 2))
        return attend(self.blocks, Tokens(words.values + phrases + self.position, words.mask))
