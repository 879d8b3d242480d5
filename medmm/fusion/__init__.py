"""Fusion methods by name."""

from medmm.fusion.base import FusionSettings
from medmm.fusion.concat import ConcatSettings
from medmm.fusion.transformer import TransformerSettings
from medmm.fusion.weighted import WeightedSettings
from medmm.tables import Table

FUSIONS: Table[type[FusionSettings]] = Table(
    "fusion",
    {
        "transformer": TransformerSettings,
        "weighted": WeightedSettings,
        "concat": ConcatSettings,
    },
)
