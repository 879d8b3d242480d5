"""Packages in MLflow: logged to their run, registered, promoted to champion, and found again by address."""

import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from medmm.errors import ConfigError
from medmm.evaluation.answers import answer_columns, contribution_columns
from medmm.evaluation.drift import PROJECTION
from medmm.files import write_text
from medmm.inputs import Inputs
from medmm.package import Package
from medmm.rules.trace import TRACE
from medmm.sealed import MANIFEST
from medmm.training.tracking import Record, TrackingSettings, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CHAMPION = "champion"
LOADER = "medmm.scoring.pyfunc"
NEEDS = (
    "medmm",
    "einops",
    "imagecodecs",
    "lark",
    "monai",
    "nibabel",
    "numpy",
    "openpyxl",
    "pandas",
    "peft",
    "pillow",
    "pint",
    "pyarrow",
    "pydantic",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
    "tokenizers",
    "torch",
    "transformers",
)
"""Distributions that scoring imports, of whatever inputs.

MLflow names itself. What only training and reports need is not here."""


def log_model(record: Record, package: Package, folder: Path) -> str:
    """Log a package to its run as an MLflow pyfunc, and give the model's address."""
    import mlflow

    with mlflow.start_run(run_id=record.run_id), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided")  # it would be a patient's row
        warnings.filterwarnings("ignore", message=".*AnyType")  # MLflow's own types
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module=LOADER,
            data_path=str(folder),
            signature=_signature(package),
            pip_requirements=requirements(package.inputs),
            metadata={"medmm_digest": package.digest},
        )
    _leave_out_place(record.client, str(logged.model_id))
    return str(logged.model_uri)


def requirements(inputs: Inputs) -> list[str]:
    """Give what an environment needs to score as this one does, each in the version that is installed here.

    The part of a version that tells of its build, as in `2.13.0+cpu`, is left out: no index has it for every machine. Of the
    packages of extras those stand here that an input may need and that are installed.
    """
    own = sorted({name for one in inputs.values() for name in one.packages if find_spec(name) is not None})
    return [f"{name}=={version(name).partition('+')[0]}" for name in (*NEEDS, *own)]


def _leave_out_place(client: "MlflowClient", model: str) -> None:
    """Put the name of the model where MLflow has written the absolute path of the folder that it was logged to."""
    import mlflow

    with tempfile.TemporaryDirectory() as temporary:
        place = client.get_logged_model(model).artifact_location
        file = Path(mlflow.artifacts.download_artifacts(f"{place}/MLmodel", dst_path=temporary))
        lines = file.read_text(encoding="utf-8").splitlines()
        lines = ["artifact_path: model" if line.startswith("artifact_path:") else line for line in lines]
        write_text(file, "\n".join(lines) + "\n")
        client.log_model_artifact(model, str(file))


def register(client: "MlflowClient", name: str, record: Record, address: str, score: float, judged_on: str) -> tuple[int, bool]:
    """Register a logged model, and make it champion when it is better than the present one on the same validation studies.

    Args:
        client: From `connect`.
        name: Registered model.
        record: The run that made it.
        address: From `log_model`.
        score: Headline metric on the validation studies, of which more is better: AUROC, R² or C-index.
        judged_on: Digest of the validation studies; scores on other studies cannot be compared.

    Returns:
        The version, and whether it is champion now.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as reason:
        if reason.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"validation_score": repr(score), "validation_studies": judged_on}
    version_ = int(client.create_model_version(name, address, run_id=record.run_id, tags=tags).version)
    try:
        present = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        better = math.isfinite(score)  # undefined where the validation studies are of one class
    else:
        same = present.tags.get("validation_studies") == judged_on
        better = same and score > float(present.tags.get("validation_score", "inf"))
    if better:
        client.set_registered_model_alias(name, CHAMPION, str(version_))
    return version_, better


def address_of(digest: str, tracking: TrackingSettings) -> str:
    """Give the address of the model of a digest in a store; "" where no run of it made that model."""
    client = connect(tracking)
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.model_digest = '{digest}'", max_results=1)
    return str(runs[0].data.tags.get("model", "")) if runs else ""


@contextmanager
def fetched(address: str, tracking: TrackingSettings) -> Iterator[Path]:
    """Give the folder of the package at an address for the time of the block.

    Args:
        address: A folder, `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or `runs:/RUN_ID/model`.
        tracking: The store that knows the model.

    Raises:
        ConfigError: Nothing is found there.
    """
    if not address.startswith(("models:/", "runs:/")):
        if not Path(address).is_dir():
            raise ConfigError("there is no such model: give a folder, models:/NAME@champion or runs:/RUN_ID/model")
        yield Path(address)
        return
    connect(tracking)
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary:
        try:
            found = Path(mlflow.artifacts.download_artifacts(address, dst_path=temporary))
        except (MlflowException, OSError) as reason:
            raise ConfigError(
                f"the store has no model {address} ({type(reason).__name__}): `medmm ui` shows which there are; "
                "name the right store with --tracking"
            ) from reason
        manifests = sorted(found.rglob(MANIFEST))
        if len(manifests) != 1:
            raise ConfigError(f"{address} is no medmm package: give one that `medmm train` registered")
        yield manifests[0].parent


def _signature(package: Package) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    cohort = package.cohort
    columns = [cohort.patient, cohort.study, *([cohort.time] if cohort.time else [])]
    columns += [name for one in package.inputs.values() for name in one.study_columns(cohort)]
    age = () if package.intended is None or package.intended.age_column is None else (package.intended.age_column,)
    optional = [name for name in dict.fromkeys((*package.rulebook().study_columns(), *age)) if name not in columns]
    outputs = [ColSpec("string", "patient_id"), ColSpec("string", "study_id")]
    said = answer_columns(package.target)
    said |= package.doubt_columns()
    said |= {f"raw_probability_{name}": "double" for name in package.target.names if package.rulebook().moves}
    said |= contribution_columns(package.target, package.inputs) | {"conflict": "double"}
    outputs += [ColSpec(kind, name, required=False) for name, kind in said.items()]  # null of a rejected study
    lists = ("inputs", *(TRACE if package.rules else ()))
    outputs += [ColSpec(Array(DataType.string), name, required=False) for name in lists]
    if package.references is not None:
        outputs += [ColSpec(Array(DataType.double), PROJECTION, required=False)]
    outputs += [ColSpec("string", "computed_in", required=False)]
    outputs += [ColSpec("string", name) for name in ("model_digest", "scored_at", "code", "reason")]
    params = ParamSchema([ParamSpec("root", "string", "."), ParamSpec("workers", "long", 0)])
    given = [ColSpec("string", name) for name in dict.fromkeys(columns)]
    given += [ColSpec("string", name, required=False) for name in optional]  # what a rule cannot read leaves it open
    return ModelSignature(Schema(given), Schema(outputs), params)
