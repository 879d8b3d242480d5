"""The shortest loop that does the same steps as a training: what ours is held against."""

from collections.abc import Callable, Iterable

import torch

from medmm.training.learner import parameter_groups, rate
from medmm.training.objective import Objective
from medmm.training.settings import LoopSettings
from medmm.types import Batch


def train_bare(
    objective: Objective,
    settings: LoopSettings,
    steps: int,
    training: Callable[[], Iterable[Batch]],
    validation: Callable[[], Iterable[Batch]],
) -> None:
    """Train with the same optimiser, rates and number of steps, keep no checkpoint, and choose no epoch.

    Args:
        objective: What learns.
        settings: The loop.
        steps: Of an epoch.
        training: Gives the batches of an epoch.
        validation: Gives the validation batches, which are asked for their loss once an epoch.
    """
    objective.train()
    optimizer = torch.optim.AdamW(parameter_groups(objective, settings), lr=settings.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step / (steps * settings.epochs)))
    for _ in range(settings.epochs):
        for batch in training():
            optimizer.zero_grad()
            objective.loss(batch).backward()
            torch.nn.utils.clip_grad_norm_(objective.parameters(), settings.gradient_clip)
            optimizer.step()
            scheduler.step()
        objective.eval()
        with torch.inference_mode():
            assert torch.stack([objective.validation_loss(batch) for batch in validation()]).isfinite().all()
        objective.train()
