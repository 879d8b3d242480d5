"""Tables without identifiers: what a column becomes, one patient the same everywhere, intervals and numbers kept."""

import csv
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pytest
from planted_notes import CLINICAL
from pyarrow import parquet

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.privacy.cells import NOBODY, Cleaner, Tally, capped_age, moved_cell, short_zip
from medmm.privacy.columns import Column, Facts, Role, judge
from medmm.privacy.detector import Trip
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues, TablesDone
from medmm.privacy.notes import Cohort
from medmm.privacy.tables import LISTED, deidentify_tables

KEY = Key(b"k" * 32)
UIDS = ("1.2.826.0.1.3680043.8.498.11", "1.2.826.0.1.3680043.8.498.12")
ANNA = '0001234,{},{},"Müller, Anna",1950-03-14,"Lindenallee 12, 69120 Heidelberg",02138,06221567890,{},F,71,{}'
STUDIES = "\n".join(
    (
        "patient_id,study_id,StudyInstanceUID,name,dob,address,zip,phone,time,sex,age,image",
        ANNA.format("S-77001", UIDS[0], "2021-03-04T10:00:00", "img/Mueller_1.png"),
        f"0009999,S-77002,{UIDS[1]},Featherstone John,1921-01-02,4 Old Oak Road,03601,555-123-4567,"
        "2021-03-05T10:00:00,M,100,img/b.png",
        ANNA.format("S-77003", f"{UIDS[1]}3", "2021-06-12T11:30:00", "img/c.png"),
        "",
    )
)
LABS = """patient_id\ttime\tcode\tvalue\tunit
0001234\t2021-03-03T09:00:00\tcrp\t153.10\tmg/L
0001234\t2021-06-11T09:00:00\twbc\t8.1E+0\t10*9/L
0009999\t2021-03-05T08:00:00\tcrp\t<5\tmg/L
0009999\t2021-03-05T08:00:00\tcrp\t007\tmg/L
"""
NOTES = """study_id,text
S-77001,"Anna Mueller, born 14.3.1950, seen on 04.03.2021 with cough. Tel. 06221 567890. Accession ACC99871."
S-77002,"Mr. Featherstone is 100 years old. Known Parkinson's disease."
S-77003,"Cough since 01.06.2021. Saw Grzegorz Brzeczyszczykiewicz of Xyzzytown."
"""
PLANTED = """0001234|0009999|S-7700|ller|mueller|anna|featherstone|john|1950-03-14|1921|lindenallee|heidelberg|69120|567890
555-123|oak|02138|03601|3680043|acc99871|14.3|grzegorz|xyzzytown|2021-03-0""".replace("\n", "|").split("|")


def export(folder: Path, **files: str) -> tuple[Path, TablesDone, list[str]]:
    source, out = folder / "in", folder / "out"
    source.mkdir()
    out.mkdir()
    for name, text in files.items():
        (source / name.replace("__", ".")).write_text(text, encoding="utf-8")
    told: list[str] = []
    known = {"0001234": KnownValues(names=("MUELLER^ANNA",), identifiers=("ACC99871",))}
    done = deidentify_tables(source, out, KEY, known, told.append, {"img/Mueller_1.png": "images/x1.png"})
    return out, done, told


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, TablesDone, list[str]]:
    return export(tmp_path, studies__csv=STUDIES, labs__tsv=LABS, notes__csv=NOTES)


def test_nothing_planted_is_left_in_any_byte(exported: tuple[Path, TablesDone, list[str]]) -> None:
    out, _, told = exported
    for path in out.rglob("*"):
        content = path.read_text(encoding="utf-8").casefold() + path.name
        assert not [one for one in PLANTED if one.casefold() in content], path.name
    assert not [one for one in PLANTED if one.casefold() in " ".join(told).casefold()]


def test_one_patient_and_one_study_are_the_same_in_every_table(exported: tuple[Path, TablesDone, list[str]]) -> None:
    out = exported[0]
    studies, labs, notes = rows(out / "studies.csv"), rows(out / "labs.tsv", "\t"), rows(out / "notes.csv")
    assert [row["patient_id"] for row in studies] == [
        KEY.pseudonym("patient", one) for one in ("0001234", "0009999", "0001234")
    ]
    assert [row["patient_id"] for row in labs[:3]] == [studies[0]["patient_id"]] * 2 + [studies[1]["patient_id"]]
    assert [row["study_id"] for row in studies] == [row["study_id"] for row in notes]
    assert studies[0]["study_id"] == KEY.pseudonym("study", "S-77001")  # as images write an accession number
    assert studies[0]["StudyInstanceUID"] == KEY.uid(UIDS[0])
    assert [row["image"] for row in studies] == ["images/x1.png", "", ""]


