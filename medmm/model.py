"""Encoders, fusion and heads as one network. B studies, N tokens, D width, K outputs of a head."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import nn

from medmm.fusion import FUSIONS
from medmm.fusion.base import Fused, Fusion, FusionSettings, drop_inputs, hidden, pooled, present
from medmm.fusion.late import LateSettings
from medmm.fusion.transformer import TransformerSettings
from medmm.inputs import Inputs
from medmm.inputs.base import FEW_PATIENTS
from medmm.losses import LOSSES
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.classes import one_against_others
from medmm.settings import Settings, named_choice
from medmm.tiles import in_tiles
from medmm.types import Batch, Tokens


class ModelSettings(Settings):
    """Width, fusion and heads."""

    width: int = Field(128, ge=8)
    """D of every token and of the joint representation; a multiple of the attention heads."""

    fusion: Annotated[SerializeAsAny[FusionSettings], BeforeValidator(named_choice("name", lambda: FUSIONS))] = (
        TransformerSettings()
    )
    """How inputs become one representation; where left out, transformer, or below 1,000 training patients late."""

    loss: Annotated[SerializeAsAny[LossSettings], BeforeValidator(named_choice("name", lambda: LOSSES))] | None = None
    """What is learned by; left out: cross-entropy for classes, `ordinal`, `squared_error`, `cox`, as suits the task."""

    class_weight: ClassWeight | None = None
    """Let rare classes weigh more in the loss; the scores are corrected for it, so that they stay probabilities. Left out:
    balanced, where the loss takes weights."""


def suited_fusion(patients: int) -> FusionSettings:
    """Give the fusion for a run that does not name one, by its number of training patients."""
    return LateSettings() if patients < FEW_PATIENTS else TransformerSettings()


@dataclass(frozen=True)
class Output:
    """What the network says of a batch.

    Attributes:
        logits: (B, K) as the loss wants them.
        auxiliary: Input -> (B, K) of its own head; meaningless where the input is absent.
        has: Input -> (B,) whether it was there.
        fused: Z (B, D), and what else the fusion says.
    """

    logits: torch.Tensor
    auxiliary: Mapping[str, torch.Tensor]
    has: Mapping[str, torch.Tensor]
    fused: Fused


class DiagnosisModel(nn.Module):
    """The network of a run.

    Args:
        settings: Width, fusion and heads.
        inputs: The fitted inputs, which build their encoders.
        criterion: The loss, which says how many outputs a head has and what they mean.
    """

    def __init__(self, settings: ModelSettings, inputs: Inputs, criterion: Loss) -> None:
        super().__init__()
        self.criterion = criterion
        self.task = criterion.task
        self.fusion_settings = settings.fusion
        self.encoders = nn.ModuleDict({name: inputs[name].encoder(settings.width) for name in sorted(inputs)})
        self.fusion: Fusion = settings.fusion.build(settings.width, list(inputs))
        self.head = nn.Linear(settings.width, criterion.outputs)
        self.auxiliary = nn.ModuleDict({name: nn.Linear(settings.width, criterion.outputs) for name in sorted(inputs)})

    def encode(self, batch: Batch, tile: int | None = None) -> dict[str, Tokens]:
        """Give the tokens of every input. An encoder sees only the studies that have its input, so filler reaches nothing.

        Args:
            batch: The studies.
            tile: Studies that an encoder sees at once, filled up with copies (`medmm.tiles`); None for all that there are.
        """
        return {
            name: encode_present(network, batch.inputs[name], batch.present[name], self.head.in_features, tile)
            for name, network in self.encoders.items()
        }

    def fuse(self, tokens: Mapping[str, Tokens], keep: Collection[str] | None = None) -> Output:
        """Give the output from tokens, as if the studies had only the inputs in `keep` (all where None)."""
        if keep is not None:
            tokens = {
                name: one if name in keep else hidden(one, torch.zeros_like(present(one))) for name, one in tokens.items()
            }
        if self.training and self.fusion_settings.modality_dropout:
            fused = drop_inputs(tokens, self.fusion_settings.modality_dropout)
        else:
            fused = dict(tokens)
        link = self.criterion.link
        own = {name: self.criterion.free(link(head(pooled(fused[name])))) for name, head in self.auxiliary.items()}
        joint = self.fusion(fused, own)
        logits = link(self.head(joint.joint)) if joint.logits is None else self.criterion.bind(joint.logits)
        auxiliary = {name: link(head(pooled(tokens[name]))) for name, head in self.auxiliary.items()}
        has = {name: present(one) for name, one in tokens.items()}
        return Output(logits, auxiliary, has, joint)

    def forward(self, batch: Batch) -> Output:
        """Encode, fuse and classify."""
        return self.fuse(self.encode(batch))

    def loss(self, output: Output, batch: Batch) -> torch.Tensor:
        """Give the mean loss of the labelled studies, the inputs' own heads, and the penalties of rules and fusion."""
        total = self.joint_loss(output, batch)
        if output.fused.penalty is not None:
            total = total + output.fused.penalty
        weight = self.fusion_settings.auxiliary_weight
        if weight and len(self.auxiliary) > 1:
            assert batch.target is not None
            for name, logits in output.auxiliary.items():
                has = output.has[name] & batch.labelled
                own = self.study_losses(logits, torch.where(has[:, None], batch.target, torch.nan)).sum()
                total = total + weight * own / has.sum().clamp(min=1) / len(self.auxiliary)
        return total

    def joint_loss(self, output: Output, batch: Batch) -> torch.Tensor:
        """Give the mean loss of the diagnosis and of breaches of rules, without the fusion's penalty and the inputs' own heads.

        It chooses the checkpoint.
        """
        assert batch.target is not None
        loss = self.study_losses(output.logits, batch.target).sum() / batch.labelled.sum().clamp(min=1)
        return loss if batch.bounds is None else loss + breach(self.log_odds(output.logits), batch.bounds)

    def study_losses(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,) of each study; 0 where its target is not known (NaN), and then no other study's loss sees it."""
        known = ~target.isnan().any(1)
        if not bool(known.any()):
            return 0.0 * logits.sum(1)
        rows = known.nonzero().squeeze(1)
        losses = self.criterion(logits[rows], target[rows])  # (known,) in 32 bits, where logits may have 16
        whole: torch.Tensor = losses.new_zeros(len(logits)).index_put((rows,), losses)
        return whole

    def said(self, logits: torch.Tensor) -> torch.Tensor:
        """Give what logits (B, K) say: the answers (B, C), without a temperature."""
        return self.criterion.answer(self.evidence(logits))

    def log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the log odds (B, C) of each class, freed from what the loss has put into them."""
        free = self.evidence(logits)
        return one_against_others(free) if self.task == "multiclass" else free

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Give logits (B, K) freed from what the loss has put into them, so that they speak of the cohort's own prevalence."""
        return self.criterion.evidence(logits)


