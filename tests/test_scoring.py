"""Every study ends in exactly one row, the same one each time, however many workers and however large a batch."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from typer.testing import CliRunner

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code, ConfigError, DataError
from medmm.inputs import INPUTS
from medmm.package import Package, save_package
from medmm.predict import predict
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.pyfunc import StudyModel
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.types import Study
from medmm.workflows.cli import app

SMALL = {
    "patients": 14,
    "first_patient": 100,
    "radiograph_size": 32,
    "ct_size": 32,
    "ct_slices": 5,
    "seed": 1,
    "unlabelled": True,
}
BROKEN = 2
RESULTS = ("scores", "rejected")
NOTHING, TWICE = "900-nothing", "900-twice"


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New studies: one lacks a slice, one has a truncated file, one has no input, one stands in two rows."""
    root = tmp_path_factory.mktemp("incoming")
    make_cohort(root, SyntheticSettings.model_validate({**SMALL, "broken": BROKEN}))
    rows = [f"90000,{name},1.2.3,2024-01-01T10:00:00,A,F,50\n" for name in (NOTHING, TWICE, TWICE)]
    with (root / "studies.csv").open("a") as file:
        file.writelines(rows)
    return root


@pytest.fixture(scope="module")
def studies(loaded: Package, incoming: Path) -> tuple[Study, ...]:
    return find_studies(loaded, incoming)


