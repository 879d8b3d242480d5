"""A piece of evidence about a model, as every reader gets it: sentences, numbers, tables and figures under one name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from medmm.evaluation.intervals import Estimate


@dataclass(frozen=True)
class Chapter:
    """One part of an evaluation. The page shows it, MLflow keeps it, and checks judge by its numbers.

    Attributes:
        name: Safe as a file name; measures, tables and figures stand under it in MLflow.
        title: Its headline for the eye.
        says: What was found, in sentences, each with its number, interval and n; or why there is nothing.
        measures: Name -> number with its interval and n.
        tables: Name -> one row a line; no identifier.
        figures: Name -> figure.
    """

    name: str
    title: str
    says: tuple[str, ...]
    measures: Mapping[str, Estimate] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
