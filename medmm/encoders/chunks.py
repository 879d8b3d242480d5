"""A long note as chunks: each is encoded by itself and pooled to one token. B studies, P chunks, L tokens, D width.

Source: Pappagari et al. 2019, Hierarchical transformers for long document classification; Yang et al. 2016, for the pooling by
attention.
"""

from collections.abc import Mapping

import torch
from torch import nn

from medmm.types import Tokens


class Chunked(nn.Module):
    """Encode every chunk that is there, pool it by attention, and add which chunk of the note it is.

    Args:
        network: {"ids": (R, L), "mask": (R, L)} -> Tokens of `width`.
        width: D.
        chunks: P.
    """

    def __init__(self, network: nn.Module, width: int, chunks: int) -> None:
        super().__init__()
        self.network = network
        self.place = nn.Parameter(torch.randn(chunks, width) / width**0.5)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Give a token a chunk; a chunk without any token is masked and never reaches the network."""
        mask = fields["mask"]  # (B, P, L)
        real = (mask > 0).any(2)  # (B, P)
        words: Tokens = self.network({"ids": fields["ids"][real], "mask": mask[real]})  # (R, L, D)
        score = self.score(words.values)[..., 0].masked_fill(~words.mask, -torch.inf)
        pooled = (score.softmax(1)[..., None] * words.values).sum(1)  # (R, D)
        values = pooled.new_zeros(*real.shape, pooled.shape[1])
        values[real] = pooled + self.place.expand(len(real), -1, -1)[real]
        return Tokens(values, real)  # (B, P, D)
