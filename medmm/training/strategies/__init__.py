"""Ways to fine-tune by name."""

from medmm.tables import Table
from medmm.training.strategies.adversarial import Adversarial
from medmm.training.strategies.base import StrategySettings
from medmm.training.strategies.domain_adversarial import DomainAdversarial
from medmm.training.strategies.fixmatch import FixMatch
from medmm.training.strategies.gradual import Gradual
from medmm.training.strategies.group_dro import GroupDRO
from medmm.training.strategies.linear_probe import LinearProbe
from medmm.training.strategies.lora import LoRA
from medmm.training.strategies.mean_teacher import MeanTeacher
from medmm.training.strategies.ogm_ge import OgmGe
from medmm.training.strategies.pseudo_labels import PseudoLabels
from medmm.training.strategies.supervised import Supervised
from medmm.training.strategies.transfer import Transfer

STRATEGIES: Table[type[StrategySettings]] = Table(
    "training strategy",
    {
        "supervised": Supervised,
        "linear_probe": LinearProbe,
        "gradual": Gradual,
        "lora": LoRA,
        "transfer": Transfer,
        "ogm_ge": OgmGe,
        "adversarial": Adversarial,
        "mean_teacher": MeanTeacher,
        "fixmatch": FixMatch,
        "pseudo_labels": PseudoLabels,
        "domain_adversarial": DomainAdversarial,
        "group_dro": GroupDRO,
    },
)
