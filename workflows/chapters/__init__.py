"""The parts of the evidence about a model, in the order in which a reader meets them. One file a chapter, one line here."""

from collections.abc import Callable
from typing import TypeAlias

from medmm.evaluation.chapter import Chapter
from medmm.tables import Table

from ..screen import Screen
from ..subject import Subject
from .examples import examples

Write: TypeAlias = Callable[[Subject, Screen], Chapter]
"""Gathers one part; where it does not apply, the chapter says why and holds no number."""

CHAPTERS: Table[Write] = Table("chapter", {"examples": examples})
