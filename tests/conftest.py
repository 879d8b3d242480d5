"""One small hospital, its fitted inputs and a package with fresh weights, made once for all tests."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.target import TargetSettings
from medmm.dataset.batches import stack
from medmm.dataset.decode import prepare_study
from medmm.inputs import INPUTS, Inputs, gather
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package, load_package, save_package
from medmm.privacy.gate import GATE, MODE, STRICT
from medmm.training.tracking import TrackingSettings, connect
from medmm.types import Batch, Study

os.environ[MODE] = STRICT  # what names a patient on its way out fails the test

SETTINGS: dict[str, dict[str, object]] = {
    "chest": {
        "kind": "image",
        "path": "dicom",
        "column": "study_uid",
        "modality": ["CR", "DX"],
        "size": [32, 32],
        "encoder": {"name": "resnet18", "channels": 8},
    },
    "ct": {
        "kind": "image",
        "path": "dicom",
        "column": "study_uid",
        "modality": ["CT"],
        "size": [16, 16, 8],
        "window": [-1000, 200],
        "encoder": {"name": "resnet18", "channels": 8},
    },
    "labs": {
        "kind": "tabular",
        "table": "labs.csv",
        "layout": "long",
        "window_days": 14,
        "numeric": {"crp": {"unit": "mg/L"}, "wbc": {"unit": "10*9/L"}},
        "encoder": {"name": "ft_transformer", "layers": 1},
    },
    "history": {
        "kind": "text",
        "table": "notes.csv",
        "max_tokens": 24,
        "encoder": {"name": "transformer", "layers": 1, "min_patients": 3},
    },
}


@dataclass(frozen=True)
class Hospital:
    """An export with everything found in it and the inputs fitted to it.

    Attributes:
        cohort: Its settings.
        target: Pneumonia or not.
        studies: All of them, with their inputs found.
        inputs: Fitted on all of them.
    """

    cohort: CohortSettings
    target: TargetSettings
    studies: tuple[Study, ...]
    inputs: Inputs

    def batch(self, studies: Sequence[Study]) -> Batch:
        """Prepare some studies by the shortest way, as one batch."""
        prepared = [prepare_study(study, self.inputs) for study in studies]
        found = {name: [one.get(name) for one in prepared] for name in sorted(self.inputs)}  # type: ignore[union-attr]
        return Batch(
            inputs={name: stack(fields) for name, fields in found.items()},
            present={name: torch.tensor([one is not None for one in fields]) for name, fields in found.items()},
            target=torch.tensor([study.label for study in studies]),
            rows=torch.arange(len(studies)),
        )


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    root = tmp_path_factory.mktemp("hospital")
    make_cohort(root, SyntheticSettings(patients=60, images=("radiograph",), radiograph_size=32, seed=1))
    cohort = CohortSettings(root=root, time="time", subgroups=("sex", "site"))
    target = TargetSettings(column="diagnosis", positive="pneumonia")
    sources = Sources.open(cohort)
    found = {name: INPUTS.pick(str(one["kind"])).model_validate(one).open(name) for name, one in SETTINGS.items()}
    studies = gather(found, sources, read_studies(sources, target))
    fitted = {
        name: one.fit((study.patient_id, one.read(study.evidence[name])) for study in studies if name in study.evidence)
        for name, one in found.items()
    }
    return Hospital(cohort, target, studies, fitted)


@pytest.fixture(scope="session")
def package(hospital: Hospital) -> Package:
    """A package whose weights have learned nothing, which is all that reading, writing and scoring need."""
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "transformer"}})
    model = DiagnosisModel(settings, hospital.inputs, CrossEntropy("binary", [3.0])).eval()
    facts = {
        "cohort": {"test": {"studies": 21, "patients": 17}},
        "results": [
            {"metric": "auroc", "class": "pneumonia", "value": 0.8, "low": 0.7, "high": 0.9, "studies": 21, "patients": 17},
            {"metric": "auprc", "class": "rare", "value": None, "low": None, "high": None, "studies": 20, "patients": 16},
        ],
    }
    return Package("chest", hospital.cohort, hospital.target, hospital.inputs, settings, model, 1.5, (0.4,), facts, tile=16)


@pytest.fixture(scope="session")
def saved(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package; never changed by a test."""
    folder = tmp_path_factory.mktemp("saved") / "package"
    save_package(package, folder)
    return folder


@pytest.fixture(scope="module")
def loaded(saved: Path) -> Package:
    """That package as it is loaded; each module of tests has its own."""
    return load_package(saved)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    connect(TrackingSettings(uri=f"sqlite:///{file}"))
    return file


@pytest.fixture
def tracking(empty_store: Path, tmp_path: Path) -> TrackingSettings:
    """A store of its own for a test; copied, for making one takes seconds."""
    (tmp_path / "store").mkdir()
    shutil.copy(empty_store, tmp_path / "store" / "mlflow.db")
    return TrackingSettings(uri=f"sqlite:///{tmp_path}/store/mlflow.db")


@pytest.fixture(autouse=True)
def _a_gate_that_knows_nobody() -> Iterator[None]:
    """The identifiers of one test are words of another."""
    yield
    GATE.forget()
