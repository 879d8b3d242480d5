"""What reporting guidelines ask for, item by item, in our own short words, and which answer of an evaluation belongs to it.

The numbers are those of the guidelines; their sentences are not repeated here: read them beside the table.
"""

from medmm.evaluation.checklists.claim import CLAIM
from medmm.evaluation.checklists.item import Checklist, Item
from medmm.evaluation.checklists.stard_ai import STARD_AI
from medmm.evaluation.checklists.tripod_ai import TRIPOD_AI

__all__ = ["CHECKLISTS", "Checklist", "Item"]

CHECKLISTS: tuple[Checklist, ...] = (TRIPOD_AI, CLAIM, STARD_AI)
