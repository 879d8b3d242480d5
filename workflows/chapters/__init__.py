"""The parts of the evidence about a model, in the order in which a reader meets them. One file a chapter, one line here."""

from collections.abc import Callable
from typing import TypeAlias

from medmm.evaluation.chapter import Chapter
from medmm.tables import Table

from ..screen import Screen
from ..subject import Subject
from .discrimination import discrimination
from .subgroups import groups
from .abstention import abstention_chapter
from .calibration import calibration_chapter
from .decision_curve import decision_curve_chapter
from .operating_points import operating_points_chapter

Write: TypeAlias = Callable[[Subject, Screen], Chapter]
"""Gathers one part; where it does not apply, the chapter says why and holds no number."""

CHAPTERS: Table[Write] = Table(
    "chapter",
    {
        "discrimination": discrimination,
        "subgroups": groups,
        "operating_points": operating_points_chapter,
        "calibration": calibration_chapter,
        "decision_curve": decision_curve_chapter,
        "abstention": abstention_chapter,
    },
)
