"""The record of a run: closed as it ended, logged once, and kept beside its database."""

import math
from pathlib import Path

import pandas as pd
import pytest

from medmm.errors import ConfigError, DataError
from medmm.training.tracking import Record, TrackingSettings, connect, flat, open_record, storable


def status(record: Record) -> str:
    return str(record.client.get_run(record.run_id).info.status)


def test_a_run_that_ends_well_is_finished(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        assert status(record) == "RUNNING"
    assert status(record) == "FINISHED"
    assert record.client.get_run(record.run_id).info.end_time is not None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("too few patients"), "FAILED"),
        (ZeroDivisionError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(), "FAILED"),
    ],
)
def test_a_run_that_ends_badly_says_how(tracking: TrackingSettings, error: BaseException, expected: str) -> None:
    with pytest.raises(type(error)), open_record(connect(tracking), tracking, "chest") as record:
        raise error
    assert status(record) == expected


def test_an_error_is_kept_only_where_its_text_is_known_to_name_nobody(tracking: TrackingSettings) -> None:
    tags = []
    for error in (DataError("too few patients"), ValueError("/data/Mustermann^Erika.dcm")):
        with pytest.raises(type(error)), open_record(connect(tracking), tracking, "chest") as record:
            raise error
        tags.append(record.client.get_run(record.run_id).data.tags)
    assert tags[0]["error"] == "too few patients"
    assert "Mustermann" not in str(tags[1])


def test_a_resumed_run_is_running_again_and_then_finished(tracking: TrackingSettings) -> None:
    client = connect(tracking)
    with pytest.raises(KeyboardInterrupt), open_record(client, tracking, "chest") as first:
        raise KeyboardInterrupt
    with open_record(client, tracking, "chest", resume=first.run_id) as again:
        assert again.run_id == first.run_id
        assert status(again) == "RUNNING"
    assert status(again) == "FINISHED"
    assert len(client.search_runs([again.experiment_id])) == 1


def test_parameters_are_logged_once_and_a_resumed_run_adds_only_new_ones(tracking: TrackingSettings) -> None:
    client = connect(tracking)
    with open_record(client, tracking, "chest") as record:
        record.parameters({"training.epochs": 5, "name": "chest"})
    with open_record(client, tracking, "chest", resume=record.run_id) as record:
        record.parameters({"training.epochs": 7, "model.width": 16})
    assert client.get_run(record.run_id).data.params == {"training.epochs": "5", "name": "chest", "model.width": "16"}


def test_many_parameters_and_long_ones_are_kept(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        record.parameters({f"inputs.p{i}": i for i in range(250)} | {"name": "x" * 10_000})
    params = record.client.get_run(record.run_id).data.params
    assert len(params) == 251
    assert params["inputs.p249"] == "249"
    assert params["name"] == "x" * 6000


def test_what_is_not_a_number_is_left_out_of_the_measures(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        record.measures({"auroc": 0.75, "sensitivity": math.nan}, step=3)
        record.measures({"loss": math.nan})
        record.measures({f"m{i}": float(i) for i in range(1200)})
    run = record.client.get_run(record.run_id)
    assert run.data.metrics["auroc"] == 0.75
    assert not {"sensitivity", "loss"} & set(run.data.metrics)
    assert run.data.metrics["m1199"] == 1199
    assert [one.step for one in record.client.get_metric_history(record.run_id, "auroc")] == [3]


def test_artifacts_lie_beside_the_database(tracking: TrackingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with open_record(connect(tracking), tracking, "chest") as record:
        record.table(pd.DataFrame({"row": [1]}), "cohort.csv")
        record.document({"a": None}, "config.json")
        record.text("words", "notes.txt")
    found = sorted(path.relative_to(tmp_path).parts for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".db")
    assert {parts[:3] for parts in found} == {("store", "mlartifacts", "chest")}
    assert {parts[-1] for parts in found} == {"cohort.csv", "config.json", "notes.txt"}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_experiment_is_the_run_name_or_the_one_that_is_given(tracking: TrackingSettings) -> None:
    client = connect(tracking)
    named = tracking.model_copy(update={"experiment": "pneumonia"})
    with open_record(client, tracking, "chest") as one, open_record(client, named, "chest") as other:
        pass
    assert client.get_experiment(one.experiment_id).name == "chest"
    assert client.get_experiment(other.experiment_id).name == "pneumonia"


def test_an_experiment_that_was_deleted_in_the_ui_is_a_wrong_setting(tracking: TrackingSettings) -> None:
    client = connect(tracking)
    with open_record(client, tracking, "chest") as record:
        pass
    client.delete_experiment(record.experiment_id)
    with pytest.raises(ConfigError, match="experiment"), open_record(client, tracking, "chest"):
        pass


@pytest.mark.parametrize("name", ["../../outside", "..", "a/../../.."])
def test_an_experiment_cannot_lead_out_of_the_folder_of_the_store(
    tracking: TrackingSettings, tmp_path: Path, name: str
) -> None:
    try:
        settings = TrackingSettings(uri=tracking.uri, experiment=name)
        with open_record(connect(settings), settings, "chest") as record:
            record.text("words", "notes.txt")
    except ValueError:  # refused, which is as good
        return
    for path in tmp_path.rglob("notes.txt"):
        assert path.is_relative_to(tmp_path / "store" / "mlartifacts")


def test_a_child_stands_below_its_run(tracking: TrackingSettings) -> None:
    client = connect(tracking)
    with (
        open_record(client, tracking, "chest") as parent,
        open_record(client, tracking, "labs-alone", parent=parent) as child,
    ):
        pass
    run = client.get_run(child.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id
    assert run.info.run_name == "labs-alone"
    assert run.info.experiment_id == parent.experiment_id


def test_a_dataset_is_known_by_our_digest(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        record.dataset(pd.DataFrame({"row": [1, 2, 3], "patient": [1, 1, 2]}), "chest-train", "a" * 64, "train")
    (used,) = record.client.get_run(record.run_id).inputs.dataset_inputs
    assert used.dataset.digest == "a" * 36
    assert used.dataset.profile == '{"num_rows": 3, "num_patients": 2}'


def test_an_address_of_no_store_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"tracking\.uri cannot be used"):
        connect(TrackingSettings(uri="nonsense://somewhere"))


def test_a_file_that_is_no_database_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a letter to the editor, and no database at all\n" * 99)
    with pytest.raises(ConfigError, match=r"tracking\.uri cannot be used"):
        connect(TrackingSettings(uri=f"sqlite:///{tmp_path}/mlflow.db"))


@pytest.mark.slow
def test_a_dead_server_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"tracking\.uri cannot be used"):
        connect(TrackingSettings(uri="http://127.0.0.1:9"))


def test_nested_settings_become_dotted_names() -> None:
    given = {"a": 1, "b": {"c": {"d": None}, "e": [1, 2]}}
    assert flat(given) == {"a": 1, "b.c.d": None, "b.e": [1, 2]}


@pytest.mark.parametrize("name", ["test/auroc_low", "inputs.labs.numeric.crp.unit", "worst chest", "rate: a-b", "größe"])
def test_a_name_that_the_store_takes_stays_as_it_is(name: str) -> None:
    assert storable(name) == name


@pytest.mark.parametrize("name", ["CRP (mg/L)", "<b>", "a%", "../x", "/x", "a//b", "x" * 300, "..", "line\nbreak"])
def test_a_name_that_the_store_refuses_is_changed_to_one_of_its_own(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(storable(name))
    assert storable(name) != storable(f"{name}'")
