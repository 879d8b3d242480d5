"""How methods end whose inputs have already heard of each other. B studies, D width, I inputs."""

import torch
from torch import nn

from medmm.fusion.base import mean_of_present


class Join(nn.Module):
    """Z as the mean of the present inputs, each through a map of its own, then one layer over all."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(width, width) for _ in range(inputs))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width))

    def forward(self, values: torch.Tensor, has: torch.Tensor) -> torch.Tensor:
        """Give Z (B, D) of one vector an input (B, I, D) and of which inputs are there (B, I)."""
        made = torch.stack([project(values[:, i]) for i, project in enumerate(self.project)], dim=1)  # (B, I, D)
        joint: torch.Tensor = self.mix(mean_of_present(made, has))
        return joint
