"""What each cell of a table adds to an answer, against a patient who is as the training patients are on average.

Letters: P cells that are known, B variants.

Sources: Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions (exact here up to `EXACT` cells; Castro,
Gomez and Tejada 2009 by sampled orders above).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from medmm.evaluation.shapley import shapley
from medmm.explanation.deletion import Deletion, deletion
from medmm.explanation.voice import Voice
from medmm.explanation.words import STRUCK, is_named
from medmm.inputs.tabular import TabularInput
from medmm.types import Array, Evidence

EXACT = 8
"""Cells up to which every subset is tried."""

SAMPLED_ORDERS = 64


@dataclass(frozen=True)
class CellShare:
    """One cell.

    Attributes:
        column: Its name.
        value: What stands in the cell; "" where it is missing.
        unit: Of the value; "" where there is none.
        usual: What it is compared with.
        adds: What it adds to the answer, in log odds or the unit of the target; None where the cell is missing.
    """

    column: str
    value: str
    unit: str
    usual: str
    adds: float | None


@dataclass(frozen=True)
class TableShare:
    """What the cells of one table say.

    Attributes:
        name: Of the input.
        cells: The known ones by how much they add, then the missing ones.
        deletion: Whether this holds against random.
    """

    name: str
    cells: tuple[CellShare, ...]
    deletion: Deletion


def explain_cells(
    voice: Voice, one: TabularInput, evidence: Evidence, side: float, rng: np.random.Generator, names: Collection[str] = ()
) -> TableShare:
    """Explain a table.

    A number is compared with the mean of the training studies, a category with a missing cell.

    Args:
        voice: The model.
        one: The input.
        evidence: Where its cells stand.
        side: 1 where the answer is for the class that is explained, -1 where it is against it.
        rng: Of random orders.
        names: What is struck where it stands in a cell, from `names_of`.
    """
    settings, cells = one.settings, evidence.cells
    assert cells is not None
    fields = voice.fields[one.name]
    numbers = len(settings.numbers)
    there = torch.cat([fields["known"][0] > 0, fields["category"][0] > 0]).cpu().numpy()
    known = np.flatnonzero(there)

    def said(gone: Array) -> Array:
        """Give what is said (B,) where some of the known cells are gone (B, P)."""
        lost = np.zeros((len(gone), len(there)), bool)
        lost[:, known] = gone

        def vary(some: Array) -> dict[str, torch.Tensor]:
            mask = torch.from_numpy(lost[some]).to(voice.device)
            number = fields["number"].expand(len(some), -1).masked_fill(mask[:, :numbers], 0.0)
            category = fields["category"].expand(len(some), -1).masked_fill(mask[:, numbers:], 0)
            kept = {name: values.expand(len(some), *values.shape[1:]) for name, values in fields.items()}
            return {**kept, "number": number, "category": category}

        return voice.of_many(one.name, len(gone), vary)

    adds = shares(said, len(known), rng)
    tested = deletion(lambda gone: voice.support(said(gone), side), side * adds, rng, voice.unit)
    by_place = dict(zip(known.tolist(), adds.tolist(), strict=True))
    rows = [_cell(one, name, _shown(cells[name], names), by_place.get(place)) for place, name in enumerate(settings.features)]
    rows.sort(key=lambda row: -np.inf if row.adds is None else abs(row.adds), reverse=True)
    return TableShare(one.name, tuple(rows), tested)


def shares(said: Callable[[Array], Array], parts: int, rng: np.random.Generator) -> Array:
    """Give what each part adds (P,), by Shapley's value: exactly, or over sampled orders where there are many parts.

    Args:
        said: Which parts are gone (B, P) bool -> what is said (B,).
        parts: P.
        rng: Of the sampled orders.
    """
    if parts > EXACT:
        return _sampled(said, parts, rng)
    names = [str(place) for place in range(parts)]
    every = [frozenset(some) for size in range(parts + 1) for some in combinations(names, size)]
    gone = np.array([[name not in some for name in names] for some in every], bool).reshape(len(every), parts)
    added = shapley(dict(zip(every, said(gone), strict=True))) if parts else {}
    return np.array([float(added[name]) for name in names])


def _sampled(said: Callable[[Array], Array], parts: int, rng: np.random.Generator) -> Array:
    orders = [rng.permutation(parts) for _ in range(SAMPLED_ORDERS // 2)]
    orders += [order[::-1] for order in orders]  # an order and its reverse vary less than two that are drawn
    joined = np.array([[np.isin(np.arange(parts), order[count:]) for count in range(parts + 1)] for order in orders])
    values = said(joined.reshape(-1, parts)).reshape(len(orders), parts + 1)
    total = np.zeros(parts)
    for order, steps in zip(orders, np.diff(values, axis=1), strict=True):
        total[order] += steps
    return np.asarray(total / len(orders))


def _cell(one: TabularInput, name: str, value: str, adds: float | None) -> CellShare:
    numbers: Sequence[str] = list(one.settings.numbers)
    if name not in numbers:
        return CellShare(name, value, "", "not stated", adds)
    mean = one.state["scale"][name][0]
    statistic = name.rpartition(".")[2]
    unit = {"count": "values", "time_since": "days"}.get(statistic) if name not in one.settings.numeric else None
    unit = unit or one.settings.numbers[name].unit or ""
    unit = f"{unit}/day" if statistic == "slope" and name not in one.settings.numeric and unit else unit
    return CellShare(name, value, unit, f"{mean:.4g}", adds)


def _shown(cell: str, names: Collection[str]) -> str:
    """Strike a cell that names the person; a plain number names nobody unless it is the whole identifier."""
    return STRUCK if is_named(cell, names) else cell
