"""MEDS: shards as its schema writes them, as the tables of every other export."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.errors import Code, Rejected
from medmm.inputs import gather
from medmm.inputs.tabular import TabularSettings
from medmm.readers.meds import BEFORE_EVERYTHING, read_meds

SCHEMA = pa.schema(
    {
        "subject_id": pa.int64(),
        "time": pa.timestamp("us"),
        "code": pa.string(),
        "numeric_value": pa.float32(),
        "text_value": pa.large_string(),
    }
)
CRP = "LAB//1988-5//mg/L"
EVENTS = [
    (7, None, "GENDER//F", None, None),
    (7, datetime(1961, 5, 4), "MEDS_BIRTH", None, None),
    (7, datetime(2024, 3, 1, 8, 30), CRP, 12.1, None),
    (7, datetime(2024, 3, 1, 9), "NOTE//ward", None, "Stable."),
    (7, datetime(2024, 3, 3), CRP, 300.0, None),
    (8, datetime(2024, 3, 1), "DIAGNOSIS//ICD10CM//J18.9", None, None),
]


def shard(path: Path, events: list[tuple[object, ...]], schema: pa.Schema = SCHEMA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [event[place] for event in events] for place, name in enumerate(schema.names)}
    parquet.write_table(pa.table(columns, schema), path)


def test_events_become_facts(tmp_path: Path) -> None:
    shard(tmp_path / "data" / "train" / "0.parquet", EVENTS[:3])
    shard(tmp_path / "data" / "train" / "1.parquet", EVENTS[3:])
    shard(tmp_path / "metadata" / "codes.parquet", EVENTS[:1])  # is no data
    records = read_meds(tmp_path)
    columns = ["patient_id", "time", "code", "value", "system"]
    assert list(records.tables["facts"][columns].itertuples(index=False, name=None)) == [
        ("7", BEFORE_EVERYTHING, "GENDER//F", "true", "GENDER"),
        ("7", "1961-05-04T00:00:00", "MEDS_BIRTH", "true", ""),
        ("7", "2024-03-01T08:30:00", CRP, "12.1", "LAB"),
        ("7", "2024-03-01T09:00:00", "NOTE//ward", "Stable.", "NOTE"),
        ("7", "2024-03-03T00:00:00", CRP, "300.0", "LAB"),
        ("8", "2024-03-01T00:00:00", "DIAGNOSIS//ICD10CM//J18.9", "true", "DIAGNOSIS"),
    ]
    assert list(records.tables["patients"].itertuples(index=False, name=None)) == [("7", "1961-05-04", "F"), ("8", "", "")]


def test_a_number_reads_back_as_the_float32_that_was_written(tmp_path: Path) -> None:
    values = np.random.default_rng(0).lognormal(0, 9, 500).astype(np.float32)
    shard(tmp_path / "data" / "0.parquet", [(1, datetime(2024, 1, 1), CRP, float(value), None) for value in values])
    read = read_meds(tmp_path).tables["facts"]["value"].astype(np.float32).to_numpy()
    assert read.tobytes() == values.tobytes()


def test_an_input_reads_what_was_known_and_what_is_static(tmp_path: Path) -> None:
    shard(tmp_path / "meds" / "data" / "0.parquet", EVENTS)
    (tmp_path / "meds" / "metadata").mkdir()
    (tmp_path / "meds" / "metadata" / "dataset.json").write_text("{}")  # as MEDS has it, and no FHIR
    (tmp_path / "studies.csv").write_text("patient_id,study_id,time\n7,s1,2024-03-02\n")
    sources = Sources.open(CohortSettings(root=tmp_path, time="time"))
    settings = TabularSettings.model_validate(
        {"table": "meds/facts", "layout": "long", "numeric": {CRP: {}}, "categorical": ["GENDER//F"]}
    )
    (study,) = gather({"labs": settings.open("labs")}, sources, read_studies(sources, None))
    assert study.evidence["labs"].cells == {CRP: "12.1", "GENDER//F": "true"}


@pytest.mark.parametrize(
    ("events", "names", "code"),
    [
        (EVENTS, {"subject_id": "patient"}, Code.MALFORMED),
        ([(None, datetime(2024, 1, 1), CRP, 1.0, None)], {}, Code.EMPTY),
        ([(1, datetime(2024, 1, 1), None, 1.0, None)], {}, Code.EMPTY),
    ],
)
def test_what_is_no_meds_is_refused(
    events: list[tuple[object, ...]], names: dict[str, str], code: Code, tmp_path: Path
) -> None:
    schema = pa.schema([field.with_name(names.get(field.name, field.name)) for field in SCHEMA])
    shard(tmp_path / "data" / "0.parquet", events, schema)
    with pytest.raises(Rejected) as caught:
        read_meds(tmp_path)
    assert caught.value.code is code
    assert caught.value.where.startswith("file 1 of 1")


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data" / "0.parquet"
    shard(path, EVENTS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Rejected) as caught:
        read_meds(tmp_path)
    assert caught.value.code is Code.MALFORMED
