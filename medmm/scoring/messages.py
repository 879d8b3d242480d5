"""Studies and outcomes as JSON text, for the way to another machine: plain data, every field of them, and nothing that runs."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.scoring.rows import Outcome
from medmm.settings import Plain
from medmm.types import Evidence, Facts, Firing, Study


def studies_text(studies: list[Study]) -> str:
    """Give studies as text: where their data lies, never the data."""
    return json.dumps([_study(study) for study in studies])  # all of it ASCII, so that any file name survives


def studies_of(text: str) -> list[Study]:
    """Give the studies of a text."""
    return [_study_of(one) for one in json.loads(text)]


def outcomes_text(outcomes: list[Outcome]) -> str:
    """Give outcomes as text."""
    return json.dumps([[_study(one.study), dict(one.row), one.reason and _rejected(one.reason)] for one in outcomes])


def outcomes_of(text: str) -> list[Outcome]:
    """Give the outcomes of a text; numbers are the same bit for bit."""
    return [
        Outcome(_study_of(study), row, None if reason is None else _rejected_of(reason))
        for study, row, reason in json.loads(text)
    ]


def _study(study: Study) -> Plain:
    return {
        "row": study.row,
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "time": None if study.time is None else study.time.isoformat(),
        "label": None if study.label is None else list(study.label),
        "groups": dict(study.groups),
        "cells": dict(study.cells),
        "evidence": {name: _evidence(one) for name, one in study.evidence.items()},
        "rejected": {name: _rejected(one) for name, one in study.rejected.items()},
        "fired": [[one.rule, one.effect, one.said] for one in study.fired],
    }


def _study_of(plain: Plain) -> Study:
    return Study(
        row=plain["row"],
        patient_id=plain["patient_id"],
        study_id=plain["study_id"],
        time=None if plain["time"] is None else datetime.fromisoformat(plain["time"]),
        label=None if plain["label"] is None else tuple(plain["label"]),
        groups=plain["groups"],
        cells=plain["cells"],
        evidence={name: _evidence_of(one) for name, one in plain["evidence"].items()},
        rejected={name: _rejected_of(one) for name, one in plain["rejected"].items()},
        fired=tuple(Firing(*one) for one in plain["fired"]),
    )


def _evidence(one: Evidence) -> Plain:
    cells = None if one.cells is None else dict(one.cells)
    return {
        "files": [str(file) for file in one.files],
        "counts": list(one.counts),
        "cells": cells,
        "text": one.text,
        "facts": None if one.facts is None else asdict(one.facts),
    }


def _evidence_of(plain: Plain) -> Evidence:
    files = tuple(Path(file) for file in plain["files"])
    facts = None if plain["facts"] is None else Facts(**{name: _as_fact(value) for name, value in plain["facts"].items()})
    return Evidence(files, tuple(plain["counts"]), plain["cells"], plain["text"], facts)


def _as_fact(value: Plain) -> Plain:
    return tuple(value) if isinstance(value, list) else value


def _rejected(reason: Rejected) -> Plain:
    return [reason.code.value, reason.where, reason.found, reason.expected, reason.repair]


def _rejected_of(plain: Plain) -> Rejected:
    code, *words = plain
    return Rejected(Code(code), *words)
