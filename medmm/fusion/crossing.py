"""Attention from one set of tokens to another, which may be empty. B studies, N and M tokens, D width."""

import torch
from torch import nn

from medmm.types import Tokens


class Crossing(nn.Module):
    """A pre-norm block whose queries read a context.

    A zero key with a zero value stands beside the context: where a study has no context, attention finds nothing, not NaN.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ask = nn.LayerNorm(width)
        self.see = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True, add_zero_attn=True)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, values: torch.Tensor, context: Tokens) -> torch.Tensor:
        """Give values (B, N, D) that have read the context (B, M, D)."""
        seen = self.see(context.values)
        found, _ = self.attention(self.ask(values), seen, seen, key_padding_mask=~context.mask, need_weights=False)
        values = values + found
        out: torch.Tensor = values + self.feed(values)
        return out
