"""Hidden patches of an image: a light decoder asks the tokens of what is left for each of them.

Letters: B studies, P images of a study, R images, K channels, G patches, N tokens, D width, T values of a patch.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from medmm.encoders.several import THERE
from medmm.training.pretraining.restorer import Restored, Restorer, draw, mean_where
from medmm.types import Tokens

PATCHES = {1: 32, 2: 8, 3: 4}
"""Patches along each side by the number of sides: 64 of an image, 32 of a trace."""

FINE = {1: 16, 2: 8, 3: 4}
"""Values along each side of a patch that are predicted, at most; a larger patch is averaged down to so many."""

POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}

FLATTEST = 1e-3
"""Spread of an image in which nothing is to be seen."""


class PatchRestorer(Restorer):
    """Hides patches by a value that is learned, and predicts them; images are compared at mean 0 and spread 1.

    Args:
        size: Sides of the image.
        channels: K.
        width: D.
        share: Of the patches that are hidden.
        field: That holds the images.
    """

    def __init__(self, size: Sequence[int], channels: int, width: int, share: float, field: str = "image") -> None:
        super().__init__()
        self.field = field
        self.share = share
        self.grid = tuple(min(PATCHES[len(size)], side) for side in size)
        self.fine = tuple(min(FINE[len(size)], max(1, side // cells)) for side, cells in zip(size, self.grid, strict=True))
        self.fill = nn.Parameter(torch.full((channels, *[1] * len(size)), 0.5))
        self.decoder = Decoder(width, math.prod(self.grid), channels * math.prod(self.fine))

    def hide(
        self, fields: Mapping[str, torch.Tensor], chance: torch.Generator | None
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Hide so many patches of every image; give a mask (B, G) or (B, P, G)."""
        image = fields[self.field]
        number = draw(torch.empty(*image.shape[: -len(self.fill.shape)], math.prod(self.grid), device=image.device), chance)
        count = min(number.shape[-1] - 1, max(1, round(self.share * number.shape[-1])))
        hidden = number <= number.kthvalue(count, dim=-1, keepdim=True).values
        place = self._to_pixels(hidden, image.shape[-len(self.grid) :])
        return {**fields, self.field: torch.where(place, self.fill, image)}, hidden

    def judge(
        self, fields: Mapping[str, torch.Tensor], hidden: torch.Tensor, tokens: Tokens, context: torch.Tensor
    ) -> Restored:
        """Give the squared error, in variances of the image."""
        image, there = fields[self.field], fields.get(THERE)
        if there is None:
            error, usual = self._errors(image, hidden, tokens, context)
            return Restored(error, usual, tokens.mask.any(1))
        # Of several images each has one token.
        real = (there > 0) & tokens.mask  # (B, P)
        own = Tokens(tokens.values[real][:, None], torch.ones(int(real.sum()), 1, dtype=torch.bool, device=real.device))
        piece = self._errors(image[real], hidden[real], own, context[:, None].expand(*real.shape, -1)[real])
        error, usual = (torch.zeros(real.shape, device=real.device).masked_scatter(real, one) for one in piece)
        return Restored(mean_where(error, real), mean_where(usual, real), real.any(1))

    def _errors(
        self, image: torch.Tensor, hidden: torch.Tensor, tokens: Tokens, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        truth = self._truth(image)  # (R, G, T)
        said = self.decoder(tokens, context).float()
        where = hidden[..., None].expand_as(truth)
        return mean_where((said - truth).square(), where), mean_where(truth.square(), where)

    def _truth(self, image: torch.Tensor) -> torch.Tensor:
        """Give what is to be predicted of images (R, K, ...): (R, G, T)."""
        sides = tuple(cells * fine for cells, fine in zip(self.grid, self.fine, strict=True))
        small = POOLS[len(sides)](sides)(image.float())
        small = small - small.flatten(1).mean(1).reshape(-1, *[1] * (small.ndim - 1))
        small = small / small.flatten(1).std(1, correction=0).clamp(min=FLATTEST).reshape(-1, *[1] * (small.ndim - 1))
        shape = [part for cells, fine in zip(self.grid, self.fine, strict=True) for part in (cells, fine)]
        apart = small.reshape(len(small), small.shape[1], *shape)  # (R, K, cells, fine, cells, fine, ...)
        cells = list(range(2, apart.ndim, 2))
        truth: torch.Tensor = apart.permute(0, *cells, 1, *[axis + 1 for axis in cells])
        return truth.reshape(len(small), math.prod(self.grid), -1)

    def _to_pixels(self, hidden: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Spread a mask (..., G) over images: (..., 1, *size)."""
        lead = hidden.shape[:-1]
        grid = hidden.reshape(-1, 1, *self.grid).float()
        return functional.interpolate(grid, tuple(size), mode="nearest-exact").reshape(*lead, 1, *size) > 0


class Decoder(nn.Module):
    """A question for each patch, put to the tokens and where they stand: one block of attention.

    It takes the tokens of any encoder, be they a map, a sequence, or a single one.

    Args:
        width: D.
        places: G.
        values: T.
    """

    def __init__(self, width: int, places: int, values: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(places, width) / width**0.5)
        self.where = nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, 4 if width % 4 == 0 else 1, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.deep = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, values))

    def forward(self, tokens: Tokens, context: torch.Tensor) -> torch.Tensor:
        """Predict from tokens (R, N, D) and what other inputs tell (R, D): (R, G, T)."""
        values = tokens.values + self.where(places(tokens.values.shape[1], tokens.values.shape[2]).to(tokens.values))
        query = self.query + context[:, None]  # (R, G, D)
        found, _ = self.attention(query, values, values, need_weights=False)
        asked = self.norm(query + found)
        said: torch.Tensor = self.out(asked + self.deep(asked))
        return said


def places(tokens: int, width: int) -> torch.Tensor:
    """Write the number of each token in waves: (N, D). Source: Vaswani et al. 2017, Attention Is All You Need."""
    rate = torch.exp(-math.log(10_000.0) * torch.arange((width + 1) // 2) / max(1, width // 2))
    angle = torch.arange(tokens)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width]