def breach(log_odds: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Give the mean penalty of studies whose log odds (B, C) lie outside their bounds (B, C, 3).

    It grows with the distance in log odds, so that a certain answer far outside feels the same pull as one near the bound.
    """
    lower, upper = (bounds[..., k].clamp(1e-6, 1 - 1e-6).logit() for k in range(2))
    below = torch.where(bounds[..., 0] > 0, torch.relu(lower - log_odds), 0.0)
    above = torch.where(bounds[..., 1] < 1, torch.relu(log_odds - upper), 0.0)
    return ((below + above) * bounds[..., 2]).sum(1).mean()


def encode_present(
    network: nn.Module, fields: Mapping[str, torch.Tensor], has: torch.Tensor, width: int, tile: int | None = None
) -> Tokens:
    """Encode the studies that have an input; the others, whatever filler stands there, get no real token.

    Args:
        network: The encoder.
        fields: (B, ...) prepared tensors.
        has: (B,) which studies have the input.
        width: D, for a batch in which none has.
        tile: Studies that the encoder sees at once; None for all.
    """
    if bool(has.all()):
        return _encode(network, fields, tile)
    if not bool(has.any()):
        return Tokens(
            torch.zeros(len(has), 1, width, device=has.device), torch.zeros(len(has), 1, dtype=torch.bool, device=has.device)
        )
    tokens = _encode(network, {name: values[has] for name, values in fields.items()}, tile)
    values = tokens.values.new_zeros((len(has), *tokens.values.shape[1:]))
    mask = torch.zeros((len(has), tokens.mask.shape[1]), dtype=torch.bool, device=has.device)
    rows = has.nonzero().squeeze(1)
    return Tokens(values.index_copy(0, rows, tokens.values), mask.index_copy(0, rows, tokens.mask))


def _encode(network: nn.Module, fields: Mapping[str, torch.Tensor], tile: int | None) -> Tokens:
    tokens: Tokens = network(fields) if tile is None else in_tiles(network, fields, tile)
    return tokens
