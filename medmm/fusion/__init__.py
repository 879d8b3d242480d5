"""Fusion methods by name."""

from medmm.fusion.base import FusionSettings
from medmm.fusion.bottleneck import BottleneckSettings
from medmm.fusion.concat import ConcatSettings
from medmm.fusion.cross_attention import CrossAttentionSettings
from medmm.fusion.disentangled import DisentangledSettings
from medmm.fusion.evidential import EvidentialSettings
from medmm.fusion.film import FilmSettings
from medmm.fusion.gated import GatedSettings
from medmm.fusion.iterative import IterativeSettings
from medmm.fusion.late import LateSettings
from medmm.fusion.low_rank import LowRankSettings
from medmm.fusion.mixture import MixtureSettings
from medmm.fusion.product_of_experts import ProductOfExpertsSettings
from medmm.fusion.shared_latent import SharedLatentSettings
from medmm.fusion.squeeze_excite import SqueezeExciteSettings
from medmm.fusion.transformer import TransformerSettings
from medmm.fusion.weighted import WeightedSettings
from medmm.tables import Table

FUSIONS: Table[type[FusionSettings]] = Table(
    "fusion",
    {
        "transformer": TransformerSettings,
        "weighted": WeightedSettings,
        "concat": ConcatSettings,
        "late": LateSettings,
        "gated": GatedSettings,
        "squeeze_excite": SqueezeExciteSettings,
        "film": FilmSettings,
        "low_rank": LowRankSettings,
        "shared_latent": SharedLatentSettings,
        "cross_attention": CrossAttentionSettings,
        "bottleneck": BottleneckSettings,
        "iterative": IterativeSettings,
        "disentangled": DisentangledSettings,
        "mixture": MixtureSettings,
        "product_of_experts": ProductOfExpertsSettings,
        "evidential": EvidentialSettings,
    },
)
