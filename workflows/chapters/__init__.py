"""The parts of the evidence about a model, in the order in which a reader meets them. One file a chapter, one line here."""

from collections.abc import Callable
from typing import TypeAlias

from medmm.evaluation.chapter import Chapter
from medmm.tables import Table

from ..screen import Screen
from ..subject import Subject
from .importance import importance
from .missing_inputs import missing_inputs
from .robustness import robustness

Write: TypeAlias = Callable[[Subject, Screen], Chapter]
"""Gathers one part; where it does not apply, the chapter says why and holds no number."""

CHAPTERS: Table[Write] = Table(
    "chapter",
    {
        "missing_inputs": missing_inputs,
        "importance": importance,
        "robustness": robustness,
    },
)
