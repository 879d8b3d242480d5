"""What is said of a study beside its answer: how sure the model is, and whether and why no answer should be relied on.

It comes from the intended use and from what is known of training and validation studies; scoring, training and evaluation ask
here, so that they abstain alike. S studies, C answers.
"""

from collections.abc import Sequence

from medmm.cohort.target import TargetSettings
from medmm.evaluation.answers import Kind
from medmm.evaluation.novelty import Embedded
from medmm.intended_use import IntendedUse
from medmm.references import Cell, References
from medmm.types import Array, Study

ABSTAIN, WHY = "abstain", "abstain_why"

SEPARATOR = "; "
"""Between the reasons of one study, in a cell."""


def doubt_columns(references: References | None, intended: IntendedUse | None, target: TargetSettings) -> dict[str, Kind]:
    """Give the columns and their types; none for a model that knows nothing to doubt by."""
    columns = {} if references is None else references.columns(target)
    return columns if intended is None else columns | {ABSTAIN: "boolean", WHY: "string"}


def doubt_cells(
    references: References | None,
    intended: IntendedUse | None,
    target: TargetSettings,
    studies: Sequence[Study],
    answers: Array,
    said: Embedded,
) -> dict[str, list[Cell]]:
    """Give the cells (S,) of each column; of reasons first those of the intended use, absent inputs last among these.

    Args:
        references: Of the package.
        intended: Of the package.
        target: What is predicted.
        studies: The S studies.
        answers: (S, C) as they are given.
        said: What the model says of the same studies.
    """
    cells = {} if references is None else references.cells(target, answers, said)
    if intended is None:
        return cells
    known = [str(why) for why in cells.get(WHY, [""] * len(studies))]
    outside = (intended.reasons(study) for study in studies)
    why = [SEPARATOR.join([*own, *filter(None, [other])]) for own, other in zip(outside, known, strict=True)]
    return {**cells, ABSTAIN: [one != "" for one in why], WHY: list(why)}