def test_intervals_stay_within_and_across_tables_and_notes(exported: tuple[Path, TablesDone, list[str]]) -> None:
    out = exported[0]
    studies, labs, notes = rows(out / "studies.csv"), rows(out / "labs.tsv", "\t"), rows(out / "notes.csv")
    first, third = (datetime.fromisoformat(studies[row]["time"]) for row in (0, 2))
    before = datetime(2021, 3, 4, 10), datetime(2021, 6, 12, 11, 30)
    assert third - first == before[1] - before[0]
    assert (before[0] - first).days == -KEY.days("0001234")
    assert (first - datetime.fromisoformat(labs[0]["time"])).total_seconds() == 25 * 3600
    assert f"seen on {first:%d.%m.%Y}" in notes[0]["text"]
    born = date.fromisoformat(studies[0]["dob"])
    assert (first.date() - born) == date(2021, 3, 4) - date(1950, 3, 14)


def test_numbers_are_the_same_to_the_byte(exported: tuple[Path, TablesDone, list[str]]) -> None:
    assert [row["value"] for row in rows(exported[0] / "labs.tsv", "\t")] == ["153.10", "8.1E+0", "<5", "007"]
    assert [row["unit"] for row in rows(exported[0] / "labs.tsv", "\t")] == ["mg/L", "10*9/L", "mg/L", "mg/L"]


def test_ages_births_and_codes_of_places_follow_the_law(exported: tuple[Path, TablesDone, list[str]]) -> None:
    studies = rows(exported[0] / "studies.csv")
    assert [row["age"] for row in studies] == ["71", "90", "71"]
    assert studies[1]["dob"] == ""
    assert [row["zip"] for row in studies] == ["021", "000", "021"]
    assert not {"name", "address", "phone"} & set(studies[0])


def test_a_note_that_trips_stays_behind_and_is_listed_by_pseudonym(exported: tuple[Path, TablesDone, list[str]]) -> None:
    out, done, told = exported
    notes = rows(out / "notes.csv")
    assert notes[2]["text"] == ""
    assert "Known Parkinson's disease." in notes[1]["text"]
    assert "[NAME]" in notes[0]["text"]
    assert rows(out / LISTED) == [
        {"patient": KEY.pseudonym("patient", "0001234"), "table": "notes.csv", "row": "3", "column": "text", "code": "D_NAME"}
    ]
    assert done.quarantined == 1
    assert done.dropped_columns == 3
    assert done.files == 3
    assert done.cells == 3 * 12 + 4 * 5 + 3 * 2
    assert any("column name stays behind (names)" in one for one in told)


def test_a_table_without_a_patient_stays_behind_with_the_repair(tmp_path: Path) -> None:
    out, done, told = export(tmp_path, labs__csv=STUDIES, mueller__csv="code,value\ncrp,5\n")
    assert [path.name for path in out.iterdir()] == ["labs.csv"]
    assert (done.files, done.unread, done.behind) == (1, 1, ((PurePosixPath("mueller.csv"), "Q_NO_PATIENT"),))
    assert any("table 2" in one and "add patient_id" in one for one in told)
    assert not any("mueller" in one for one in told)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "E_EMPTY"),
        (b"patient_id,value\n0001234,\xff\n", "E_MALFORMED"),
        (b"# by Dr. Featherstone\npatient_id,value\n0001234,5\n", "E_MALFORMED"),
        (b"PAR1 and no more", "E_MALFORMED"),
        (b"PK\x03\x04 and no more", "E_MALFORMED"),
    ],
)
def test_a_table_that_cannot_be_read_stays_behind_and_the_others_go_on(content: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "featherstone.csv").write_bytes(content)
    (tmp_path / "in" / "labs.tsv").write_text(LABS)
    told: list[str] = []
    done = deidentify_tables(tmp_path / "in", tmp_path / "out", KEY, {}, told.append)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labs.tsv"]
    assert (done.files, done.unread, done.behind) == (1, 1, ((PurePosixPath("featherstone.csv"), code),))
    assert any(f"{code}: table 1" in one for one in told)
    assert "eatherstone" not in " ".join(told)


def test_a_table_without_rows_is_written_as_it_is(tmp_path: Path) -> None:
    out, done, _ = export(tmp_path, labs__csv="patient_id,time,value\n")
    assert (done.unread, (out / "labs.csv").read_text()) == (0, "patient_id,time,value\n")


