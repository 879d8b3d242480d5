"""Encoders, fusion and heads as one network. B studies, N tokens, D width, C classes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import nn
from torch.nn import functional

from medmm.fusion import FUSIONS
from medmm.fusion.base import Fused, Fusion, FusionSettings, drop_inputs, hidden, pooled, present
from medmm.fusion.late import LateSettings
from medmm.fusion.transformer import TransformerSettings
from medmm.inputs import Inputs
from medmm.inputs.base import FEW_PATIENTS
from medmm.settings import Settings, named_choice
from medmm.types import Array, Batch, Task, Tokens


class ModelSettings(Settings):
    """Width, fusion and heads."""

    width: int = Field(128, ge=8)
    """D of every token and of the joint representation; a multiple of the attention heads."""

    fusion: Annotated[SerializeAsAny[FusionSettings], BeforeValidator(named_choice("name", lambda: FUSIONS))] = (
        TransformerSettings()
    )
    """How inputs become one representation; where left out, transformer, or below 1,000 training patients late."""

    class_weight: Literal["balanced", "none"] = "balanced"
    """Let rare classes weigh more in the loss; the scores are corrected for it, so that they stay probabilities."""


def suited_fusion(patients: int) -> FusionSettings:
    """Give the fusion for a run that does not name one, by its number of training patients."""
    return LateSettings() if patients < FEW_PATIENTS else TransformerSettings()


@dataclass(frozen=True)
class Output:
    """What the network says of a batch.

    Attributes:
        logits: (B, C) as the loss wants them.
        auxiliary: Input -> (B, C) of its own head; meaningless where the input is absent.
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
        task: Binary, multiclass or multilabel.
        class_weight: (C,) weight of the loss on each class (of the positives, for binary and multilabel).
    """

    class_weight: torch.Tensor

    def __init__(self, settings: ModelSettings, inputs: Inputs, task: Task, class_weight: Sequence[float]) -> None:
        super().__init__()
        self.task = task
        self.fusion_settings = settings.fusion
        self.encoders = nn.ModuleDict({name: inputs[name].encoder(settings.width) for name in sorted(inputs)})
        self.fusion: Fusion = settings.fusion.build(settings.width, list(inputs))
        self.head = nn.Linear(settings.width, len(class_weight))
        self.auxiliary = nn.ModuleDict({name: nn.Linear(settings.width, len(class_weight)) for name in sorted(inputs)})
        self.register_buffer("class_weight", torch.tensor(class_weight, dtype=torch.float32))

    def encode(self, batch: Batch) -> dict[str, Tokens]:
        """Give the tokens of every input. An encoder sees only the studies that have its input, so filler reaches nothing."""
        return {
            name: encode_present(network, batch.inputs[name], batch.present[name], self.head.in_features)
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
        own = {name: self.evidence(head(pooled(fused[name]))) for name, head in self.auxiliary.items()}
        joint = self.fusion(fused, own)
        logits = self.head(joint.joint) if joint.logits is None else joint.logits + self.class_weight.log()
        auxiliary = {name: head(pooled(tokens[name])) for name, head in self.auxiliary.items()}
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
                own = torch.where(has, self.study_losses(logits, batch.target), 0.0).sum() / has.sum().clamp(min=1)
                total = total + weight * own / len(self.auxiliary)
        return total

    def joint_loss(self, output: Output, batch: Batch) -> torch.Tensor:
        """Give the mean loss of the diagnosis and of breaches of rules, without the fusion's penalty and the inputs' own heads.

        It chooses the checkpoint.
        """
        assert batch.target is not None
        loss = self.study_losses(output.logits, batch.target).sum() / batch.labelled.sum().clamp(min=1)
        return loss if batch.bounds is None else loss + breach(self.log_odds(output.logits), batch.bounds)

    def study_losses(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,) of each study; 0 where its target is not known (NaN)."""
        known = ~target.isnan().any(1)
        return torch.where(known, self._loss(logits, torch.where(known[:, None], target, 0.0)), 0.0)

    def said(self, logits: torch.Tensor) -> torch.Tensor:
        """Give what logits (B, C) say, freed from class weights: the probability of each class."""
        free = self.evidence(logits)
        return free.softmax(1) if self.task == "multiclass" else free.sigmoid()

    def log_odds(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the log odds (B, C) of each class, freed from the class weights of the loss."""
        free = self.evidence(logits)
        if self.task != "multiclass":
            return free
        others = torch.stack(
            [free[:, [k for k in range(free.shape[1]) if k != c]].logsumexp(1) for c in range(free.shape[1])], 1
        )
        return free - others

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Give logits (B, C) freed from the class weights of the loss, so that they speak of the cohort's own prevalence.

        A weight w on a class adds log w to its logit (Elkan 2001, The Foundations of Cost-Sensitive Learning, theorem 2).
        """
        return logits - self.class_weight.log()

    def _loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.task == "multiclass":
            return functional.cross_entropy(logits, target, weight=self.class_weight, reduction="none")
        loss = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.class_weight, reduction="none")
        return loss.mean(1)


def breach(log_odds: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Give the mean penalty of studies whose log odds (B, C) lie outside their bounds (B, C, 3).

    It grows with the distance in log odds, so that a certain answer far outside feels the same pull as one near the bound.
    """
    lower, upper = (bounds[..., k].clamp(1e-6, 1 - 1e-6).logit() for k in range(2))
    below = torch.where(bounds[..., 0] > 0, torch.relu(lower - log_odds), 0.0)
    above = torch.where(bounds[..., 1] < 1, torch.relu(log_odds - upper), 0.0)
    return ((below + above) * bounds[..., 2]).sum(1).mean()


def balanced_weights(target: Array, task: Task, limit: float = 20.0) -> tuple[float, ...]:
    """Give (C,) weights that let classes count alike: negatives per positive, or the mean class size over each class's.

    Args:
        target: (S, C) of the training studies.
        task: Binary, multiclass or multilabel.
        limit: No class weighs more than this, nor less than its inverse; a very rare class would make training unsteady.
    """
    positives = target.sum(0).clip(min=1)
    ratio = len(target) / len(positives) / positives if task == "multiclass" else (len(target) - positives) / positives
    return tuple(float(weight) for weight in ratio.clip(1 / limit, limit))


def encode_present(network: nn.Module, fields: Mapping[str, torch.Tensor], has: torch.Tensor, width: int) -> Tokens:
    """Encode the studies that have an input; the others, whatever filler stands there, get no real token.

    Args:
        network: The encoder.
        fields: (B, ...) prepared tensors.
        has: (B,) which studies have the input.
        width: D, for a batch in which none has.
    """
    if bool(has.all()):
        tokens: Tokens = network(fields)
        return tokens
    if not bool(has.any()):
        return Tokens(
            torch.zeros(len(has), 1, width, device=has.device), torch.zeros(len(has), 1, dtype=torch.bool, device=has.device)
        )
    tokens = network({name: values[has] for name, values in fields.items()})
    values = tokens.values.new_zeros((len(has), *tokens.values.shape[1:]))
    mask = torch.zeros((len(has), tokens.mask.shape[1]), dtype=torch.bool, device=has.device)
    rows = has.nonzero().squeeze(1)
    return Tokens(values.index_copy(0, rows, tokens.values), mask.index_copy(0, rows, tokens.mask))
