"""Ways to pretrain by name."""

from medmm.tables import Table
from medmm.training.pretraining.base import MethodSettings
from medmm.training.pretraining.both import Both
from medmm.training.pretraining.contrastive import Contrastive
from medmm.training.pretraining.masked import Masked

PRETRAININGS: Table[type[MethodSettings]] = Table(
    "way to pretrain",
    {
        "contrastive": Contrastive,
        "masked": Masked,
        "both": Both,
    },
)
