"""What the losses of classes share: weights, and answers that are probabilities.

Letters: B studies of a batch, S studies, C classes, or of an ordinal task grades but the lowest.

Source:
    Elkan 2001, The Foundations of Cost-Sensitive Learning, theorem 2 (weights);
    Frank & Hall 2001, A Simple Approach to Ordinal Classification; Li & Lin 2006, Ordinal Regression by Extended Binary
    Classification; Cao, Mirjalili & Raschka 2020 (CORAL): a binary question for each grade but the lowest.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch.nn import functional

from medmm.losses.base import Loss
from medmm.types import Array, Task

WEIGHT_LIMIT = 20.0
"""No class weighs more than this, nor less than its inverse; a very rare class would make training unsteady."""


class ClassLoss(Loss):
    """A loss of classes.

    Args:
        task: Binary, multiclass, multilabel or ordinal.
        class_weight: (C,) weight of the loss on each class (of the positives, where classes do not exclude each other).
        balanced: Take the weights from the training studies instead.
    """

    tempered: ClassVar[bool] = True
    class_weight: torch.Tensor

    def __init__(self, task: Task, class_weight: Sequence[float], *, balanced: bool = False) -> None:
        super().__init__(task, len(class_weight))
        self.balanced = balanced
        self.register_buffer("class_weight", torch.tensor(class_weight, dtype=torch.float32))

    def fit(self, target: Array) -> None:
        """Take the weights of the classes."""
        if self.balanced:
            self.class_weight.copy_(torch.tensor(balanced_weights(target, self.task)))

    def link(self, raw: torch.Tensor) -> torch.Tensor:
        """Give logits (B, C); those of grades fall from grade to grade."""
        return ordered(raw) if self.task == "ordinal" else raw

    @abstractmethod
    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""

    def free(self, logits: torch.Tensor) -> torch.Tensor:
        """Take the log of each weight from the logit that it has raised (Elkan 2001)."""
        return logits - self.class_weight.log()

    def bind(self, freed: torch.Tensor) -> torch.Tensor:
        """Add it again."""
        return freed + self.class_weight.log()

    def answer(self, evidence: torch.Tensor) -> torch.Tensor:
        """Give probabilities (B, C); none of a grade is above that of a lower one."""
        if self.task == "multiclass":
            return evidence.softmax(1)
        said = evidence.sigmoid()
        return said.cummin(1).values if self.task == "ordinal" else said

    def likelihood(self, evidence: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the cross-entropy (B,), of several questions their sum."""
        if self.task == "multiclass":
            return functional.cross_entropy(evidence, target, reduction="none")
        return functional.binary_cross_entropy_with_logits(evidence, target, reduction="none").sum(1)


def ordered(raw: torch.Tensor) -> torch.Tensor:
    """Give logits (B, C) of which each is below the one before, by steps that are soft-plus of what a head gives (B, C)."""
    steps = torch.cat([raw[:, :1], -functional.softplus(raw[:, 1:])], dim=1)
    return steps.cumsum(1)


def one_against_others(logits: torch.Tensor) -> torch.Tensor:
    """Give for each of the classes, which exclude each other, the log odds (B, C) of it against all others."""
    classes = logits.shape[1]
    others = logits[:, None, :].expand(-1, classes, -1).masked_fill(torch.eye(classes, device=logits.device) > 0, -torch.inf)
    return logits - others.logsumexp(2)


def balanced_weights(target: Array, task: Task, limit: float = WEIGHT_LIMIT) -> tuple[float, ...]:
    """Give (C,) weights that let classes count alike: negatives per positive, or the mean class size over each class's.

    Args:
        target: (S, C) of the training studies.
        task: Multiclass, or another task of classes.
        limit: Most that a class may weigh.
    """
    positives = target.sum(0).clip(min=1)
    ratio = len(target) / len(positives) / positives if task == "multiclass" else (len(target) - positives) / positives
    return tuple(float(weight) for weight in ratio.clip(1 / limit, limit))
