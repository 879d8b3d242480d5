"""How far two answers to the same study agree: what semi-supervised ways share. B studies, C classes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from medmm.model import DiagnosisModel


@contextmanager
def undisturbed(model: DiagnosisModel) -> Iterator[None]:
    """Let the network answer for a while as it does at scoring: without gradient, dropout or hidden inputs."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        torch.clear_autocast_cache()  # it keeps weights that were cast without gradient, and would hand them on


def distance(model: DiagnosisModel, logits: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Give the mean squared distance (B,) of what two logits (B, C) say; no gradient goes into `other`."""
    return (model.said(logits) - model.said(other.detach())).square().mean(1)


def pseudo_target(model: DiagnosisModel, said: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Turn answers (B, C) into labels: 1 at or above `high`, 0 at or below `low`, NaN where that leaves a study unsure.

    Args:
        model: Tells the task.
        said: Probabilities.
        low: (C,) for tasks whose classes are asked one by one.
        high: (C,)
    """
    if model.task == "multiclass":
        best = said.argmax(1)
        target = torch.nn.functional.one_hot(best, said.shape[1]).to(said.dtype)
        sure = said.gather(1, best[:, None])[:, 0] >= high[best]
    else:
        target = (said >= high).to(said.dtype)
        sure = ((said >= high) | (said <= low)).all(1)
    return torch.where(sure[:, None], target, torch.nan)
