"""Tabular and text inputs: what is read, what is too late, what is rejected and by which code."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import Found
from medmm.inputs.tabular import MISSING, UNSEEN, TabularSettings
from medmm.inputs.text import TextSettings
from medmm.types import Evidence, Study

STUDIES = """patient_id,study_id,time,sex
007,1E5,2024-03-01T12:00:00,f
007,00002,2024-06-01T12:00:00,f
NA,3,2024-03-01T12:00:00,m
"""


def export(folder: Path, **files: str) -> tuple[Sources, tuple[Study, ...]]:
    """Write an export of three studies and open it."""
    for name, content in {"studies": STUDIES, **files}.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    sources = Sources.open(CohortSettings(root=folder, time="time"))
    return sources, read_studies(sources, None)


def found(folder: Path, settings: TabularSettings | TextSettings, **files: str) -> list[Found]:
    sources, studies = export(folder, **files)
    return settings.open("labs").gather(sources, studies)


def cells(one: Found) -> Mapping[str, str]:
    assert isinstance(one, Evidence)
    assert one.cells is not None
    return one.cells


def code(one: Found) -> Code:
    assert isinstance(one, Rejected), one
    return one.code


LONG = TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "numeric": {"crp": {"unit": "mg/L"}, "wbc": {}}})


def test_the_last_value_before_the_study_counts_and_a_later_one_is_not_read(tmp_path: Path) -> None:
    labs = """patient_id,time,code,value,unit
