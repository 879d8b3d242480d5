"""`medmm monitor` from scores to the exit status, the page, the numbers and the run in MLflow."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from conftest import Hospital
from typer.testing import CliRunner

from medmm.evaluation.drift import DIRECTIONS, PROJECTION
from medmm.evaluation.settings import EvaluationSettings
from medmm.evaluation.standing import Standing
from medmm.monitoring.window import Span, read_window
from medmm.package import Package, load_package, save_package
from medmm.predict import predict
from medmm.references import fit_references
from medmm.scoring.engine import Options
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.training.tracking import TrackingSettings
from medmm.types import Scores
from medmm.workflows.cli import app


@dataclass(frozen=True)
class Scored:
    """A package with references of its own studies, and their scores."""

    package: Path
    out: Path


@pytest.fixture(scope="module")
def scored(hospital: Hospital, package: Package, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    studies = [study for study in hospital.studies if study.evidence]
    whole = frozenset(package.inputs)
    found = predict(package.model, [hospital.batch(studies)], [whole])
    label = np.array([study.label for study in studies])
    patient = np.unique([study.patient_id for study in studies], return_inverse=True)[1]
    chosen = Scores(package.target.names, package.answer(found.logits[whole]), label, patient)
    rows = [study.row for study in studies]
    references = fit_references(EvaluationSettings(), "binary", found, found, chosen, rows, label)
    root = tmp_path_factory.mktemp("monitored")
    save_package(replace(package, references=references), root / "package")
    loaded = load_package(root / "package")
    score(loaded, find_studies(loaded, hospital.cohort.root), root / "scores", Options(workers=0))
    return Scored(root / "package", root / "scores")


@pytest.fixture
def own(scored: Scored, tmp_path: Path) -> Path:
    """Scores that a test may change."""
    shutil.copytree(scored.out, tmp_path / "own", ignore=shutil.ignore_patterns("*.db*", "headers*"))
    return tmp_path / "own"


def run(scores: Path, package: Path | str, *options: str) -> Result:
    return CliRunner().invoke(app, ["monitor", str(scores), "--package", str(package), *options], env={"COLUMNS": "300"})


def rewrite(scores: Path, **columns: object) -> None:
    table = pq.read_table(scores / "scores.parquet")
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), [pa.array(values, table.schema.field(name).type)])
    pq.write_table(table, scores / "scores.parquet")


def cells(scores: Path, name: str) -> list[object]:
    found: list[object] = pq.read_table(scores / "scores.parquet").column(name).to_pylist()
    return found


def numbers(scores: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((scores / "monitor.json").read_text())
    return found


def test_scores_hold_the_projections_of_the_reference(scored: Scored) -> None:
    package = load_package(scored.package)
    assert package.references is not None
    known = package.references.drift
    window = read_window(scored.out, package, Span())
    assert window.batch.embedding is not None
    assert window.batch.embedding.shape == (len(window.study_id), len(package.inputs) + 1, DIRECTIONS)
    assert len(known.answers) == len(window.batch.answers)  # the reference is of the very studies
    np.testing.assert_allclose(window.batch.answers, known.answers, atol=1e-5)
    np.testing.assert_allclose(window.batch.embedding.astype(float), known.embedding.astype(float), atol=0.02, rtol=0.01)
    assert (window.batch.present == known.present).all()
    absent = ~window.batch.present
    assert absent.any()
    assert (window.batch.embedding[:, 1:][absent] == 0).all()


def test_a_study_has_the_same_projection_in_whatever_company(scored: Scored, hospital: Hospital, tmp_path: Path) -> None:
    package = load_package(scored.package)
    some = find_studies(package, hospital.cohort.root)[5:22:3]
    score(package, some, tmp_path, Options(workers=0))
    all_of_them = dict(zip(cells(scored.out, "study_id"), cells(scored.out, PROJECTION), strict=True))
    found = dict(zip(cells(tmp_path, "study_id"), cells(tmp_path, PROJECTION), strict=True))
    assert len(found) > 3
    assert all(all_of_them[name] == one for name, one in found.items())


def test_the_very_studies_of_the_reference_raise_no_alarm(scored: Scored, own: Path, tracking: TrackingSettings) -> None:
    result = run(own, scored.package, "--tracking", tracking.uri)
    assert result.exit_code == 0, result.output
    assert "no alarm" in result.output
    said = numbers(own)
    assert said["verdict"] == "no alarm"
    drift = said["drift"]
    assert isinstance(drift, list)
    whats = [one["what"] for one in drift]
    assert (whats.count("answer"), whats.count("presence"), whats.count("representation")) == (1, 4, 4)  # no study has a CT
    assert all(one["statistic"] < 0.02 and one["p"] > 0.5 for one in drift if one["what"] != "representation")
    client = mlflow.MlflowClient(tracking.uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "chest monitoring"]
    (record,) = client.search_runs([experiment.experiment_id])
    assert record.info.status == "FINISHED"
    assert record.data.tags["package_digest"] == load_package(scored.package).digest
    assert record.data.tags["scored"] == str(len(cells(own, "study_id")))
    assert record.data.metrics["alarm"] == 0
    assert record.data.metrics["presence/labs_p"] > 0.05
    assert {one.path for one in client.list_artifacts(record.info.run_id)} == {"monitor.html", "monitor.json", "drift.csv"}


def test_a_planted_shift_of_answers_is_an_alarm_with_what_to_do(scored: Scored, own: Path) -> None:
    moved = [min(0.999, float(str(one)) * 0.2 + 0.8) for one in cells(own, "probability_pneumonia")]
    rewrite(own, probability_pneumonia=moved)
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 1, result.output
    assert "ALARM" in result.output
    page = (own / "monitor.html").read_text()
    assert "prevalence" in page
    assert "<script" not in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert str(numbers(own)["alarms"]).startswith("['answer pneumonia: median")


def test_an_input_that_goes_absent_is_an_alarm(scored: Scored, own: Path) -> None:
    inputs = [[name for name in has if name != "labs"] for has in cells(own, "inputs")]  # type: ignore[attr-defined]
    rewrite(own, inputs=inputs)
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 1
    assert "presence of labs" in str(numbers(own)["alarms"])


def test_another_scanner_is_an_alarm(scored: Scored, own: Path) -> None:
    projections = np.array(cells(own, PROJECTION)).reshape(-1, 5, DIRECTIONS)
    has = np.array(["chest" in one for one in cells(own, "inputs")])  # type: ignore[operator]
    projections[has, 1] += 2 * projections[has, 1].std(axis=0)
    rewrite(own, **{PROJECTION: projections.reshape(len(projections), -1).tolist()})
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 1
    said = numbers(own)["drift"]
    assert isinstance(said, list)
    assert [one["name"] for one in said if one["adjusted"] <= 0.05] == ["chest"]


def test_too_few_studies_get_no_verdict_and_no_alarm(scored: Scored, own: Path) -> None:
    table = pq.read_table(own / "scores.parquet")
    pq.write_table(table.slice(0, 29), own / "scores.parquet")
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 0
    assert "no verdict on drift: there are 29 studies" in result.output
    assert numbers(own)["drift"] == []


def test_only_studies_of_the_span_count(scored: Scored, own: Path) -> None:
    count = len(cells(own, "study_id"))
    times = ["2026-01-01T00:00:00Z"] * 31 + ["2026-01-02T00:00:00Z"] * (count - 31)
    rewrite(own, scored_at=times)
    run(own, scored.package, "--no-record", "--until", "2026-01-02")
    assert numbers(own)["scored"]["studies"] == 31  # type: ignore[index]
    run(own, scored.package, "--no-record", "--since", "2026-01-02T00:00:00+00:00")
    assert numbers(own)["scored"]["studies"] == count - 31  # type: ignore[index]
    result = run(own, scored.package, "--no-record", "--since", "1h")
    assert result.exit_code == 0
    assert numbers(own)["scored"]["studies"] == 0  # type: ignore[index]
    assert "no verdict" in result.output
    assert "no verdict" in (own / "monitor.html").read_text()


def test_when_nearly_everything_is_rejected_that_is_an_alarm(scored: Scored, own: Path) -> None:
    package = load_package(scored.package)
    scores, rejected = pq.read_table(own / "scores.parquet"), pq.read_table(own / "rejected.parquet")
    row = {"patient_id": "p", "study_id": "s", "row": 1, "code": "E_GAP", "reason": "", "model_digest": package.digest}
    rows = [row | {"patient_id": f"p{i}", "study_id": f"s{i}", "scored_at": "2026-01-01T00:00:00Z"} for i in range(40)]
    pq.write_table(pa.Table.from_pylist(rows, rejected.schema), own / "rejected.parquet")
    pq.write_table(scores.slice(0, 5), own / "scores.parquet")
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 1
    assert "rejected studies: 0.889" in str(numbers(own)["alarms"])


def standing(scored: Scored, folder: Path, *known: Standing) -> Path:
    """The package, with these numbers of its validation studies; and the scores are its own."""
    package = load_package(scored.package)
    assert package.references is not None
    save_package(replace(package, references=replace(package.references, standing=known)), folder / "package")
    return folder / "package"


def scored_by(package: Path, scores: Path) -> None:
    digest = load_package(package).digest
    for name in ("scores", "rejected"):
        table = pq.read_table(scores / f"{name}.parquet")
        place = table.column_names.index("model_digest")
        field = table.schema.field("model_digest")
        pq.write_table(
            table.set_column(place, field, [pa.array([digest] * len(table), field.type)]), scores / f"{name}.parquet"
        )


@pytest.mark.parametrize(("share", "status"), [(0.01, 1), (0.5, 0), (None, 0)])
def test_more_abstentions_than_at_validation_are_an_alarm(
    scored: Scored, own: Path, tmp_path: Path, share: float | None, status: int
) -> None:
    known = () if share is None else (Standing("abstain", "", share, 0.01, 300, 200),)
    package = standing(scored, tmp_path, *known)
    scored_by(package, own)
    count = len(cells(own, "study_id"))
    rewrite(own, abstain=[i % 2 == 0 for i in range(count)])
    result = run(own, package, "--no-record")
    assert result.exit_code == status, result.output
    said = numbers(own)
    assert said["abstain"]["expected"] == share  # type: ignore[index]
    assert ("no answer to rely on: 0.5" in str(said["alarms"])) == (status == 1)
    assert ("does not say what is usual" in result.output.split("no answer to rely on")[1]) == (share is None)
    page = (own / "monitor.html").read_text()
    assert ("held against that of the cohort" in page) == (share is not None)
    assert "when it was made, so there is no test" in page  # of rejected studies nothing is said here


def test_rejected_studies_are_held_against_those_of_the_cohort(scored: Scored, own: Path, tmp_path: Path) -> None:
    rejected = pq.read_table(own / "rejected.parquet")
    for share, status in ((0.01, 1), (0.35, 0)):
        package = standing(scored, tmp_path / str(share), Standing("rejected", "", share, 0.01, 400, 300))
        row = {"row": 1, "code": "E_GAP", "reason": "", "model_digest": "", "scored_at": "2026-01-01T00:00:00Z"}
        rows = [row | {"patient_id": f"p{i}", "study_id": f"s{i}"} for i in range(40)]
        pq.write_table(pa.Table.from_pylist(rows, rejected.schema), own / "rejected.parquet")
        scored_by(package, own)
        result = run(own, package, "--no-record")
        assert result.exit_code == status, result.output
        assert f"{share:.3f} [" in result.output
        assert ("rejected studies" in str(numbers(own)["alarms"])) == (status == 1)


def test_labels_are_held_against_the_calibration_of_the_validation_studies(scored: Scored, own: Path, tmp_path: Path) -> None:
    known = Standing("in_the_large", "pneumonia", -2.0, 0.1, 300, 200), Standing("slope", "pneumonia", 0.7, 0.2, 300, 200)
    package = standing(scored, tmp_path, *known)
    scored_by(package, own)
    ids = cells(own, "study_id")
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.2, 0.8, len(ids))
    rewrite(own, probability_pneumonia=probability)
    words = ["pneumonia" if one else "none" for one in rng.random(len(ids)) < probability]
    pd.DataFrame({"study_id": ids, "diagnosis": words}).to_csv(tmp_path / "labels.csv", index=False)
    result = run(own, package, "--no-record", "--labels", str(tmp_path / "labels.csv"))
    assert result.exit_code == 1, result.output
    said = numbers(own)
    checks = {one["metric"]: one for one in said["quality"]["checks"]}  # type: ignore[index]
    assert {name: one["expected"] for name, one in checks.items()} == {"in_the_large": -2.0, "slope": 0.7, "auroc": 0.8}
    assert checks["in_the_large"]["alarm"] is True  # near perfect now, and it was not
    assert "at validation (300 studies of 200 patients)" in checks["slope"]["why"]
    assert said["alpha_of"] == {"drift": 0.025, "quality": 0.025, "rate": 0.0}


@pytest.mark.parametrize("perfect", [True, False])
def test_labels_tell_whether_the_probabilities_are_still_true(scored: Scored, own: Path, tmp_path: Path, perfect: bool) -> None:
    ids = cells(own, "study_id")
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.2, 0.8, len(ids))
    rewrite(own, probability_pneumonia=probability)
    truth = rng.random(len(ids)) < (probability if perfect else probability * 0.5)
    words = ["pneumonia" if one else "none" for one in truth]
    words[0] = ""
    pd.DataFrame({"study_id": ids, "diagnosis": words}).to_csv(tmp_path / "labels.csv", index=False)
    result = run(own, scored.package, "--no-record", "--labels", str(tmp_path / "labels.csv"))
    quality = numbers(own)["quality"]
    assert isinstance(quality, dict)
    checks = {one["metric"]: one for one in quality["checks"]}
    assert set(checks) == {"slope", "in_the_large", "auroc"}
    assert quality["unknown"] == 1
    assert checks["in_the_large"]["studies"] == len(ids) - 1
    if perfect:
        assert not any(one["alarm"] for one in quality["checks"])
    else:
        assert result.exit_code == 1
        assert checks["in_the_large"]["alarm"] is True
        assert checks["in_the_large"]["high"] < 0
    assert "Against the truth" in (own / "monitor.html").read_text()


def test_labels_of_other_studies_are_no_verdict_and_not_no_alarm(scored: Scored, own: Path, tmp_path: Path) -> None:
    pd.DataFrame({"study_id": ["another"], "diagnosis": ["none"]}).to_csv(tmp_path / "labels.csv", index=False)
    result = run(own, scored.package, "--no-record", "--labels", str(tmp_path / "labels.csv"))
    assert result.exit_code == 0
    assert "no verdict on quality: none of the scored studies has a label" in result.output
    assert numbers(own)["verdict"] == "no verdict"
    page = (own / "monitor.html").read_text()
    assert "of no scored study" in page
    assert "none given" not in page


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("scored_at", "yesterday", "that is no time"),
        ("scored_at", "2026-01-01T00:00:00", "that is no time"),
        ("scored_at", None, "that is no time"),
        ("probability_pneumonia", None, "a study without an answer"),
        ("inputs", None, "a study without an answer or without its inputs"),
    ],
)
def test_damaged_scores_have_status_2_and_one_line(scored: Scored, own: Path, column: str, value: object, said: str) -> None:
    rewrite(own, **{column: [value, *cells(own, column)[1:]]})
    result = run(own, scored.package, "--no-record", "--since", "2000-01-01")
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_csv_says_the_same_as_parquet(scored: Scored, hospital: Hospital, own: Path, tmp_path: Path) -> None:
    package = load_package(scored.package)
    score(package, find_studies(package, hospital.cohort.root), tmp_path / "csv", Options(workers=0), sink="csv")
    run(own, scored.package, "--no-record")
    result = run(tmp_path / "csv", scored.package, "--no-record")
    assert result.exit_code == 0, result.output
    assert numbers(tmp_path / "csv")["drift"] == numbers(own)["drift"]


def test_what_cannot_be_answered_has_status_2_and_one_line(scored: Scored, own: Path, saved: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "scores.parquet").write_bytes(b"PAR1 no")
    for arguments, said in (
        ((tmp_path / "nothing", scored.package), "there are no scores in the folder"),
        ((broken, scored.package), "the scores cannot be read"),
        ((own, saved), "holds no reference"),
        ((own, tmp_path / "no package"), "there is no such model"),
        ((own, scored.package, "--since", "yesterday"), "--since is no time"),
        ((own, scored.package, "--labels", str(tmp_path / "none.csv")), "no such table of labels"),
    ):
        result = run(*arguments[:2], "--no-record", *map(str, arguments[2:]))
        assert result.exit_code == 2, said
        assert result.stderr.startswith("medmm: ")
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
        assert str(tmp_path) not in result.stderr
    rewrite(own, model_digest=["another"] * len(cells(own, "study_id")))
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 2
    assert "another model" in result.stderr


def test_no_identifier_stands_in_what_is_written(scored: Scored, own: Path, tracking: TrackingSettings) -> None:
    result = run(own, scored.package, "--tracking", tracking.uri)
    names = {str(one) for name in ("patient_id", "study_id") for one in cells(own, name)}
    texts = [result.output, (own / "monitor.html").read_text(), (own / "monitor.json").read_text()]
    assert len(names) > 60
    assert not [one for one in names if any(one in text for text in texts)]


def test_scores_without_projections_are_compared_in_the_rest(scored: Scored, own: Path) -> None:
    table = pq.read_table(own / "scores.parquet")
    pq.write_table(table.drop_columns([PROJECTION]), own / "scores.parquet")
    result = run(own, scored.package, "--no-record")
    assert result.exit_code == 0, result.output
    said = numbers(own)["drift"]
    assert isinstance(said, list)
    assert {one["what"] for one in said} == {"answer", "presence"}
    assert "an older version wrote them" in (own / "monitor.html").read_text()
