"""A backbone and what fits it to the model. B studies, N tokens, H width of the backbone, D width of the model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from medmm.encoders.attention import filled
from medmm.encoders.tuning import ADAPTER, Tuning, add_adapters, stage_numbers
from medmm.types import Tokens


class Adapted(nn.Module, ABC):
    """A backbone that learns as far as its tuning says, then a linear map and a norm for each of its tokens.

    Args:
        backbone: With the names of weights that pretrained files have.
        hidden: H.
        width: D.
        starts: The parts of the backbone with which its stages 1, 2, ... begin; what stands before is stage 0.
        tuning: What of it learns.
    """

    def __init__(self, backbone: nn.Module, hidden: int, width: int, starts: Sequence[str], tuning: Tuning) -> None:
        super().__init__()
        self.backbone = backbone
        self.tuning = tuning
        if tuning.learn == "lora":
            add_adapters(backbone, tuning)
        self._stage = stage_numbers((name for name, _ in backbone.named_parameters()), starts)
        self._stages = len(starts) + 1
        # Running statistics are those of the pretrained weights: a study is encoded alike whatever stands beside it.
        norms = [part for part in backbone.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)]
        self._in_evaluation = [backbone] if self.frozen else norms
        self.project: nn.Module = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)
        self._let_learn(0)

    @property
    def frozen(self) -> bool:
        """Whether the backbone never learns, so that its tokens may be computed once and kept."""
        return self.tuning.learn == "none"

    def rates(self) -> dict[nn.Parameter, float]:
        """Give each weight of the backbone that learns, now or later, and its share of the learning rate."""
        decay, stages = self.tuning.layer_decay, self._stages
        return {
            weight: decay ** (stages - self._stage[name])
            for name, weight in self.backbone.named_parameters()
            if self._first_epoch(name) is not None
        }

    def begin_epoch(self, epoch: int) -> None:
        """Let those stages learn whose time has come; the number of the epoch, from 0, alone decides."""
        if self.tuning.learn == "gradual":
            self._let_learn(epoch)

    def hidden(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Run the backbone; give its tokens in its own width, (B, N, H)."""
        for part in self._in_evaluation:
            part.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self._run(fields)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Encode. Kept tokens of a frozen backbone, "features" (B, N, H) and "features_mask" (B, N), spare running it."""
        if "features" in fields:
            hidden = Tokens(fields["features"].to(self.norm.weight.dtype), fields["features_mask"] > 0)
        else:
            hidden = self.hidden(fields)
        return filled(Tokens(self.norm(self.project(hidden.values)), hidden.mask))  # (B, N, D)

    @abstractmethod
    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        """Give the backbone's tokens, in its own width."""

    def _let_learn(self, epoch: int) -> None:
        for name, weight in self.backbone.named_parameters():
            first = self._first_epoch(name)
            weight.requires_grad_(first is not None and epoch >= first)

    def _first_epoch(self, name: str) -> int | None:
        """Tell from which epoch on a weight learns; None where it never does."""
        match self.tuning.learn:
            case "all":
                return 0
            case "none":
                return None
            case "lora":
                return 0 if ADAPTER in name else None
            case "gradual":
                return (self._stages - self._stage[name]) * self.tuning.stage_epochs


class FeatureMap(Adapted):
    """A backbone over images whose last feature map becomes tokens, position by position."""

    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        return all_real(self.backbone(fields["image"]).flatten(2).transpose(1, 2))


class SignalMap(Adapted):
    """A backbone over signals whose last feature map becomes tokens, position by position."""

    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        return all_real(self.backbone(fields["signal"]).flatten(2).transpose(1, 2))


def all_real(values: torch.Tensor) -> Tokens:
    """Give tokens none of which is masked."""
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
