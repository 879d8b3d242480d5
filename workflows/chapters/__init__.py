"""The parts of the evidence about a model, in the order in which a reader meets them. One file a chapter, one line here."""

from collections.abc import Callable
from typing import TypeAlias

from medmm.evaluation.chapter import Chapter
from medmm.tables import Table

from ..screen import Screen
from ..subject import Subject
from .abstention import abstention_chapter
from .calibration import calibration_chapter
from .conformal import conformal
from .decision_curve import decision_curve_chapter
from .discrimination import discrimination
from .examples import examples
from .importance import importance
from .missing_inputs import missing_inputs
from .novelty import novelty
from .operating_points import operating_points_chapter
from .robustness import robustness
from .subgroups import groups

Write: TypeAlias = Callable[[Subject, Screen], Chapter]
"""Gathers one part; where it does not apply, the chapter says why and holds no number."""

CHAPTERS: Table[Write] = Table(
    "chapter",
    {
        "discrimination": discrimination,
        "operating_points": operating_points_chapter,
        "calibration": calibration_chapter,
        "decision_curve": decision_curve_chapter,
        "subgroups": groups,
        "missing_inputs": missing_inputs,
        "importance": importance,
        "robustness": robustness,
        "novelty": novelty,
        "conformal": conformal,
        "abstention": abstention_chapter,
        "examples": examples,
    },
)
