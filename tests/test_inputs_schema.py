"""The whole table beside the run file: every violation by row, counted, and never what stands in the cell."""

from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from medmm.cohort.studies import CohortSettings, Sources
from medmm.errors import Code, DataError, Rejected
from medmm.inputs import schema
from medmm.inputs.schema import Findings, check_table
from medmm.inputs.tabular import TabularSettings
from medmm.types import Evidence


def findings(folder: Path, settings: dict[str, object], table: str, time: str | None = "time") -> Findings:
    (folder / "t.csv").write_text(table, encoding="utf-8")
    sources = Sources.open(CohortSettings(root=folder, time=time))
    before = sources.table("t.csv", []).copy()
    found = check_table(sources, TabularSettings.model_validate({"table": "t.csv", **settings}))
    pd.testing.assert_frame_equal(sources.table("t.csv", []), before)  # nothing is coerced
    assert "secret" not in str(found)
    return found


def places(found: Findings) -> list[tuple[int | None, str, Code]]:
    return [(one.row, one.column, one.code) for one in found.violations]


WIDE = {"numeric": {"age": {"range": [0, 120]}}, "categorical": ["sex", "site"], "categories": {"sex": ["f", "m"]}}


def test_every_violation_of_a_wide_table_is_listed_by_row(tmp_path: Path) -> None:
    table = "study_id,age,sex,site\n1,61,f,a\n2,secret,m,b\n,121, f ,c\n3,,secret,\n4,nan,,\n4,-1,F,x\n,,,\n"
    found = findings(tmp_path, WIDE, table)
    assert places(found) == [
        (2, "age", Code.TYPE),
        (3, "age", Code.RANGE),
        (3, "study_id", Code.EMPTY),
        (4, "sex", Code.CATEGORY),
        (5, "age", Code.TYPE),
        (5, "study_id", Code.AMBIGUOUS),
        (6, "age", Code.RANGE),
        (6, "sex", Code.CATEGORY),
        (6, "study_id", Code.AMBIGUOUS),
        (7, "study_id", Code.EMPTY),
    ]
    assert found.counts["age", Code.TYPE] == found.counts["age", Code.RANGE] == found.counts["sex", Code.CATEGORY] == 2
    said = {(one.code, one.expected) for one in found.violations}
    assert {(Code.RANGE, "0 to 120"), (Code.CATEGORY, "f or m"), (Code.AMBIGUOUS, "one row")} <= said
    assert all(one.repair for one in found.violations)


def test_a_sound_table_has_no_violation(tmp_path: Path) -> None:
    assert findings(tmp_path, WIDE, "study_id,age,sex,site\n1,61,f,a\n2,,,\n") == Findings((), {})
    assert findings(tmp_path, WIDE, "study_id,age,sex,site\n") == Findings((), {})


def test_rows_with_times_may_be_many_a_study(tmp_path: Path) -> None:
    table = "study_id,age,sex,site,time\n1,61,f,a,2024-01-01\n1,61,f,a,secret\n1,61,f,a,2024-01-02T10:00:00+01:00\n1,5,f,a,\n"
    assert places(findings(tmp_path, WIDE, table)) == [(2, "time", Code.TYPE), (4, "time", Code.TYPE)]
    assert (1, "study_id", Code.AMBIGUOUS) in places(findings(tmp_path, WIDE, table, time=None))


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    assert places(findings(tmp_path, WIDE, "study_id,sex,secret\n1,f,x\n")) == [
        (None, "age", Code.EMPTY),
        (None, "site", Code.EMPTY),
    ]
    with pytest.raises(DataError, match="no table"):
        check_table(Sources.open(CohortSettings(root=tmp_path)), TabularSettings(table="other.csv", categorical=("x",)))


LONG = {
    "layout": "long",
    "numeric": {
        "crp": {"unit": "mg/L", "range": [0, 600]},
        "glucose": {"unit": "mmol/L", "molar_mass": 180.156, "range": [1, 50]},
    },
    "categorical": ["smoker"],
    "categories": {"smoker": ["yes", "no"]},
}


def test_every_violation_of_a_long_table_is_listed_by_row_in_the_unit_of_the_run_file(tmp_path: Path) -> None:
    rows = [
        "1,2024-01-01,crp,5,mg/L",
        "1,2024-01-01,crp,59,mg/dL",
        "1,2024-01-01,crp,61,mg/dL",
        "1,2024-01-01,crp,5000,secret",
        "1,secret,crp,secret,mg/L",
        "1,2024-01-01,crp,,secret",
        "1,2024-01-01,glucose,100,mg/dL",
        "1,2024-01-01,glucose,10,mg/dL",
        ",2024-01-01,smoker,maybe,",
        "1,2024-01-01,secret,secret,secret",
    ]
    found = findings(tmp_path, LONG, "\n".join(["patient_id,time,code,value,unit", *rows]) + "\n")
    assert places(found) == [
        (3, "crp", Code.RANGE),
        (4, "crp", Code.UNIT),
        (5, "crp", Code.TYPE),
        (5, "time", Code.TYPE),
        (8, "glucose", Code.RANGE),
        (9, "patient_id", Code.EMPTY),
        (9, "smoker", Code.CATEGORY),
    ]


def test_the_list_has_an_end_and_the_count_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LISTED", 3)
    found = findings(tmp_path, WIDE, "study_id,age,sex,site\n" + "".join(f"{i},x,,\n" for i in range(9)))
    assert [one.row for one in found.violations] == [1, 2, 3]
    assert found.counts == {("age", Code.TYPE): 9}


def test_a_category_that_is_not_declared_rejects_its_study() -> None:
    one = TabularSettings.model_validate({"table": "x", **WIDE}).open("labs")
    for sex in ("f", "m", ""):
        assert one.read(Evidence(cells={"age": "3", "sex": sex, "site": "anything"}))
    with pytest.raises(Rejected, match=r"E_CATEGORY.*expected f or m") as caught:
        one.read(Evidence(cells={"age": "3", "sex": "secret", "site": ""}))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("categories", [{"age": ["f"]}, {"nowhere": ["f"]}, {"sex": []}, {"sex": [""]}])
def test_categories_are_of_columns_that_are_read(categories: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError, match="categories"):
        TabularSettings.model_validate({"table": "x", **WIDE, "categories": categories})
