"""A small transformer over notes and its tokenizer, both learned from the training notes. B studies, L tokens.

Source: Gulati et al. 2020, Conformer, for convolution beside attention.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Literal

import torch
from pydantic import Field
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional

from medmm.encoders.attention import attend, blocks, filled
from medmm.encoders.base import TextEncoderSettings
from medmm.readers.negation import Kind
from medmm.readers.note_sections import SECTIONS
from medmm.settings import Plain
from medmm.types import Tokens

SPECIAL = ["[PAD]", "[UNK]"]  # padding has the id 0
MARKERS = [*(f"[{name}]" for name in SECTIONS), *(f"[{end}{kind}]" for kind in Kind for end in ("", "/"))]
"""Tokens of their own: a section begins; a negated or uncertain part begins, or ends."""

PHRASE_TOKENS = 5  # a negation and what it negates, within reach of one convolution: few notes teach attention this
WORD = re.compile(r"\w+|[^\w\s]")


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
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[1]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        # Byte pairs without a word mark: the trainers that add one number their pieces by the order of a hash table.
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary,
            special_tokens=SPECIAL + MARKERS,
            show_progress=False,
            initial_alphabet=list(ascii_lowercase),
        )
        tokenizer.train_from_iterator(common_words(notes, patients, self.min_patients), trainer)
        return {
            "tokenizer": tokenizer.to_str(),
            "tokens": tokenizer.get_vocab_size(),
            "padding": 0,
            "markers": {marker: tokenizer.token_to_id(marker) for marker in MARKERS},
            "max_tokens": max_tokens,
        }

    def build(self, width: int, state: Plain) -> nn.Module:
        """Build the network."""
        return _Notes(self, width, state["tokens"], state["max_tokens"])


def common_words(notes: Sequence[str], patients: Sequence[str], min_patients: int) -> list[str]:
    """Give the notes without the words that fewer than `min_patients` patients' notes hold."""
    holders: dict[str, set[str]] = defaultdict(set)
    for note, patient in zip(notes, patients, strict=True):
        for word in WORD.findall(note.lower()):
            holders[word].add(patient)
    return [" ".join(word for word in WORD.findall(note.lower()) if len(holders[word]) >= min_patients) for note in notes]


class _Notes(nn.Module):
    def __init__(self, settings: TextTransformer, width: int, tokens: int, max_tokens: int) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, width, padding_idx=0)
        self.position = nn.Parameter(torch.randn(max_tokens, width) / width**0.5)
        self.phrase = nn.Conv1d(width, width, PHRASE_TOKENS, padding="same")
        self.blocks = blocks(width, settings.layers, settings.heads, settings.dropout)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        words = filled(Tokens(self.token(fields["ids"].long()), fields["mask"] > 0))  # (B, L, D)
        phrases = functional.gelu(self.phrase(words.values.transpose(1, 2)).transpose(1, 2))
        return attend(self.blocks, Tokens(words.values + phrases + self.position, words.mask))
