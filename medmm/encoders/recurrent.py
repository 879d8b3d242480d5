"""A recurrent network over notes: reads in order, and needs fewer notes than attention. B studies, L tokens.

Sources: Cho et al. 2014, Learning Phrase Representations (GRU); Hochreiter and Schmidhuber 1997, Long Short-Term Memory.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from medmm.encoders.attention import filled
from medmm.encoders.base import TextEncoderSettings
from medmm.encoders.embedded import Embedded
from medmm.encoders.word_pieces import byte_pairs
from medmm.settings import Plain
from medmm.types import Tokens


class Recurrent(TextEncoderSettings):
    """Byte pairs, read from both ends. The vocabulary holds only words of several patients, so no name enters it."""

    usual_tokens: ClassVar[int] = 256

    name: Literal["recurrent"] = "recurrent"
    """Which one."""

    cell: Literal["gru", "lstm"] = "gru"
    """GRU has fewer weights, LSTM a longer memory."""

    vocabulary: int = Field(4000, ge=100)
    """Most pieces of words that the tokenizer keeps."""

    min_patients: int = Field(5, ge=2)
    """A word is learned from only if the notes of that many patients hold it."""

    hidden: int = Field(96, ge=8)
    """Width in each direction."""

    layers: int = Field(1, ge=1)
    """Layers on top of each other."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout of the words' vectors and between layers."""

    def fit(self, notes: Sequence[str], patients: Sequence[str], max_tokens: int) -> Plain:
        """Learn the pieces of words."""
        return byte_pairs(notes, patients, self.vocabulary, self.min_patients, max_tokens)

    def build(self, width: int, state: Plain) -> nn.Module:
        """Build the network."""
        return _Reader(self, width, state["tokens"])


class _Reader(nn.Module):
    def __init__(self, settings: Recurrent, width: int, tokens: int) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, width, padding_idx=0)
        self.embedded = Embedded()
        self.dropout = nn.Dropout(settings.dropout)
        between = settings.dropout if settings.layers > 1 else 0.0
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[settings.cell]
        self.cells = kind(width, settings.hidden, settings.layers, batch_first=True, dropout=between, bidirectional=True)
        self.project = nn.Linear(2 * settings.hidden, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        mask = fields["mask"] > 0  # (B, L)
        words = self.dropout(self.embedded(self.token(fields["ids"].long())))  # (B, L, D)
        if torch.compiler.is_exporting():
            read = self._read_whole(words, mask.sum(1))
        else:
            lengths = mask.sum(1).clamp(min=1).cpu()
            packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
            read, _ = pad_packed_sequence(self.cells(packed)[0], batch_first=True, total_length=mask.shape[1])
        return filled(Tokens(self.norm(self.project(read)), mask))  # of (B, L, 2 hidden)

    def _read_whole(self, words: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Read (B, L, D) to (B, L, 2 hidden) without packing, which an exported graph cannot do.

        From the end each note is read turned around within its length (B,), so that padding comes last in both directions and
        changes nothing before it.
        """
        place = torch.arange(words.shape[1], device=words.device)
        turned = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)  # (B, L), its own inverse
        for layer in range(self.cells.num_layers):
            ways = [
                self._read_layer(words, layer, 0),
                _reordered(self._read_layer(_reordered(words, turned), layer, 1), turned),
            ]
            words = torch.cat(ways, dim=2)
        return words

    def _read_layer(self, words: torch.Tensor, layer: int, way: int) -> torch.Tensor:
        """Give what one layer makes of (B, L, ...) in one direction: (B, L, hidden)."""
        first = words.new_zeros(1, words.shape[0], self.cells.hidden_size)
        weights = self.cells.all_weights[2 * layer + way]
        if isinstance(self.cells, nn.GRU):
            return torch.gru(words, first, weights, True, 1, 0.0, False, False, True)[0]
        return torch.lstm(words, (first, first), weights, True, 1, 0.0, False, False, True)[0]


def _reordered(words: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    return words.gather(1, place[..., None].expand_as(words))
