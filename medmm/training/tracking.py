"""The record of a run in MLflow: closed whatever happens, and without anything that names a patient."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from medmm.errors import ConfigError, MedmmError
from medmm.files import digest, is_safe_name
from medmm.inert import csv_text
from medmm.privacy.gate import GATE
from medmm.settings import Plain, Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server costs seconds, not the default's minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
SQLITE = "sqlite:///"
UI_VIEW = "workflowType=machine_learning"  # what makes the UI show runs; without it a browser's first page shows chat traces
REFUSED = re.compile(r"[^\w.\- :/]")
LONGEST_NAME = 200
DATASET_DIGEST = 36  # characters that the store keeps of one


class TrackingSettings(Settings):
    """Where runs are recorded."""

    uri: str = "sqlite:///mlflow.db"
    """MLflow tracking store: an SQLite file, or the address of a server."""

    experiment: str | None = None
    """MLflow experiment; the run's name where left out."""


class Record:
    """One open MLflow run.

    Args:
        client: Speaks to the store.
        run_id: The run.
        experiment_id: Its experiment.
    """

    def __init__(self, client: "MlflowClient", run_id: str, experiment_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.experiment_id = experiment_id

    def parameters(self, values: Mapping[str, object]) -> None:
        """Log parameters, once; a resumed run has them already."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        passed = {storable(name): value for name, value in GATE.parameters(values).items()}
        fresh = [Param(name, value[:6000]) for name, value in passed.items() if name not in known]
        for start in range(0, len(fresh), 100):
            self.client.log_batch(self.run_id, params=fresh[start : start + 100])

    def measures(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics in one call; what is not a number is left out, for the store cannot hold it."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        known = {GATE.text(name, "the name of a metric"): value for name, value in values.items() if value == value}  # noqa: PLR0124
        metrics = [Metric(storable(name), float(value), now, step) for name, value in known.items()]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; the gate knows which there are."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in GATE.tags(values).items()])

    def figure(self, figure: "Figure", path: str) -> None:
        """Keep a figure as an artifact, every name in it taken literally."""
        from matplotlib.text import Text

        from medmm.evaluation.canvas import taken_literally

        for one in figure.findobj(Text):
            assert isinstance(one, Text)
            if (passed := GATE.text(one.get_text(), "a figure")) != one.get_text():
                one.set_text(passed)
        taken_literally(figure)
        self.client.log_figure(self.run_id, figure, path)

    def table(self, table: pd.DataFrame, path: str) -> None:
        """Keep a table as a CSV artifact that no spreadsheet computes."""
        self.text(csv_text(GATE.table(table, "a table")), path)

    def document(self, content: Plain, path: str) -> None:
        """Keep plain data as a JSON artifact."""
        self.client.log_dict(self.run_id, GATE.plain(content, "a document"), path)

    def text(self, content: str, path: str) -> None:
        """Keep a text as an artifact."""
        self.client.log_text(self.run_id, GATE.text(content, "a page or a text"), path)

    def dataset(self, table: pd.DataFrame, name: str, digest: str, context: str) -> None:
        """Name the studies that a part of the run used, under our own digest, which covers every row and file."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = json.dumps({"num_rows": len(table), "num_patients": int(table["patient"].nunique())})
        dataset = Dataset(name, digest[:DATASET_DIGEST], source_type="local", source="{}", profile=profile)
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def address(self) -> str:
        """Give the run's page below the address of the UI."""
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}?{UI_VIEW}"


def connect(settings: TrackingSettings) -> "MlflowClient":
    """Open the store, for this client and for the calls of MLflow that know no client.

    Raises:
        ConfigError: The store cannot be reached.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("mlflow", "mlflow.store.db.utils", "alembic"):  # after the import, which sets its own levels
        logging.getLogger(name).setLevel(logging.WARNING)
    if settings.uri.startswith(SQLITE):
        Path(settings.uri.removeprefix(SQLITE)).absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        mlflow.set_tracking_uri(settings.uri)
        mlflow.set_registry_uri(settings.uri)
        client = mlflow.MlflowClient(settings.uri, settings.uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as reason:
        raise ConfigError(
            f"tracking.uri cannot be used ({type(reason).__name__}): start the server, or give an SQLite file as sqlite:///mlflow.db"
        ) from reason
    return client


@contextmanager
def open_record(
    client: "MlflowClient", settings: TrackingSettings, name: str, resume: str | None = None, parent: Record | None = None
) -> Iterator[Record]:
    """Open a run, and close it as FINISHED, as KILLED when interrupted, as FAILED on any error.

    Args:
        client: From `connect`.
        settings: Where runs are recorded.
        name: Of the run, and of the experiment where the settings name none.
        resume: A run to go on with.
        parent: The run below which this one stands, in its experiment.
    """
    experiment = parent.experiment_id if parent else _experiment(client, settings, settings.experiment or name)
    if resume is not None:
        client.update_run(resume, status="RUNNING")
        record = Record(client, resume, experiment)
    else:
        tags = {"mlflow.parentRunId": parent.run_id} if parent else {}
        run = client.create_run(experiment, run_name=name, tags=tags)
        record = Record(client, run.info.run_id, experiment)
    try:
        yield record
    except KeyboardInterrupt:
        client.set_terminated(record.run_id, "KILLED")
        raise
    except BaseException as reason:
        if isinstance(reason, MedmmError):
            record.tags({"error": str(reason)[:500]})
        client.set_terminated(record.run_id, "FAILED")
        raise
    client.set_terminated(record.run_id, "FINISHED")


def storable(name: str) -> str:
    """Give the name under which the store keeps a number: a column or class may be called `CRP (mg/L)`, which it refuses."""
    parts = [one for one in REFUSED.sub("_", name).split("/") if one.strip(".")]
    clean = "/".join(parts)[:LONGEST_NAME]
    return clean if clean == name else f"{clean}-{digest(name)[:6]}"


def flat(values: Plain, prefix: str = "") -> dict[str, Any]:
    """Give nested plain data as one level with dotted names, for parameters."""
    if not isinstance(values, dict):
        return {prefix: values}
    flattened: dict[str, Any] = {}
    for name, value in values.items():
        flattened |= flat(value, f"{prefix}.{name}" if prefix else str(name))
    return flattened


def _experiment(client: "MlflowClient", settings: TrackingSettings, name: str) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None and known.lifecycle_stage != "active":
        raise ConfigError(
            f"the experiment {name!r} was deleted in the UI: restore it there, or set tracking.experiment to another"
        )
    if known is not None:
        return str(known.experiment_id)
    place = None
    folder = name if is_safe_name(name) else digest(name)[:16]
    if settings.uri.startswith(SQLITE):  # artifacts lie beside the database, not in the folder the command happens to run in
        place = (Path(settings.uri.removeprefix(SQLITE)).absolute().parent / "mlartifacts" / folder).as_uri()
    return str(client.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS))
