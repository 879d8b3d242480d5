"""Identifiers of one person are found, joined or reported; strangers and placeholders stay apart."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_leakage import SCREEN, export, leaking, taken_in

from medmm.cohort.persons import find_persons, person_mark
from medmm.config import parse_config
from medmm.errors import DataError
from medmm.workflows.cohort import prepare


@pytest.mark.parametrize(
    ("name", "birth_date"),
    [
        ("MÜLLER^GRETA", "19500203"),
        ("Muller^Greta^^^", "1950.02.03"),
        ("Greta Müller", "1950-02-03"),
        ("Müller^Greta=繆勒^格蕾塔", "19500203"),
    ],
)
def test_a_name_written_otherwise_is_the_same(name: str, birth_date: str) -> None:
    assert person_mark(name, birth_date) == person_mark("Müller^Greta", "19500203") != ""


@pytest.mark.parametrize(
    ("name", "birth_date"),
    [("Müller^Greta", "19500302"), ("Müller^Grete", "19500203"), ("Müller^Greta^Ana", "19500203")],
)
def test_another_name_or_date_is_another_person(name: str, birth_date: str) -> None:
    assert person_mark(name, birth_date) not in {"", person_mark("Müller^Greta", "19500203")}


@pytest.mark.parametrize(
    ("name", "birth_date"),
    [
        ("", "19500203"),
        ("Müller", "19500203"),
        ("Müller^Greta", ""),
        ("Müller^Greta", "1950"),
        ("Müller^Greta", "00000000"),
        ("Anonymous^Patient", "19500203"),
        ("PATIENT^0042", "19500203"),
    ],
)
def test_what_stands_in_the_place_of_a_name_tells_nothing(name: str, birth_date: str) -> None:
    assert person_mark(name, birth_date) == ""


def test_no_name_can_be_read_from_a_mark() -> None:
    assert set(person_mark("Müller^Greta", "19500203")) <= set("0123456789abcdef")


def test_identifiers_are_joined_over_several_steps_and_counted_by_what_told() -> None:
    patients = ["b", "a", "c", "d", "e", "a"]
    persons = find_persons(patients, {"name": [(0, "x"), (1, "x"), (3, "y")], "image": [(2, "z"), (5, "z"), (4, "w")]})
    assert persons.same == {"a": "a", "b": "a", "c": "a"}
    assert persons.found == {"name": 2, "image": 2}
    assert persons.count == 1


def test_what_many_share_is_a_placeholder() -> None:
    patients = [str(i) for i in range(5)]
    assert find_persons(patients, {"name": [(i, "x") for i in range(4)]}).count == 1
    assert find_persons(patients, {"name": [(i, "x") for i in range(5)]}).same == {}


def registered_twice(folder: Path, **cohort: Any) -> dict[str, Any]:
    content = export(folder, duplicate_patients=20)
    content["cohort"] |= cohort
    return content


def test_a_person_registered_twice_is_one_patient(tmp_path: Path) -> None:
    content = registered_twice(tmp_path / "cohort")
    assert leaking(content) == set()
    _, intake, sides = taken_in(parse_config(content, "x"))
    truth = pd.read_csv(tmp_path / "cohort" / "truth.csv", dtype=str)
    persons = {person: {sides[i] for i in rows if i in sides} for person, rows in truth.groupby("person").groups.items()}
    assert max(map(len, persons.values())) == 1
    # 20 persons, but for those of whom no study has an image; notes and laboratory values tell nobody.
    with_image = {study.patient_id for study in intake.studies if "chest" in study.evidence}
    twice = truth.groupby("person")["patient_id"].nunique() > 1
    known = truth[truth["patient_id"].isin(with_image)].groupby("person")["patient_id"].nunique()
    assert intake.persons.count == int((known[twice[twice].index.intersection(known.index)] > 0).sum()) > 15
    assert len({study.patient_id for study in intake.studies}) == truth["patient_id"].nunique() - intake.persons.count


def test_a_person_who_is_only_reported_ends_a_run_that_puts_it_on_two_sides(tmp_path: Path) -> None:
    content = registered_twice(tmp_path / "cohort", same_person="report")
    assert ("two sides", "persons") in leaking(content)
    with pytest.raises(DataError, match=r"persons \(two sides: \d+ pairs of studies, such as those in rows \d+ and \d+"):
        prepare(parse_config(content, "x"), SCREEN)


def test_columns_of_the_studies_table_tell_persons_too(tmp_path: Path) -> None:
    content = registered_twice(tmp_path / "cohort", person=["surname", "born"])
    del content["inputs"]["chest"]
    table = tmp_path / "cohort" / "studies.csv"
    studies = pd.read_csv(table, dtype=str)
    persons = pd.read_csv(tmp_path / "cohort" / "truth.csv", dtype=str)["person"]
    studies["surname"], studies["born"] = (
        [("name " + one).upper() if i % 2 else "name " + one for i, one in enumerate(persons)],
        "1950",
    )
    studies.to_csv(table, index=False)
    _, intake, _ = taken_in(parse_config(content, "x"))
    assert intake.persons.found == {"the same surname and born": 40}
    assert len({study.patient_id for study in intake.studies}) == persons.nunique()


def test_what_has_no_identifier_is_nobody() -> None:
    persons = find_persons(["a", "b", "", ""], {"name": [(0, "x"), (1, "y"), (2, "x"), (3, "y")]})
    assert persons.same == {}


def test_a_chain_through_many_is_no_person() -> None:
    patients = list("abcdef")
    marks = {"name": [(i, str(i // 2)) for i in range(6)], "image": [(i, str((i + 1) // 2)) for i in range(6)]}
    assert find_persons(patients, marks).same == {}
    assert find_persons(patients[:4], {what: marked[:4] for what, marked in marks.items()}).count == 1


@pytest.mark.parametrize(("column", "message"), [("surnam", "no column 'surnam'"), ("diagnosis", "which is the target")])
def test_a_column_that_tells_nobody_is_refused(tmp_path: Path, column: str, message: str) -> None:
    content = export(tmp_path / "cohort", patients=10)
    content["cohort"]["person"] = [column]
    with pytest.raises(DataError, match=message):
        taken_in(parse_config(content, "x"))
