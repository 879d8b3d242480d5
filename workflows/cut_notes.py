"""How much of the notes a text encoder never sees, because they are longer than it reads."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medmm.dataset.cache import PreparedInput
from medmm.training.tracking import Record

from .screen import Screen

CUT = "cut"
"""The field of a prepared note with the number of its tokens that were cut."""


@dataclass(frozen=True)
class CutNotes:
    """What was cut of the notes of one input.

    Attributes:
        notes: Of all studies that have one.
        cut: Those of which something was.
        median_tokens: Cut of these, in the median.
    """

    notes: int
    cut: int
    median_tokens: float


def cut_notes(prepared: PreparedInput) -> CutNotes | None:
    """Count what was cut of prepared notes; None where the input has none."""
    counts = [shard[CUT][:, 0] for shard in prepared.shards if CUT in shard]
    if not counts:
        return None
    tokens = np.concatenate(counts)  # (N,)
    cut = tokens[tokens > 0]
    return CutNotes(tokens.size, cut.size, float(np.median(cut)) if cut.size else 0.0)


def tell_cut_notes(name: str, prepared: PreparedInput, screen: Screen) -> None:
    """Say what was cut of the notes of an input, if anything was."""
    found = cut_notes(prepared)
    if found is not None and found.cut:
        share = f"{found.cut} of {found.notes} notes of {name} were cut, by {found.median_tokens:g} tokens in the median"
        screen.say(f"{share}: raise inputs.{name}.max_tokens or inputs.{name}.chunks to have them read")


def record_cut_notes(prepared: Mapping[str, PreparedInput], record: Record) -> None:
    """Log the counts of every input that has notes."""
    for name, one in prepared.items():
        if (found := cut_notes(one)) is not None:
            counts = {"notes": found.notes, "cut": found.cut, "median_tokens_cut": found.median_tokens}
            record.measures({f"notes/{name}/{what}": float(count) for what, count in counts.items()})