007,2024-02-01T00:00:00,crp,5,mg/L
007,2024-03-01T11:00:00,crp,7,mg/L
007,2024-03-01T12:00:01,crp,300,mg/L
NA,2023-01-01T00:00:00,wbc,4.5,10*9/L
"""
    first, second, third = found(tmp_path, LONG, labs=labs)
    assert cells(first) == {"crp": "7", "wbc": ""}
    assert cells(second) == {"crp": "300", "wbc": ""}
    assert cells(third) == {"crp": "", "wbc": "4.5"}


def test_the_order_of_the_rows_is_of_no_matter(tmp_path: Path) -> None:
    header, *rows = [
        "patient_id,time,code,value,unit",
        "007,2024-02-02,crp,8,mg/L",
        "007,2024-02-01,crp,5,mg/L",
        "NA,2024-01-01,crp,1,mg/L",
    ]
    for order in (rows, rows[::-1]):
        first, *_ = found(tmp_path, LONG, labs="\n".join([header, *order]) + "\n")
        assert cells(first)["crp"] == "8"


def test_another_unit_is_rejected_for_the_studies_that_would_read_it(tmp_path: Path) -> None:
    labs = "patient_id,time,code,value,unit\n007,2024-05-01T00:00:00,crp,0.5,mmol/L\nNA,2024-01-01,crp,3,mg/L\n"
    first, second, third = found(tmp_path, LONG, labs=labs)
    assert first is None  # the row is later than the first study
    assert code(second) is Code.UNIT
    assert cells(third)["crp"] == "3"


def test_a_value_before_the_window_is_too_old_to_count(tmp_path: Path) -> None:
    labs = "patient_id,time,code,value,unit\nNA,2024-02-20T11:00:00,crp,3,mg/L\nNA,2024-02-21T13:00:00,wbc,4,\n"
    settings = LONG.model_copy(update={"window_days": 9.0})
    assert cells(found(tmp_path, settings, labs=labs)[2]) == {"crp": "", "wbc": "4"}


def test_two_different_values_at_one_time_are_ambiguous(tmp_path: Path) -> None:
    labs = "patient_id,time,code,value,unit\nNA,2024-01-01,crp,3,mg/L\nNA,2024-01-01,crp,30,mg/L\n"
    assert code(found(tmp_path, LONG, labs=labs)[2]) is Code.AMBIGUOUS


def test_the_same_value_twice_at_one_time_is_one_value(tmp_path: Path) -> None:
    labs = "patient_id,time,code,value,unit\nNA,2024-01-01,crp,3,mg/L\nNA,2024-01-01,crp,3,mg/L\n"
    assert cells(found(tmp_path, LONG, labs=labs)[2])["crp"] == "3"


def test_a_time_that_cannot_be_read_rejects_only_its_patients_studies(tmp_path: Path) -> None:
    labs = "patient_id,time,code,value,unit\nNA,yesterday,crp,3,mg/L\n007,2024-01-01,crp,4,mg/L\n"
    first, _, third = found(tmp_path, LONG, labs=labs)
    assert cells(first)["crp"] == "4"
    assert code(third) is Code.TYPE


def test_times_with_an_offset_are_compared_as_instants(tmp_path: Path) -> None:
    # 13:30 at +02:00 is 11:30, before the study at 12:00; 12:30 at +00:00 is after it.
    labs = "patient_id,time,code,value,unit\nNA,2024-03-01T13:30:00+02:00,crp,3,mg/L\nNA,2024-03-01T12:30:00+00:00,crp,9,mg/L\n"
    assert cells(found(tmp_path, LONG, labs=labs)[2])["crp"] == "3"


def test_a_wide_table_is_joined_by_study_and_its_identifiers_stay_text(tmp_path: Path) -> None:
    settings = TabularSettings.model_validate({"table": "wide.csv", "numeric": {"age": {}}, "categorical": ["sex"]})
    wide = "study_id,age,sex\n1E5,61,f\n100000,20,m\n2,30,m\n3,,\n"
    first, second, third = found(tmp_path, settings, wide=wide)
    assert cells(first) == {"age": "61", "sex": "f"}
    assert second is None  # 00002 is not 2
    assert third is None  # a row without any value is an absent input


def test_two_rows_of_one_study_are_ambiguous(tmp_path: Path) -> None:
    settings = TabularSettings.model_validate({"table": "wide.csv", "numeric": {"age": {}}})
    assert code(found(tmp_path, settings, wide="study_id,age\n3,61\n3,62\n")[2]) is Code.AMBIGUOUS


def test_two_rows_of_one_study_at_one_time_are_ambiguous_unless_they_are_the_same(tmp_path: Path) -> None:
    settings = TabularSettings.model_validate({"table": "wide.csv", "numeric": {"age": {}}})
    rows = ["3,61,2024-01-02", "3,62,2024-01-02", "3,50,2024-01-01"]
    for order in (rows, rows[::-1]):
        wide = "\n".join(["study_id,age,time", *order]) + "\n"
        assert code(found(tmp_path, settings, wide=wide)[2]) is Code.AMBIGUOUS
        assert cells(found(tmp_path, settings, wide=wide.replace("62", "61"))[2]) == {"age": "61"}


def test_a_row_is_never_given_to_two_studies_of_one_identifier(tmp_path: Path) -> None:
    studies = STUDIES + "another,1E5,2024-03-01T12:00:00,m\n"
    wide, text = "study_id,age\n1E5,61\n3,62\n", "study_id,text\n1E5,cough\n3,fever\n"
    for table, settings in (
        (wide, TabularSettings.model_validate({"table": "t.csv", "numeric": {"age": {}}})),
        (text, TextSettings.model_validate({"table": "t.csv"})),
    ):
        sources, known = export(tmp_path, studies=studies, t=table)
        assert [bool(study.rejected) for study in known] == [True, False, False, True]
        assert [one is not None for one in settings.open("labs").gather(sources, known)] == [False, False, True, False]


def test_a_row_of_a_patient_is_of_all_their_studies(tmp_path: Path) -> None:
    settings = TabularSettings.model_validate({"table": "t.csv", "by": "patient", "numeric": {"age": {}}})
    rows = "patient_id,age,time\n007,61,2024-02-01\n007,62,2024-05-01\n"
    first, second, third = found(tmp_path, settings, t=rows)
    assert (cells(first), cells(second), third) == ({"age": "61"}, {"age": "62"}, None)


def test_the_studies_table_itself_can_be_an_input(tmp_path: Path) -> None:
    settings = TabularSettings.model_validate({"table": "studies.csv", "categorical": ["sex"]})
    assert [cells(one)["sex"] for one in found(tmp_path, settings)] == ["f", "f", "m"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("12,5", Code.TYPE), ("nan", Code.TYPE), ("1_0", Code.TYPE), ("inf", Code.TYPE), ("601", Code.RANGE), ("-1", Code.RANGE)],
)
def test_a_cell_that_is_no_plausible_number_is_rejected(cell: str, expected: Code) -> None:
    one = TabularSettings.model_validate({"table": "x", "numeric": {"crp": {"range": [0, 600]}}}).open("labs")
    with pytest.raises(Rejected) as caught:
        one.read(Evidence(cells={"crp": cell}))
    assert caught.value.code is expected


def test_a_rejection_never_repeats_a_cell_that_is_no_number() -> None:
    one = TabularSettings.model_validate({"table": "x", "numeric": {"crp": {}}}).open("labs")
    with pytest.raises(Rejected) as caught:
        one.read(Evidence(cells={"crp": "Erika Mustermann"}))
    assert "Mustermann" not in str(caught.value)


def test_numbers_are_scaled_by_the_training_studies_and_missing_stays_missing() -> None:
    settings = TabularSettings.model_validate({"table": "x", "numeric": {"crp": {}}, "categorical": ["sex"]})
    measured = [("1", {"crp": "2", "sex": "f"}), ("2", {"crp": "6", "sex": "m"}), ("3", {"crp": "", "sex": ""})]
    one = settings.open("labs").fit([*measured, *((str(4 + i), {"crp": "", "sex": "fm"[i % 2]}) for i in range(4))])
    # By hand: mean 4, standard deviation 2; categories f and m, each of three patients, have the codes 2 and 3.
    known = one.prepare({"crp": "8", "sex": "m"})
    assert known["number"].tolist() == [2.0]
    assert known["known"].tolist() == [1]
    assert known["category"].tolist() == [3]
    missing = one.prepare({"crp": "", "sex": ""})
    assert missing["known"].tolist() == [0]
    assert missing["category"].tolist() == [MISSING]
    assert one.prepare({"crp": "4", "sex": "x"})["category"].tolist() == [UNSEEN]


def test_a_missing_table_or_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no table 'labs\.csv'"):
        found(tmp_path, LONG)
    with pytest.raises(DataError, match="no column 'value': did you mean 'values'"):
        found(tmp_path, LONG, labs="patient_id,time,code,values,unit\n")


def test_notes_are_joined_oldest_first_and_later_ones_left_out(tmp_path: Path) -> None:
    settings = TextSettings(table="notes.csv", by="patient")
    notes = "patient_id,time,text\n007,2024-02-02,second\n007,2024-02-01,first\n007,2024-05-01,third\n"
    first, second, third = found(tmp_path, settings, notes=notes)
    assert isinstance(first, Evidence)
    assert first.text == "first\nsecond"
    assert isinstance(second, Evidence)
    assert second.text == "first\nsecond\nthird"
    assert third is None


def test_a_note_of_white_space_is_absent(tmp_path: Path) -> None:
    assert found(tmp_path, TextSettings(table="notes.csv"), notes='study_id,text\n3," "\n')[2] is None


def test_notes_come_from_files_too_and_never_from_outside_the_export(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "3.txt").write_text("no fever", encoding="utf-8")
    one = TextSettings(folder="notes").open("history")
    sources, studies = export(tmp_path)
    *others, last = one.gather(sources, studies)
    assert others == [None, None]
    assert isinstance(last, Evidence)
    assert one.read(last) == "no fever"
    with pytest.raises(DataError, match="leads out of"):
        TextSettings(folder="../other").open("history").gather(sources, studies)


def test_a_name_in_one_patients_notes_never_enters_the_vocabulary() -> None:
    notes = [(str(i), "cough and fever") for i in range(10)] + [("10", "Mrs Quoxzybar coughs")] * 20
    one = (
        TextSettings.model_validate({"table": "x", "encoder": {"name": "transformer", "min_patients": 5}})
        .open("history")
        .fit(notes)
    )
    assert "cough" in str(one.state)
    for piece in ("quoxzybar", "quox", "xzy", "bar"):
        assert piece not in str(one.state["tokenizer"])


def test_a_long_note_is_cut_and_a_strange_one_keeps_a_token() -> None:
    one = TextSettings.model_validate(
        {"table": "x", "max_tokens": 8, "encoder": {"name": "transformer", "min_patients": 2}}
    ).open("history")
    one = one.fit([(str(i), "cough and fever") for i in range(5)])
    assert one.prepare("cough " * 50)["mask"].sum() == 8
    assert one.prepare("漢字")["mask"].sum() >= 1
    assert one.prepare("")["mask"].sum() == 1
    assert np.array_equal(one.prepare("Cough")["ids"], one.prepare("cough")["ids"])


def test_a_study_with_a_fault_comes_back_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_text(
        "patient_id,study_id,time\n1,a,2024-01-01\n1,a,2024-01-01\n,b,2024-01-01\n2,c,soon\n3,d,2024-01-01T10:00:00+02:00\n"
    )
    sources = Sources.open(CohortSettings(root=tmp_path, time="time"))
    studies = read_studies(sources, None)
    codes = [next((reason.code for reason in study.rejected.values()), None) for study in studies]
    assert codes == [Code.AMBIGUOUS, Code.AMBIGUOUS, Code.EMPTY, Code.TYPE, None]
    assert studies[4].time == datetime(2024, 1, 1, 8)


def test_an_input_that_reads_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least one column"):
        TabularSettings(table="labs.csv")
    with pytest.raises(ValidationError, match="one of the two"):
        TextSettings()
