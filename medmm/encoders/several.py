"""An input of several pieces, chunks of a note or images of a study: each is encoded by itself and pooled to one token.

Letters: B studies, P pieces, R pieces that are there, N tokens of a piece, D width.

Sources: Ilse et al. 2018, Attention-based deep multiple instance learning, for the weights of images; Pappagari et al. 2019,
Hierarchical transformers for long document classification, and Yang et al. 2016, for the chunks of a note.
"""

from collections.abc import Mapping

import torch
from torch import nn

from medmm.encoders.whole import readable
from medmm.tiles import in_tiles
from medmm.types import Tokens

THERE = "there"
"""Field (B, P) that tells which pieces a study has; it does not reach the network of the pieces."""


class Several(nn.Module):
    """Encode every piece that is there and pool its tokens by attention.

    Args:
        network: Fields (R, ...) of the pieces -> Tokens of `width`.
        width: D.
        places: P of the chunks of a note: the token of each then says which it is. None for images, whose order says nothing:
            attention weighs them, so that the mean of the tokens is the mean of the images by these weights, and a fusion that
            pools an input by its mean pools by attention.
    """

    def __init__(self, network: nn.Module, width: int, places: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.score = nn.Linear(width, 1, bias=False)
        self.place = None if places is None else nn.Parameter(torch.randn(places, width) / width**0.5)
        self.weigh = nn.Linear(width, 1, bias=False) if places is None else None

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Give a token a piece; one that is not there is masked and never reaches the network."""
        real = fields[THERE] > 0 if THERE in fields else (fields["mask"] > 0).any(2)  # (B, P)
        own = {name: values for name, values in fields.items() if name != THERE and values.shape[:2] == real.shape}
        if torch.compiler.is_exporting():
            values = self._whole(own, real)
        else:
            pieces = {name: values[real] for name, values in own.items()}  # (R, ...)
            # Without gradients as many at once as there are studies: what is said of one then hangs on no other's number.
            said = self._pieces(pieces) if torch.is_grad_enabled() else in_tiles(self._pieces, pieces, len(real))
            pooled = said.values[:, 0]  # (R, D)
            if self.place is not None:
                pooled = pooled + self.place.expand(len(real), -1, -1)[real]
            values = pooled.new_zeros(*real.shape, pooled.shape[1])
            values[real] = pooled
        if self.weigh is not None:
            weight = self.weigh(values)[..., 0].masked_fill(~real, -torch.inf).softmax(1)  # (B, P)
            values = values * (weight * real.sum(1, keepdim=True))[..., None]
        return Tokens(values, real)  # (B, P, D)

    def _pieces(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Give one token (R, 1, D) a piece."""
        inner: Tokens = self.network(fields)  # (R, N, D)
        score = self.score(inner.values)[..., 0].masked_fill(~inner.mask, -torch.inf)
        pooled = (score.softmax(1)[..., None] * inner.values).sum(1, keepdim=True)
        return Tokens(pooled, inner.mask.any(1, keepdim=True))

    def _whole(self, fields: Mapping[str, torch.Tensor], real: torch.Tensor) -> torch.Tensor:
        """Give the vectors (B, P, D) by way of all places, also those where no piece is."""
        there = real.flatten()
        pieces = {name: readable(values.flatten(0, 1), there) for name, values in fields.items()}  # (B * P, ...)
        pooled = self._pieces(pieces).values.view(*real.shape, -1)
        if self.place is not None:
            pooled = pooled + self.place
        return torch.where(real[..., None], pooled, 0.0)
