"""The package as an MLflow pyfunc: a table of studies in, a table of scores out, rejected studies among them by code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medmm.cohort.studies import Sources, read_studies
from medmm.errors import DataError
from medmm.inputs import gather
from medmm.package import Package, load_package
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.precision import make_ready
from medmm.scoring.results import scored
from medmm.scoring.sinks.base import Row


class StudyModel:
    """What `mlflow.pyfunc.load_model` gives.

    Args:
        package: The verified package.
    """

    def __init__(self, package: Package) -> None:
        self.package = package

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Score a studies table.

        Args:
            model_input: The studies table, all cells text.
            params: `root`, the folder with the images and tables that the studies refer to; `workers`, processes that decode.

        Returns:
            A row a study in the order given; `code` and `reason` are empty for a scored one. What a rejected one lacks and
            what cannot be told is None, in a column of objects: JSON has no NaN.

        Raises:
            DataError: The table cannot be used.
        """
        options = {"root": ".", "workers": 0, **(params or {})}
        settings = self.package.cohort.model_copy(update={"root": Path(str(options["root"]))})
        if not all(isinstance(cell, str) for column in model_input.columns for cell in model_input[column]):
            raise DataError(
                "a cell of the studies table is no text, so it may not be what stood there: read the table with dtype=str, "
                'keep_default_na=False; an empty cell is ""'
            )
        sources = Sources.open(settings, model_input)
        studies = gather(self.package.inputs, sources, read_studies(sources, None))
        stream = score_stream(self.package, studies, Options(workers=int(options["workers"])))
        rows = [outcome.row for outcomes in stream for outcome in outcomes]
        columns = [*scored(self.package).names, "code", "reason"]
        place = {study.study_id: study.row for study in studies}
        rows.sort(key=lambda row: int(str(row.get("row", place[str(row["study_id"])]))))
        return _frame([{"code": "", "reason": "", **row} for row in rows], columns)


def _frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Give rows as a table, in which a column without nulls has the type of its cells and another holds objects."""
    cells = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns}
    return pd.DataFrame({name: one if one.isna().any() else one.infer_objects() for name, one in cells.items()})


def _load_pyfunc(path: str) -> StudyModel:
    """Load the package in a folder, and have this machine answer its golden samples; called by MLflow."""
    package, _ = make_ready(load_package(Path(path)), Options())
    return StudyModel(package)
