"""From what a model says of studies to the rows of results. T studies of a tile, C answers, K outputs of a head."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from medmm.dataset.batches import stack
from medmm.errors import Rejected
from medmm.evaluation.answers import answer_cells
from medmm.evaluation.drift import PROJECTION
from medmm.inputs.base import Fields
from medmm.package import Package
from medmm.predict import predict
from medmm.references import Cell
from medmm.rules.book import Rulebook
from medmm.rules.trace import RULES, traced
from medmm.scoring.contributions import contribution_cells, to_ask
from medmm.scoring.sinks.base import Row
from medmm.tiles import filled_batch
from medmm.types import Batch, Study


@dataclass(frozen=True)
class Outcome:
    """How a study ended: in a row of `scores`, or of `rejected`.

    Attributes:
        study: It, after the rules before the model.
        row: Columns of `medmm.scoring.results.scored` or `rejected`.
        reason: Why it is rejected; None where it is scored.
    """

    study: Study
    row: Row
    reason: Rejected | None = None


def tile_of(package: Package, studies: Sequence[Mapping[str, Fields]], tile: int) -> Batch:
    """Give prepared studies, at least one and at most T, as a batch of T where the model is; copies of the last fill it up."""
    device = next(package.model.parameters()).device
    found = {name: [prepared.get(name) for prepared in studies] for name in sorted(package.inputs)}
    batch = Batch(
        inputs={name: stack(fields, pinned=device.type == "cuda") for name, fields in found.items()},
        present={name: torch.tensor([one is not None for one in fields]) for name, fields in found.items()},
        target=None,
        rows=torch.arange(len(studies)),
    )
    return filled_batch(batch.to(device), tile)


def score_tile(
    package: Package,
    book: Rulebook,
    studies: Sequence[tuple[Study, Mapping[str, Fields]]],
    tile: int,
    *,
    contributions: bool = True,
) -> list[Outcome]:
    """Give the outcomes of prepared studies, at least one and at most T of them.

    Everything is computed of T studies, and the copies are left out at the end, so that no number hangs on how many there were.

    Args:
        package: The model.
        book: Its rules.
        studies: After the rules before the model, with their fields.
        tile: T.
        contributions: Whether to say what each input adds.
    """
    everything = frozenset(package.inputs)
    batch = tile_of(package, [prepared for _, prepared in studies], tile)
    said = predict(package.model, [batch], to_ask(package) if contributions else [everything], tile=tile)
    raw = package.answer(said.logits[everything])  # (T, C)
    filled = [*(study for study, _ in studies), *[studies[-1][0]] * (tile - len(studies))]
    answers, fired = book.answers(filled, raw)  # (T, C)
    found = package.doubts(filled, answers, said)
    cells: dict[str, Sequence[Cell]] = {
        **answer_cells(package.target, answers, package.thresholds),
        **{name: [_finite(cell) for cell in of_studies] for name, of_studies in found.items()},
    }
    if contributions:
        cells |= contribution_cells(package, answers, said)
    projected = None if package.references is None else package.references.drift.cells(said)
    scored_at = now()
    return [
        Outcome(
            study,
            {
                "patient_id": study.patient_id,
                "study_id": study.study_id,
                **{name: of_studies[i] for name, of_studies in cells.items()},
                **{
                    f"raw_probability_{name}": float(p)
                    for name, p in zip(package.target.names, raw[i], strict=True)
                    if book.moves
                },
                "inputs": sorted(prepared),
                "conflict": None if said.conflict is None else float(said.conflict[i]),
                **(traced(fired[i]) if book.rules else {}),
                **({} if projected is None else {PROJECTION: projected[i]}),
                "model_digest": package.digest,
                "computed_in": package.computed_in,
                "scored_at": scored_at,
            },
        )
        for i, (study, prepared) in enumerate(studies)
    ]


def reject(study: Study, reason: Rejected, package: Package) -> Outcome:
    """Give the outcome of a study that must not be scored."""
    row = {
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "row": study.row,
        "code": reason.code.value,
        "reason": str(reason),
        "model_digest": package.digest,
        "scored_at": now(),
        **({RULES: traced(study.fired)[RULES]} if package.rules else {}),
    }
    return Outcome(study, row, reason)


def _finite(cell: Cell) -> Cell:
    """Give null for an interval without an end: JSON has no infinity."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def now() -> str:
    """Give the time, UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
