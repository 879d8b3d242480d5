"""Transformer blocks that never look at a masked token. B studies, N tokens, D width."""

import torch
from torch import nn

from medmm.types import Tokens


def blocks(width: int, layers: int, heads: int, dropout: float) -> nn.TransformerEncoder:
    """Build pre-norm transformer blocks of `width`, with a feed-forward part twice as wide."""
    block = nn.TransformerEncoderLayer(
        width, heads, dim_feedforward=2 * width, dropout=dropout, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(block, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)


def attend(network: nn.TransformerEncoder, tokens: Tokens) -> Tokens:
    """Run blocks over tokens; every study has at least one real token. Masked values come out as zero."""
    mask = tokens.mask
    values = network(filled(tokens).values, src_key_padding_mask=~mask)  # (B, N, D)
    return filled(Tokens(values, mask))


def filled(tokens: Tokens) -> Tokens:
    """Put zeros where the mask is false, whatever stood there, NaN included."""
    return Tokens(torch.where(tokens.mask[..., None], tokens.values, 0.0), tokens.mask)
