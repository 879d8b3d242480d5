"""Hidden cells of a table: predicted from the cells that are left.

Letters: B studies, F numeric and G categorical columns, W categories of one, D width.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from medmm.fusion.base import pooled
from medmm.training.pretraining.restorer import Counted, Restored, Restorer, hide_some, mean_where
from medmm.types import Tokens


class CellRestorer(Restorer):
    """Hides known cells as if they were missing, and predicts them: numbers by squared error, categories by cross-entropy.

    Args:
        numeric: F.
        categories: Number of codes W of each categorical column; code 0 is a missing cell.
        width: D.
        share: Of the known cells that are hidden.
    """

    def __init__(self, numeric: int, categories: Sequence[int], width: int, share: float) -> None:
        super().__init__()
        self.numeric = numeric
        self.categories = tuple(categories)
        self.share = share
        self.deep = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, numeric + sum(categories)))
        self.usual = nn.ModuleList(Counted(codes) for codes in categories)

    def hide(
        self, fields: Mapping[str, torch.Tensor], chance: torch.Generator | None
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Hide some known cells, never the last one: a mask (B, F + G)."""
        hidden = hide_some(self._there(fields), self.share, chance)
        numbers, codes = hidden[:, : self.numeric], hidden[:, self.numeric :]
        left = {
            "number": fields["number"].masked_fill(numbers, 0),
            "known": fields["known"].masked_fill(numbers, 0),
            "category": fields["category"].masked_fill(codes, 0),
        }
        return {**fields, **left}, hidden

    def judge(
        self, fields: Mapping[str, torch.Tensor], hidden: torch.Tensor, tokens: Tokens, context: torch.Tensor
    ) -> Restored:
        """Give the squared error of numbers, in variances of the column, and the cross-entropy over the log of the codes."""
        hidden = hidden & tokens.mask.any(1)[:, None]
        said = self.deep(pooled(tokens) + context).float()  # (B, F + sum of W)
        number = torch.where(hidden[:, : self.numeric], fields["number"].float(), 0.0)
        errors, usual = [(said[:, : self.numeric] - number).square()], [number.square()]
        start = self.numeric
        for column, (codes, counted) in enumerate(zip(self.categories, self.usual, strict=True)):
            truth = fields["category"][:, column].long()
            own = functional.cross_entropy(said[:, start : start + codes], truth, reduction="none")
            met = torch.zeros_like(own)
            place = hidden[:, self.numeric + column]
            met[place] = counted(truth[place])
            errors.append(own[:, None] / math.log(codes))
            usual.append(met[:, None] / math.log(codes))
            start += codes
        return Restored(mean_where(torch.cat(errors, 1), hidden), mean_where(torch.cat(usual, 1), hidden), hidden.any(1))

    def _there(self, fields: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([fields["known"] > 0, fields["category"] > 0], dim=1)  # (B, F + G)
