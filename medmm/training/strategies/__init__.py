"""Ways to fine-tune by name."""

from medmm.tables import Table
from medmm.training.strategies.base import StrategySettings
from medmm.training.strategies.ogm_ge import OgmGe
from medmm.training.strategies.supervised import Supervised

STRATEGIES: Table[type[StrategySettings]] = Table(
    "training strategy",
    {
        "supervised": Supervised,
        "ogm_ge": OgmGe,
    },
)