def test_rows_of_nobody_lose_dates_and_notes(tmp_path: Path) -> None:
    out, done, _ = export(tmp_path, notes__csv="patient_id,time,text\n,2021-03-04,Cough for 3 days\n0001234,2021-03-04,Cough\n")
    empty, full = rows(out / "notes.csv")
    assert (empty["time"], empty["text"], full["text"], done.quarantined) == ("", "", "Cough", 1)


def test_names_of_files_and_columns_that_name_somebody_go(tmp_path: Path) -> None:
    out, _, _ = export(tmp_path, **{"Mueller_labs__csv": "patient_id,mueller_crp,2021-03-04\n0001234,5,6\n"})
    assert [path.name for path in out.iterdir()] == ["table-01.csv"]
    assert list(rows(out / "table-01.csv")[0]) == ["patient_id", "column_2", "column_3"]


def test_an_identifier_is_no_name_of_a_folder_or_a_file(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    text = "patient_id,crp\nP12,5\nP13,6\n7,6\n"
    for name in ("P12/labs.csv", "labs_p-13.csv", "7/labs.csv", "王/labs.csv", "labs_7/labs.csv"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    out.mkdir()
    deidentify_tables(source, out, KEY, {}, lambda _: None)
    folders = [KEY.pseudonym("folder", one) for one in ("P12", "7", "王")]
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.csv")} == {
        "labs_7/labs.csv",
        "table-04.csv",
        *(f"{one}/labs.csv" for one in folders),
    }


def test_two_tables_or_columns_never_become_one(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl, which writes the workbook of this test, is not installed")
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    (source / "labs.csv").write_text("patient_id,mueller_crp,column_2\n0001234,5,6\n")
    pd.DataFrame({"patient_id": ["0001234"], "crp": [7]}).to_excel(source / "labs.xlsx", index=False)
    (source / "0001234.txt").write_text("cough")
    (source / "0001234.TXT").write_text("fever")
    known = {"0001234": KnownValues(names=("Mueller",))}
    done = deidentify_tables(source, out, KEY, known, lambda _: None)
    assert done.files == len(list(out.iterdir())) == 4
    (row,) = rows(out / "labs.csv")
    assert (row["column_2_"], row["column_2"]) == ("5", "6")
    assert {path.read_text() for path in out.glob("*.txt")} == {"cough", "fever"}


def test_a_remark_that_names_somebody_is_no_name_of_a_column(tmp_path: Path) -> None:
    out, _, _ = export(tmp_path, labs__csv="patient_id,read by Dr. Featherstone,dr score\n0001234,5,6\n")
    assert list(rows(out / "labs.csv")[0]) == ["patient_id", "column_2", "dr score"]


def test_words_of_a_category_that_stand_in_no_row_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    wards = pa.DictionaryArray.from_arrays(pa.array([0, 0]), ["chest", "of Featherstone"])
    table = pa.table({"patient_id": ["1", "2"], "ward": wards})
    parquet.write_table(table, tmp_path / "in" / "labs.parquet")
    assert b"Featherstone" in (tmp_path / "in" / "labs.parquet").read_bytes()
    deidentify_tables(tmp_path / "in", tmp_path / "out", KEY, {}, lambda _: None)
    assert b"Featherstone" not in (tmp_path / "out" / "labs.parquet").read_bytes()
    assert parquet.read_table(tmp_path / "out" / "labs.parquet")["ward"].to_pylist() == ["chest", "chest"]


def test_a_name_that_is_made_like_a_uid_goes(tmp_path: Path) -> None:
    standard = "1.2.840.10008.5.1.4.1.1.2"
    text = f"patient_id,uid\n1,{standard}\n1,1.2.840.10008.Featherstone\n2,{standard}\n"
    out, _, _ = export(tmp_path, labs__csv=text)
    other = KEY.uid("1.2.840.10008.Featherstone")
    assert [row["uid"] for row in rows(out / "labs.csv")] == [standard, other, standard]


def test_short_names_in_other_scripts_stay_behind_where_few_share_them(tmp_path: Path) -> None:
    text = "patient_id,ward,sex\n1,王小明,女性\n2,李四,女性\n3,李四,女性\n4,李四,男性\n"
    out, done, _ = export(tmp_path, labs__csv=text)
    assert [row["ward"] for row in rows(out / "labs.csv")] == ["", "李四", "李四", "李四"]
    assert [row["sex"] for row in rows(out / "labs.csv")] == ["女性", "女性", "女性", ""]
    assert done.quarantined == 2


def test_a_column_of_months_moves(tmp_path: Path) -> None:
    out, _, _ = export(tmp_path, labs__csv="patient_id,month\n0001234,2021-03\n")
    moved = date(2021, 3, 15) + timedelta(KEY.days("0001234"))
    assert rows(out / "labs.csv")[0]["month"] == f"{moved:%Y-%m}"


def test_a_note_in_a_file_goes_by_the_name_of_its_study(tmp_path: Path) -> None:
    texts = {"S-77001__txt": "Anna Mueller coughs.", "S-77002__txt": CLINICAL[4], "letter__txt": "Cough."}
    out, done, _ = export(tmp_path, studies__csv=STUDIES, **texts)
    written = {path.name: path.read_text() for path in out.glob("*.txt")}
    assert written == {
        f"{KEY.pseudonym('study', 'S-77001')}.txt": "[NAME] coughs.",
        f"{KEY.pseudonym('study', 'S-77002')}.txt": CLINICAL[4],
    }
    assert done.quarantined == 1
    assert rows(out / LISTED)[0]["code"] == "D_NOBODY"


def test_parquet_keeps_the_types_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    times = pa.array([datetime(2021, 3, 4, 10), None], pa.timestamp("us"))
    values = pa.array([1.1, 2.2], pa.float32())
    table = pa.table({"patient_id": ["0001234", "0009999"], "time": times, "value": values, "surname": ["Müller", "Rosen"]})
    parquet.write_table(table, tmp_path / "in" / "labs.parquet")
    deidentify_tables(tmp_path / "in", tmp_path / "out", KEY, {}, lambda _: None)
    new = parquet.read_table(tmp_path / "out" / "labs.parquet")
    assert new.column_names == ["patient_id", "time", "value"]
    assert new.schema.field("time").type == pa.timestamp("us")
    assert new["value"].equals(table["value"])
    assert (datetime(2021, 3, 4, 10) - new["time"][0].as_py()).days == -KEY.days("0001234")
    assert b"ller" not in (tmp_path / "out" / "labs.parquet").read_bytes()


def test_a_workbook_becomes_a_csv(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    pytest.importorskip("openpyxl", reason="openpyxl, which writes the workbook of this test, is not installed")
    frame = pd.DataFrame({"patient_id": ["0001234"], "crp": [5.5]})
    frame.to_excel(tmp_path / "in" / "labs.xlsx", index=False)
    deidentify_tables(tmp_path / "in", tmp_path / "out", KEY, {}, lambda _: None)
    assert rows(tmp_path / "out" / "labs.csv") == [{"patient_id": KEY.pseudonym("patient", "0001234"), "crp": "5.5"}]


def test_a_synthetic_cohort_keeps_all_but_its_identifiers_and_dates(tmp_path: Path) -> None:
    make_cohort(tmp_path / "in", SyntheticSettings(patients=12, ct_slices=4, radiograph_size=32, ct_size=32))
    (tmp_path / "out").mkdir()
    done = deidentify_tables(tmp_path / "in", tmp_path / "out", KEY, {}, lambda _: None)
    assert (done.quarantined, done.dropped_columns, done.files) == (0, 0, 4)
    changed = {"patient_id", "study_id", "study_uid", "time"}
    for name in ("studies", "labs", "notes", "truth"):
        before, after = (pd.read_csv(tmp_path / at / f"{name}.csv", dtype=str) for at in ("in", "out"))
        kept = [column for column in before if column not in changed]
        pd.testing.assert_frame_equal(before[kept], after[kept])
        for column in changed & set(before):
            assert not set(before[column]) & set(after[column])


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("PatientID", ["a1", "a2"], Role.IDENTIFIER),
        ("accession_number", ["1", "2"], Role.IDENTIFIER),
        ("uid", ["1.2.3.4.5.6", "1.2.3.4.5.7"], Role.UID),
        ("sop_class", ["1.2.840.10008.5.1.4.1.1.2"], Role.KEEP),
        ("last_name", ["May", "Day"], Role.DROP),
        ("drug_name", ["aspirin", "aspirin", "metformin", "aspirin"], Role.CHECK),
        ("referring_physician", ["x", "y"], Role.DROP),
        ("email", ["a@b.c"], Role.DROP),
        ("home_city", ["Ulm"], Role.DROP),
        ("plz", ["69120"], Role.DROP),
        ("ssn", ["123-45-6789", "123-45-6780"], Role.DROP),
        ("birth_date", ["1950-01-01"], Role.BIRTH),
        ("age_years", ["50", "60"], Role.AGE),
        ("PatientAge", ["092Y", "045Y"], Role.AGE),
        ("age", ["95 years", "3 Monate"], Role.AGE),
        ("image_age", ["old"], Role.CHECK),
        ("when", ["2021-01-02", "2021-01-03"], Role.DATE),
        ("admission_date", ["44000", "44100"], Role.DATE),
        ("time_to_event", ["12.5", "13"], Role.KEEP),
        ("day", ["0", "3"], Role.KEEP),
        ("year", ["2019", "2020"], Role.DATE),
        ("crp", ["1.5", "<5", "NA"], Role.KEEP),
        ("x", ["5551234567", "5551234568"], Role.DROP),
        ("x", ["5551234567", "5551234568", "0"], Role.DROP),
        ("sop_class", ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.7.7.7"], Role.UID),
        ("x", ["Zorro", "Bilbo", "Frodo"], Role.DROP),
        ("x", ["cough", "fever"], Role.CHECK),
        ("x", ["a b c d e f g", ""], Role.NOTE),
        ("remarks", ["ok", "fine"], Role.NOTE),
        ("sex", ["F", "M"], Role.CHECK),
        ("file", ["img/a.png"], Role.PATH),
    ],
)
def test_what_a_column_is(name: str, cells: list[str], role: Role) -> None:
    assert judge(name, cells, Facts()).role is role


def test_a_column_of_patients_under_any_name_is_one() -> None:
    facts = Facts(patients=frozenset(("P00001", "P00002")))
    assert judge("whose", ["P00001", "P00002"], facts).kind == "patient"
    assert judge("whose", ["P00001", "P00001"], facts).kind == "patient"
    assert judge("whose", ["1000", "1000"], Facts(patients=frozenset(("1000",)))).role is Role.KEEP  # a number by chance
    assert judge("x", ["Zorro", "Bilbo"], Facts(keep=("x",))).role is Role.KEEP


def test_cells() -> None:
    assert [
        capped_age(*one)
        for one in (
            ("89", "age"),
            ("90", "age"),
            ("97.5", "age"),
            ("092Y", "age"),
            ("1100", "age_months"),
            ("95 years", "age"),
            ("95 months", "age"),
            ("33000 Tage", "alter"),
            ("95 y", "age_months"),
        )
    ] == [
        "89",
        "90",
        "90",
        "090Y",
        "1080",
        "90 years",
        "95 months",
        "32872 Tage",  # by hand: 90 times 365.25 days
        "90 y",
    ]
    assert [short_zip(one) for one in ("02138", "02138-1234", "03601", "SW1A 1AA")] == ["021", "021", "000", ""]
    # By hand: 10 days before.
    assert moved_cell("44000", -10) == "43990"
    assert moved_cell("1600000000", -10) == str(1600000000 - 864000)
    assert moved_cell("13/04/2021", -10, True) == "03/04/2021"
    assert moved_cell("soon", -10) == ""
    assert moved_cell("20210414 101500", -10) == "20210404 101500"


def test_what_a_table_tells_of_a_patient_is_struck_from_the_notes_of_another_table(tmp_path: Path) -> None:
    notes = "study_id,text\nS-77002,Yesterday featherstone agreed.\nS-77002,Compared with 0009999 before.\n"
    out, _, _ = export(tmp_path, studies__csv=STUDIES, notes__csv=notes)
    assert [row["text"] for row in rows(out / "notes.csv")] == ["Yesterday [NAME] agreed.", "Compared with [ID] before."]


def test_an_accession_number_is_the_pseudonym_that_images_bear() -> None:
    assert judge("accession_number", ["A1", "A2"], Facts()).kind == judge("StudyID", ["A1", "A2"], Facts()).kind == "study"


def test_a_word_in_no_list_stays_behind_unless_patients_share_it() -> None:
    cleaner = Cleaner(Key(b"1" * 32), Cohort(), {})
    persons = [replace(NOBODY, patient=f"p{i}", days=-50) for i in range(8)]
    ward = ["Nkqvia", "Nkqvia", "Nkqvia", "Zqworow", "Zqworow", "chest", "", "7"]
    comment = ["Zqworow", "cough with Zqworow sign", "fever", "", "cough", "no fever", "cough", "cough"]
    tally = Tally()
    assert cleaner.column(Column("ward", Role.CHECK), ward, persons, tally) == [*ward[:3], "", "", *ward[5:]]
    left = cleaner.column(Column("comment", Role.NOTE), comment, persons, tally)
    assert left[0] == ""
    assert left[2:] == comment[2:]
    assert tally.behind[:3] == [(4, "ward", Trip.RARE), (5, "ward", Trip.RARE), (1, "comment", Trip.RARE)]
