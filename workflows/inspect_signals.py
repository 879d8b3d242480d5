"""What `medmm inspect` says of signals: what the recordings of a run are, and which of them its settings refuse."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

from medmm.dataset.decode import LOST
from medmm.errors import Code, Rejected
from medmm.inputs.signal import SignalSettings
from medmm.inputs.signal_preparation import chosen, in_units, resampled, segments_of
from medmm.preview.sketch import shown_leads, shown_unit
from medmm.readers.waveform import read_waveform, signal_format_of
from medmm.readers.waveform_checks import check_waveform
from medmm.types import Study, Waveform
from medmm.workers import answers, cores

from .screen import Screen
from .sections import Section

if TYPE_CHECKING:
    from medmm.config import RunConfig  # which a process that reads need not load

COLUMNS = ("format", "leads", "rate_hz", "unit")
"""What recordings are counted by."""


@dataclass(frozen=True)
class Asked:
    """One recording: of which study, and for which input."""

    row: int
    name: str
    files: tuple[Path, ...]
    settings: SignalSettings


@dataclass(frozen=True)
class Told:
    """What a recording is, and why the run would refuse it; nothing of it is text that somebody typed."""

    format: str
    leads: str
    rate_hz: float
    unit: str
    seconds: float
    refused: Rejected | None


def describe_signals(config: "RunConfig", studies: Sequence[Study], screen: Screen) -> dict[str, Section]:
    """Read the recordings of a run in worker processes, and count what they are.

    Args:
        config: The run.
        studies: Gathered.
        screen: Shows progress.
    """
    signals = {name: one for name, one in config.inputs.items() if isinstance(one, SignalSettings)}
    asked = [
        Asked(study.row, name, study.evidence[name].files, settings)
        for study in studies
        for name, settings in signals.items()
        if name in study.evidence
    ]
    found: list[tuple[Asked, Told | Rejected]] = []
    if asked:
        with screen.step("reading signals") as step:
            for one, (_, said) in zip(asked, answers(asked, _setup, min(cores(), len(asked))), strict=True):
                found.append((one, Rejected(said, "the reader", *LOST[said]) if isinstance(said, Code) else said))
                step(len(found), len(asked))
    kinds: dict[tuple[object, ...], list[float]] = {}
    for one, said in found:
        if isinstance(said, Told):
            kinds.setdefault((one.name, said.format, said.leads, said.rate_hz, said.unit), []).append(said.seconds)
    reasons = [(one, said if isinstance(said, Rejected) else said.refused) for one, said in found]
    refused = Counter((one.name, reason.code.value) for one, reason in reasons if reason is not None)
    rows = sorted(starmap(_counted, kinds.items()), key=lambda row: (row[0], -int(str(row[-1]))))
    return {
        "signals": Section("Signals", ("input", *COLUMNS, "seconds", "recordings"), rows),
        "signals_refused": Section(
            "Signals that would be rejected", ("input", "code", "recordings"), [(*kind, n) for kind, n in refused.most_common()]
        ),
        "each_signal": Section(
            "Each signal", ("study", "input", *COLUMNS, "seconds", "why_not"), list(starmap(_each, found)), detail=True
        ),
    }


def _counted(kind: tuple[object, ...], seconds: Sequence[float]) -> tuple[object, ...]:
    low, high = (f"{one:.4g}" for one in (min(seconds), max(seconds)))
    return (*kind, low if low == high else f"{low} to {high}", len(seconds))


def _each(one: Asked, said: Told | Rejected) -> tuple[object, ...]:
    if isinstance(said, Rejected):
        return (one.row, one.name, None, None, None, None, None, str(said))
    why_not = None if said.refused is None else str(said.refused)
    return (one.row, one.name, said.format, said.leads, said.rate_hz, said.unit, round(said.seconds, 3), why_not)


def _setup() -> Callable[[Asked], Told | Rejected]:
    """Make a process ready to read."""
    return _read


def _read(one: Asked) -> Told | Rejected:
    try:
        recording = read_waveform(one.files)
        formats = {kind for file in one.files if (kind := signal_format_of(file, "a file")) is not None}
    except Rejected as reason:
        return reason
    return Told(
        " and ".join(sorted(str(kind) for kind in formats)),
        shown_leads(recording),
        round(recording.rate_hz, 3),
        ", ".join(dict.fromkeys(shown_unit(unit) or "not stated" for unit in recording.units)),
        recording.seconds,
        _refusal(recording, one.settings),
    )


def _refusal(recording: Waveform, settings: SignalSettings) -> Rejected | None:
    """Tell why the run would refuse a recording, as far as that can be known before a training."""
    try:
        picked = chosen(recording, settings.leads or recording.leads)
        check_waveform(picked if settings.unit is None else in_units(picked, [settings.unit] * len(picked.leads)))
        segments_of(resampled(picked.values, picked.rate_hz, settings.rate_hz), settings.samples, 1)
    except Rejected as reason:
        return reason
    return None
