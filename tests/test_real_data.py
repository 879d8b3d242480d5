"""The whole chain on real, public patients: from radiographs wrapped into DICOM to scored studies."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from real_data import COVID, HANNOVER, LUDB, import_covid, import_hannover, import_ludb
from rich.console import Console

from medmm.cohort.studies import Sources
from medmm.config import RunConfig, load_config
from medmm.evaluation.intervals import Estimate
from medmm.readers import read_image
from medmm.scoring.run import Scored
from medmm.workflows.cohort import find
from medmm.workflows.evaluate import Evaluated, evaluate_model
from medmm.workflows.score import score_studies
from medmm.workflows.screen import Screen
from medmm.workflows.train import Trained, train

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # SQLAlchemy 2.1 about MLflow's own tables
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),  # MLflow about a class of its own
    pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the real data lie beside a development checkout only"),
]


@dataclass(frozen=True)
class Ran:
    name: str
    source: Path
    folder: Path
    config: RunConfig
    trained: Trained
    evaluated: Evaluated
    scored: Scored

    @property
    def export(self) -> Path:
        return self.folder / self.name

    def studies(self) -> pd.DataFrame:
        return pd.read_csv(self.export / "studies.csv", dtype=str, keep_default_na=False)

    def artifact(self, name: str) -> pd.DataFrame:
        run = self.trained.run_page.rpartition("/")[2].partition("?")[0]
        (path,) = self.folder.glob(f"store/mlartifacts/*/{run}/artifacts/{name}")
        return pd.read_csv(path)


@pytest.fixture(scope="module", params=[(COVID, import_covid), (HANNOVER, import_hannover)], ids=[COVID, HANNOVER])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    name: str
    importer: Callable[[Path, Path], None]
    name, importer = request.param
    folder = tmp_path_factory.mktemp(name)
    importer(SHARED, folder / name)
    overrides = [
        f"cohort.root={folder / name}",
        f"output={folder / 'runs'}",
        f"tracking.uri=sqlite:///{folder}/store/mlflow.db",
    ]
    quick = ["training.epochs=2", "training.patience=2", "evaluation.single_inputs=false", "evaluation.resamples=200"]
    config = load_config(ROOT / "configs" / f"{name}.yaml", [*overrides, *quick])
    screen = Screen(Console(file=StringIO()))
    trained = train(config, screen)
    evaluated = evaluate_model(trained.model, config, screen)
    scored = score_studies(f"models:/{name}@champion", folder / name, folder / "scores", config.tracking, screen)
    return Ran(name, SHARED / "data" / name, folder, config, trained, evaluated, scored)


def test_every_study_is_read(ran: Ran) -> None:
    images = pd.read_csv(ran.source / "images.csv")
    if ran.name == COVID:
        images = images[images["modality"] == "X-ray"]
        clinical = images[["age", "sex", "temperature", "pO2_saturation"]].notna().any(axis=1)
        expected = {"chest": len(images), "clinical": int(clinical.sum()), "history": len(images)}
    else:
        codes = [name.removesuffix("_val") for name in images.columns if name.endswith("_val")]
        values, offsets = images[[f"{code}_val" for code in codes]].to_numpy(), images[[f"{code}_offset" for code in codes]]
        known_at_the_image = (np.isfinite(values) & (offsets.to_numpy() <= 0)).any(axis=1)
        expected = {"chest": len(images), "labs": int(known_at_the_image.sum())}
    studies, left_out = find(ran.config, Sources.open(ran.config.cohort))
    assert len(studies) == {COVID: 103, HANNOVER: 243}[ran.name]
    assert left_out == {}
    assert {name: sum(name in study.evidence for study in studies) for name in ran.config.inputs} == expected


def test_no_patient_stands_on_two_sides(ran: Ran) -> None:
    cohort = ran.artifact("cohort.csv")
    patient = ran.studies()["patient_id"].iloc[cohort["row"] - 1].to_numpy()
    assert (cohort.groupby(patient)["part"].nunique() == 1).all()
    assert set(cohort["part"]) == {"train", "validation", "test"}


def test_the_auroc_has_its_interval_and_its_numbers(ran: Ran) -> None:
    cohort = ran.artifact("cohort.csv")
    test = cohort[cohort["part"] == "test"]
    fusion = ran.trained.comparison.fusion
    assert (fusion.studies, fusion.patients) == (len(test), test["patient"].nunique())
    whole = ran.evaluated.evaluation.headline
    assert whole == fusion  # the same package judged again, on those of its studies that it did not learn from
    for estimate in (fusion, whole):
        assert_within_its_interval(estimate)


def test_each_study_is_scored_once(ran: Ran) -> None:
    scores = pd.read_parquet(ran.folder / "scores" / "scores.parquet")
    assert ran.scored.rejected == {}
    assert scores["study_id"].tolist() == ran.studies()["study_id"].tolist()
    assert scores[f"probability_{ran.config.target.positive}"].between(0, 1).all()


def test_the_dicom_pixels_are_those_of_the_source(ran: Ran) -> None:
    source = {path.stem: path for path in (ran.source / "images").iterdir()}
    files = sorted((ran.export / "dicom").iterdir())
    for file in files:
        volume = read_image([file])
        path = source.pop(pydicom.dcmread(file, stop_before_pixels=True).AccessionNumber)
        np.testing.assert_array_equal(volume.values[..., 0].T, luminance(path))
    assert len(files) == {COVID: 103, HANNOVER: 243}[ran.name]
    assert len(source) == {COVID: 9, HANNOVER: 0}[ran.name]  # CT slices


def test_the_store_names_no_patient(ran: Ran) -> None:
    studies = ran.studies()
    names = {*studies["patient_id"], *studies["study_id"], *studies["study_uid"]}
    if ran.name == COVID:
        names -= {*studies["patient_id"]}  # four characters such as P016 stand in a compressed figure by chance
        names |= {"Person is intubated"}  # of a note
    word = re.compile(
        rb"(?<![0-9A-Za-z])(?:" + b"|".join(re.escape(name.encode()) for name in sorted(names)) + rb")(?![0-9A-Za-z])"
    )
    files = [path for path in (ran.folder / "store").rglob("*") if path.is_file()]
    assert {"mlflow.db", "weights.safetensors", "cohort.csv"} <= {path.name for path in files}
    assert [path.name for path in files if word.search(path.read_bytes())] == []
    short = re.compile(rb"\bP[0-9]{3}\b")
    texts = [path for path in files if path.suffix in {".csv", ".json", ".md", ".db", ".yaml"} or path.name == "MLmodel"]
    assert [path.name for path in texts if short.search(path.read_bytes())] == []


def assert_within_its_interval(estimate: Estimate) -> None:
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def luminance(path: Path) -> np.ndarray:
    """Give the pixels in 16.16 fixed point after ITU-R BT.601; what is grey already stays as it is."""
    with Image.open(path) as image:
        if image.mode == "L":
            return np.asarray(image)
        red, green, blue = (np.asarray(image.convert("RGB"), np.int32)[..., channel] for channel in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000 >> 16).astype(np.uint8)


def test_the_run_of_ludb_takes_every_ecg(tmp_path: Path) -> None:
    import_ludb(SHARED, tmp_path / LUDB)
    config = load_config(ROOT / "configs" / f"{LUDB}.yaml", [f"cohort.root={tmp_path / LUDB}"])
    studies, left_out = find(config, Sources.open(config.cohort))
    assert len(studies) == 200
    assert not left_out
    assert sum(study.label == (1.0,) for study in studies) == 142
    one, some = config.inputs["ecg"].open("ecg"), studies[::20]
    fitted = one.fit((study.patient_id, one.read(study.evidence["ecg"])) for study in some)
    shapes = {fitted.prepare(fitted.read(study.evidence["ecg"]))["signal"].shape for study in some}
    assert shapes == {(12, 2375)}
