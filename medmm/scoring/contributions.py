"""What each input adds to the answer of a study, beside its score. T studies of a tile, C answers, I inputs.

The same shares as `medmm explain` gives: Shapley values over the inputs that a study has, in log odds of the answer or in the
unit of the value, of the model with its temperature, before a curve of its calibration and the rules. The encoders have run
already; only the fusion is asked again, with every subset of the inputs.
"""

from dataclasses import replace

import numpy as np

from medmm.evaluation.answers import CONTRIBUTION_FOR, foremost
from medmm.evaluation.recalibration import Recalibration
from medmm.evaluation.shapley import log_odds, shapley
from medmm.package import Package
from medmm.predict import Predicted, Subset, subsets
from medmm.references import Cell
from medmm.types import Array


def to_ask(package: Package) -> list[Subset]:
    """Give the subsets of inputs that the model is to be asked with: all of them first, and none at all."""
    return [*subsets(list(package.inputs)), frozenset()]


def contribution_cells(package: Package, answers: Array, said: Predicted) -> dict[str, list[Cell]]:
    """Give the cells (T,) of each column; an input that a study lacks adds nothing that could be told: null.

    Args:
        package: The model.
        answers: (T, C) as they are given; they say which answer is spoken of.
        said: With every subset of `to_ask`.
    """
    target = package.target
    column = foremost(target, answers, package.thresholds)  # (T,)
    plain = replace(package, calibration=Recalibration())
    values = {some: _at(log_odds(plain.answer(logits), target.task), column) for some, logits in said.logits.items()}
    shares = shapley(values)
    cells: dict[str, list[Cell]] = {CONTRIBUTION_FOR: [target.names[i] for i in column]} if len(target.names) > 1 else {}
    for place, (name, share) in enumerate(shares.items()):
        has = said.present[:, place].tolist()
        cells[f"contribution_{name}"] = [one if there else None for one, there in zip(share.tolist(), has, strict=True)]
    return cells


def _at(values: Array, column: Array) -> Array:
    return np.asarray(np.take_along_axis(values, column[:, None], axis=1)[:, 0])