@pytest.fixture(scope="module")
def results(loaded: Package, studies: tuple[Study, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    score(loaded, studies, out, Options(workers=0))
    return out


def table(folder: Path, name: str) -> pd.DataFrame:
    return pq.read_table(folder / f"{name}.parquet").to_pandas()


def truth(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "truth.csv", dtype=str, keep_default_na=False)


def same_bytes(one: Path, other: Path) -> bool:
    return all((one / f"{n}.parquet").read_bytes() == (other / f"{n}.parquet").read_bytes() for n in ("scores", "rejected"))


def same_rows(one: Path, other: Path) -> bool:
    """Whether results are equal bit for bit, but for the time."""
    return all(table(one, n).drop(columns="scored_at").equals(table(other, n).drop(columns="scored_at")) for n in RESULTS)


def test_each_study_ends_in_exactly_one_row(studies: tuple[Study, ...], results: Path) -> None:
    ended = [*table(results, "scores")["study_id"], *table(results, "rejected")["study_id"]]
    assert sorted(ended) == sorted(study.study_id for study in studies)
    assert sorted(table(results, "rejected")["row"]) == sorted(
        s.row for s in studies if s.study_id not in set(table(results, "scores")["study_id"])
    )


def test_rows_keep_the_order_of_the_studies(studies: tuple[Study, ...], results: Path) -> None:
    order = [study.study_id for study in studies]
    scored = table(results, "scores")["study_id"].tolist()
    assert scored == [name for name in order if name in set(scored)]
    assert table(results, "rejected")["row"].is_monotonic_increasing


def test_a_bad_study_is_rejected_by_its_code(incoming: Path, results: Path) -> None:
    rejected = table(results, "rejected").set_index("study_id")
    planted = truth(incoming).set_index("study_id")["broken"]
    assert (planted != "").sum() == BROKEN
    expected = {
        study: {"gap": Code.GAP.value, "truncated": Code.TRUNCATED.value}[fault] for study, fault in planted.items() if fault
    }
    assert {study: code for study, code in rejected["code"].items() if study in expected} == expected
    assert rejected.loc[NOTHING, "code"] == Code.NO_INPUT.value
    assert rejected.loc[TWICE, "code"].tolist() == [Code.AMBIGUOUS.value] * 2
    assert len(rejected) == BROKEN + 3


def test_a_reason_names_nobody(results: Path) -> None:
    for _, row in table(results, "rejected").iterrows():
        assert row["reason"].startswith(row["code"])
        assert f"study in row {row['row']}" in row["reason"]
        for secret in (row["study_id"], row["patient_id"], "/", "IM0"):
            assert secret not in row["reason"]


def test_a_bad_study_leaves_the_others_as_they_are(loaded: Package, results: Path, tmp_path: Path) -> None:
    make_cohort(tmp_path / "whole", SyntheticSettings.model_validate(SMALL))
    score(loaded, find_studies(loaded, tmp_path / "whole"), tmp_path / "out", Options(workers=0))
    whole = table(tmp_path / "out", "scores").set_index("study_id")
    among = table(results, "scores").set_index("study_id")
    assert len(whole) == len(among) + BROKEN
    np.testing.assert_allclose(among["probability_pneumonia"], whole.loc[among.index, "probability_pneumonia"], atol=1e-6)
    assert among["inputs"].map(list).tolist() == whole.loc[among.index, "inputs"].map(list).tolist()


def test_probabilities_are_those_of_the_model(hospital: Hospital, package: Package, loaded: Package, tmp_path: Path) -> None:
    score(loaded, find_studies(loaded, hospital.cohort.root), tmp_path, Options(workers=0))
    scores = table(tmp_path, "scores")
    some = [study for study in hospital.studies if study.evidence][:20]
    everything = frozenset(package.inputs)
    logits = predict(package.model, [hospital.batch(some)], [everything]).logits
    # By hand: temperature 1.5, sigmoid, threshold 0.4.
    expected = 1 / (1 + np.exp(-logits[everything][:, 0].astype(float) / 1.5))
    np.testing.assert_allclose(scores["probability_pneumonia"][: len(some)], expected, atol=1e-6)
    assert scores["decision_pneumonia"][: len(some)].tolist() == (expected >= 0.4).tolist()
    assert scores["inputs"].map(list)[: len(some)].tolist() == [sorted(study.evidence) for study in some]
    assert scores["model_digest"].unique().tolist() == [loaded.digest]
    assert scores["patient_id"][: len(some)].tolist() == [study.patient_id for study in some]


def test_scoring_elsewhere_gives_the_same_rows(
    loaded: Package, studies: tuple[Study, ...], results: Path, tmp_path: Path
) -> None:
    score(loaded, studies, tmp_path, Options(workers=0))
    assert same_rows(results, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ledger", "rejected.parquet", "scores.parquet"]


def test_scoring_again_does_nothing_twice(loaded: Package, studies: tuple[Study, ...], tmp_path: Path) -> None:
    first = score(loaded, studies, tmp_path / "one", Options(workers=0))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    again = score(loaded, studies, tmp_path / "two", Options(workers=0))
    assert (first.now, again.now) == (len(studies), 0)
    assert replace(again, now=first.now) == first
    assert same_bytes(tmp_path / "one", tmp_path / "two")


def test_worker_processes_change_no_byte(loaded: Package, studies: tuple[Study, ...], results: Path, tmp_path: Path) -> None:
    done = score(loaded, studies, tmp_path, Options(workers=2))
    assert same_rows(results, tmp_path)
    assert done.scored == len(table(results, "scores"))
    assert done.rejected == {Code.GAP: 1, Code.TRUNCATED: 1, Code.NO_INPUT: 1, Code.AMBIGUOUS: 2}


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_size_of_a_batch_is_of_no_matter(
    loaded: Package, studies: tuple[Study, ...], results: Path, tmp_path: Path, size: int
) -> None:
    score(loaded, studies, tmp_path, Options(workers=0, tile=size))
    one, other = table(results, "scores"), table(tmp_path, "scores")
    np.testing.assert_allclose(one["probability_pneumonia"], other["probability_pneumonia"], atol=1e-6)
    columns = ["patient_id", "study_id", "model_digest"]
    assert one[columns].equals(other[columns])
    assert table(results, "rejected").drop(columns="scored_at").equals(table(tmp_path, "rejected").drop(columns="scored_at"))


def test_an_error_on_the_way_leaves_no_result_behind(loaded: Package, studies: tuple[Study, ...], tmp_path: Path) -> None:
    def fail(done: int, _whole: int) -> None:
        if done > 6:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        score(loaded, studies, tmp_path, Options(workers=0, tile=4), progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == [".ledger"]


def test_an_error_on_the_way_leaves_the_old_result(
    loaded: Package, studies: tuple[Study, ...], results: Path, tmp_path: Path
) -> None:
    def fail(_done: int, _whole: int) -> None:
        raise RuntimeError

    score(loaded, studies, tmp_path, Options(workers=0))
    with pytest.raises(RuntimeError):
        score(loaded, studies[:3], tmp_path, Options(workers=0), progress=fail)
    assert same_rows(results, tmp_path)


def test_progress_counts_every_study_once(loaded: Package, studies: tuple[Study, ...], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    score(loaded, studies, tmp_path, Options(workers=0, tile=5), progress=lambda done, whole: told.append((done, whole)))
    assert told[-1] == (len(studies), len(studies))
    assert len(told) > 2


def test_rejected_studies_alone_give_an_empty_table_of_scores(
    loaded: Package, studies: tuple[Study, ...], results: Path, tmp_path: Path
) -> None:
    bad = [study for study in studies if study.study_id in {NOTHING, TWICE}]
    assert score(loaded, bad, tmp_path, Options(workers=0)).scored == 0
    assert len(table(tmp_path, "scores")) == 0
    assert table(tmp_path, "scores").columns.tolist() == table(results, "scores").columns.tolist()


def test_more_rows_than_a_row_group_are_all_written(
    loaded: Package, studies: tuple[Study, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medmm.scoring.sinks.parquet.GROUP_ROWS", 4)
    score(loaded, studies, tmp_path, Options(workers=0, tile=3))
    assert len(table(tmp_path, "scores")) + len(table(tmp_path, "rejected")) == len(studies)
    assert pq.ParquetFile(tmp_path / "scores.parquet").num_row_groups > 2


def test_an_unknown_sink_is_named_with_those_there_are(loaded: Package, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sink is called 'parket': did you mean 'parquet'"):
        score(loaded, [], tmp_path, sink="parket")


def test_the_stream_draws_studies_as_it_needs_them(loaded: Package, studies: tuple[Study, ...]) -> None:
    drawn = []

    def source() -> Iterator[Study]:
        for study in studies:
            drawn.append(study)
            yield study

    stream = score_stream(loaded, source(), Options(workers=0, tile=2))
    next(stream)
    assert len(drawn) < len(studies) / 2


def frame(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "studies.csv", dtype=str, keep_default_na=False)


def test_the_pyfunc_says_what_the_engine_says_in_the_order_given(loaded: Package, incoming: Path, results: Path) -> None:
    given = frame(incoming).iloc[::-1].reset_index(drop=True)
    scores = StudyModel(loaded).predict(given, {"root": str(incoming), "workers": 0})
    assert scores["study_id"].tolist() == given["study_id"].tolist()
    good = scores[scores["code"] == ""].set_index("study_id")
    expected = table(results, "scores").set_index("study_id")
    assert sorted(good.index) == sorted(expected.index)
    said = good["probability_pneumonia"].astype(float)  # None of a rejected study makes a column of objects
    np.testing.assert_array_equal(said, expected.loc[good.index, "probability_pneumonia"])
    assert (good["decision_pneumonia"] == expected.loc[good.index, "decision_pneumonia"]).all()
    assert sorted(scores["code"][scores["code"] != ""]) == sorted(table(results, "rejected")["code"])
    assert scores["probability_pneumonia"][scores["code"] != ""].isna().all()
    assert scores["reason"][scores["code"] == ""].eq("").all()


def test_the_pyfunc_scores_rejected_studies_alone(loaded: Package, incoming: Path) -> None:
    given = frame(incoming)
    scores = StudyModel(loaded).predict(given[given["study_id"] == NOTHING], {"root": str(incoming)})
    assert scores["code"].tolist() == [Code.NO_INPUT.value]
    assert scores["probability_pneumonia"].isna().all()


def test_the_pyfunc_refuses_a_table_that_pandas_has_turned_into_numbers(loaded: Package, incoming: Path) -> None:
    with pytest.raises(DataError, match="dtype=str"):
        StudyModel(loaded).predict(pd.read_csv(incoming / "studies.csv"), {"root": str(incoming)})


def test_a_manifest_names_some_studies_of_a_folder(loaded: Package, incoming: Path, results: Path, tmp_path: Path) -> None:
    frame(incoming).iloc[4:7].to_csv(incoming / "monday.csv", index=False)
    try:
        found = find_studies(loaded, incoming / "monday.csv")
    finally:
        (incoming / "monday.csv").unlink()
    score(loaded, found, tmp_path, Options(workers=0))
    some, whole = table(tmp_path, "scores"), table(results, "scores").set_index("study_id")
    assert len(some) > 0
    np.testing.assert_allclose(some["probability_pneumonia"], whole.loc[some["study_id"], "probability_pneumonia"], atol=1e-6)


def test_a_manifest_stands_for_the_studies_table_in_every_input(package: Package, tmp_path: Path) -> None:
    (tmp_path / "monday.csv").write_text("patient_id,study_id,time,sex,site\n1,a,2024-01-01,F,A\n")
    sex = INPUTS.pick("tabular").model_validate({"table": "studies.csv", "categorical": ["sex"]}).open("sex")
    (study,) = find_studies(replace(package, inputs={"sex": sex}), tmp_path / "monday.csv")
    assert study.evidence["sex"].cells == {"sex": "F"}


def test_scoring_needs_no_column_that_only_evaluation_reads(loaded: Package, incoming: Path, tmp_path: Path) -> None:
    assert loaded.cohort.subgroups == ("sex", "site")
    (tmp_path / "dicom").mkdir()
    for name in ("labs.csv", "notes.csv"):
        (tmp_path / name).write_bytes((incoming / name).read_bytes())
    frame(incoming).drop(columns=["sex", "site"]).to_csv(tmp_path / "studies.csv", index=False)
    assert len(find_studies(loaded, tmp_path)) == len(frame(incoming))


def test_a_place_that_is_not_there_is_refused_without_its_name(loaded: Package, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder") as caught:
        find_studies(loaded, tmp_path / "Mustermann")
    assert "Mustermann" not in str(caught.value)
    with pytest.raises(DataError, match=r"no table 'studies\.csv'"):
        find_studies(loaded, tmp_path)


@pytest.fixture
def images(incoming: Path, tmp_path: Path) -> Path:
    """The images of the new studies under other names, with neither table nor `dicom` folder."""
    folder = tmp_path / "from_the_archive"
    files = (file for file in sorted((incoming / "dicom").rglob("*")) if file.is_file())
    for number, file in enumerate(files):
        place = folder / str(number % 3) / f"{number:05d}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    return folder


def test_a_folder_of_images_alone_gives_the_scores_that_its_studies_table_gives(
    loaded: Package, incoming: Path, images: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    found = find_studies(loaded, images, told.append)
    given = frame(incoming)
    for name in ("labs.csv", "notes.csv"):  # the same studies from the table, with nothing but their images
        (tmp_path / name).write_text((incoming / name).read_text().splitlines()[0] + "\n")
    given[given["study_uid"].isin({s.study_id for s in found})].to_csv(tmp_path / "studies.csv", index=False)
    (tmp_path / "dicom").symlink_to(images)
    expected = find_studies(loaded, tmp_path)
    uid = dict(zip(given["study_id"], given["study_uid"], strict=True))
    assert {s.study_id: s.patient_id for s in found} == {uid[s.study_id]: s.patient_id for s in expected}
    assert "absent of every study" in " ".join(told)
    score(loaded, found, tmp_path / "found", Options(workers=0))
    score(loaded, expected, tmp_path / "expected", Options(workers=0))
    one, other = (table(tmp_path / name, "scores") for name in ("found", "expected"))
    by_uid = other.assign(study_id=other["study_id"].map(uid)).set_index("study_id")
    assert len(one) == len(other) > 5
    np.testing.assert_allclose(one["probability_pneumonia"], by_uid.loc[one["study_id"], "probability_pneumonia"], atol=1e-6)
    codes = [sorted(table(tmp_path / name, "rejected")["code"]) for name in ("found", "expected")]
    assert codes[0] == codes[1]


def test_a_file_of_no_study_is_counted(loaded: Package, images: Path) -> None:
    (images / "readme").write_text("ours")
    told: list[str] = []
    find_studies(loaded, images, told.append)
    assert told[-1].startswith("files that belong to no study: ")
    assert f"{Code.NOT_AN_IMAGE.value}: 1" in told[-1]


def test_a_folder_with_tables_but_without_that_of_the_studies_is_refused(loaded: Package, images: Path) -> None:
    (images / "labs.csv").write_text("patient_id\n")
    with pytest.raises(DataError, match=r"no table 'studies\.csv'"):
        find_studies(loaded, images)


def test_images_joined_by_file_name_need_a_table(package: Package, images: Path) -> None:
    pictures = INPUTS.pick("image").model_validate({"path": "dicom", "match": "file"}).open("chest")
    with pytest.raises(DataError, match="finds its images by file names"):
        find_studies(replace(package, inputs={"chest": pictures}), images)


def write_fhir(folder: Path, studies: pd.DataFrame, labs: pd.DataFrame) -> None:
    """Write the studies and the laboratory values of a hospital as Bulk Data; a number as it stands in its cell."""
    lines = [json.dumps({"resourceType": "Patient", "id": one}) for one in sorted(set(studies["patient_id"]))]
    for row in studies.to_dict("records"):
        study = {"resourceType": "ImagingStudy", "id": row["study_id"], "status": "available", "started": f"{row['time']}Z"}
        study |= {"subject": {"reference": f"Patient/{row['patient_id']}"}}
        lines.append(json.dumps(study | {"identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{row['study_uid']}"}]}))
    for number, row in enumerate(labs.to_dict("records")):
        value = {"resourceType": "Observation", "id": f"o{number}", "status": "final", "effectiveDateTime": f"{row['time']}Z"}
        value |= {"subject": {"reference": f"Patient/{row['patient_id']}"}, "code": {"coding": [{"code": row["code"]}]}}
        value |= {"valueQuantity": {"value": "NUMBER", "unit": row["unit"]}}
        lines.append(json.dumps(value).replace('"NUMBER"', row["value"]))
    folder.mkdir(parents=True)
    (folder / "all.ndjson").write_text("\n".join(lines))


@pytest.mark.parametrize("studies_table", ["studies.csv", "fhir/studies"])
def test_a_folder_of_fhir_alone_is_scored_as_the_same_facts_in_tables(
    package: Package, incoming: Path, tmp_path: Path, studies_table: str
) -> None:
    labs, given = (pd.read_csv(incoming / f"{name}.csv", dtype=str, keep_default_na=False) for name in ("labs", "studies"))
    given = given[~given["study_id"].isin({NOTHING, TWICE})]
    write_fhir(tmp_path / "records" / "fhir", given, labs)
    plain = tmp_path / "plain"
    (plain / "dicom").mkdir(parents=True)
    given.to_csv(plain / "studies.csv", index=False)
    labs.to_csv(plain / "labs.csv", index=False)
    (plain / "notes.csv").write_text("study_id,time,text\n")
    of_records = package.inputs["labs"].settings.model_copy(update={"table": "fhir/facts"})
    other = replace(
        package,
        cohort=package.cohort.model_copy(update={"studies": studies_table}),
        inputs={**package.inputs, "labs": of_records.open("labs", package.inputs["labs"].state)},
    )
    told = {}
    for name, one in (("plain", package), ("records", other)):
        save_package(one, tmp_path / f"{name} package")
        words = ["score", str(tmp_path / f"{name} package"), str(tmp_path / name), "--out", str(tmp_path / f"{name} out")]
        answer = CliRunner().invoke(app, [*words, "--workers", "0"])
        assert answer.exit_code == 0, answer.output
        told[name] = " ".join(answer.output.split())
    assert "absent of every study, for the folder does not have their files: chest, ct, history" in told["records"]
    assert ("the studies are those of" in told["records"]) == (studies_table == "studies.csv")
    one, two = (table(tmp_path / f"{name} out", "scores").set_index("study_id").sort_index() for name in ("plain", "records"))
    assert len(one) > 5
    assert one["inputs"].map(list).tolist() == two["inputs"].map(list).tolist() == [["labs"]] * len(one)
    np.testing.assert_array_equal(one["probability_pneumonia"], two["probability_pneumonia"])


def test_records_without_a_study_leave_the_images_to_tell(package: Package, images: Path) -> None:
    write_fhir(images / "fhir", pd.DataFrame({"patient_id": ["p1"]}).iloc[:0], pd.DataFrame())
    (images / "fhir" / "all.ndjson").write_text(json.dumps({"resourceType": "Patient", "id": "p1"}))
    labs = package.inputs["labs"].settings.model_copy(update={"table": "fhir/facts"})
    own = replace(package, inputs={**package.inputs, "labs": labs.open("labs", package.inputs["labs"].state)})
    told: list[str] = []
    assert find_studies(own, images, told.append)
    assert "found by their DICOM headers" in told[0]
