"""Tables are checked before anything is fitted and again at scoring; what is wrong is counted, listed, and never repeated."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import SETTINGS
from rich.console import Console

from medmm.cohort.studies import CohortSettings
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.errors import Code, DataError
from medmm.inputs import INPUTS, schema
from medmm.package import Package
from medmm.scoring.studies import find_studies, open_incoming
from medmm.scoring.violations import write_violations
from medmm.workflows import cohort
from medmm.workflows.screen import Screen

SECRET = "Zaphod77"
CRP = {"crp": {"unit": "mg/L", "range": [0, 600]}}
WRONG = [
    f"{SECRET},2024-01-01T10:00:00,crp,{SECRET},mg/L",
    f"{SECRET},2024-01-01T10:00:00,crp,777,mg/L",
    f"{SECRET},2024-01-01T10:00:00,crp,5,{SECRET}",
    f"{SECRET},2024-01-01T10:00:00,crp,-1,mg/L",
]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export whose last four laboratory rows are wrong, of a patient without a study."""
    root = tmp_path / "cohort"
    make_cohort(root, SyntheticSettings(patients=40, images=("radiograph",), radiograph_size=32, seed=2, absent={}))
    labs = pd.read_csv(root / "labs.csv", dtype=str, keep_default_na=False)
    assert list(labs.columns) == ["patient_id", "time", "code", "value", "unit"]
    with (root / "labs.csv").open("a") as file:
        file.writelines(f"{row}\n" for row in WRONG)
    return root


def config(root: Path, folder: Path) -> RunConfig:
    return parse_config(
        {
            "name": "small",
            "cohort": {"root": str(root), "time": "time"},
            "target": {"column": "diagnosis", "positive": "pneumonia"},
            "inputs": {"labs": {"kind": "tabular", "table": "labs.csv", "layout": "long", "numeric": CRP}},
            "output": str(folder / "runs"),
        },
        "small.yaml",
    )


def packaged(package: Package, export: Path, table: str = "labs.csv") -> Package:
    """Give the package with one input more that declares what its cells may be."""
    labs = package.inputs["labs"]
    settings = INPUTS.pick("tabular").model_validate({**SETTINGS["labs"], "table": table, "numeric": CRP})
    cohort = CohortSettings(root=export, time="time")
    return replace(package, cohort=cohort, inputs={**package.inputs, "labs": settings.open("labs", labs.state)})


def test_a_training_says_what_is_wrong_before_anything_is_fitted(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitting(*_: object) -> None:
        raise RuntimeError("fitting")

    monkeypatch.setattr(cohort, "_fit", fitting)
    with (tmp_path / "screen").open("w") as file, pytest.raises(RuntimeError, match="fitting"):
        cohort.prepare(config(export, tmp_path), Screen(Console(file=file)))
    said = (tmp_path / "screen").read_text()
    assert "4 cells of labs are not as the run file says (E_RANGE: 2, E_TYPE: 1, E_UNIT: 1)" in said
    assert "medmm inspect" in said
    assert SECRET not in said


def test_a_training_without_its_columns_ends_with_all_of_them_named(export: Path, tmp_path: Path) -> None:
    labs = pd.read_csv(export / "labs.csv", dtype=str, keep_default_na=False)
    labs.rename(columns={"value": "values", "unit": "unity"}).to_csv(export / "labs.csv", index=False)
    with pytest.raises(DataError, match=r"no column 'unit': did you mean 'unity'\?; no column 'value': did you mean"):
        cohort.prepare(config(export, tmp_path), Screen(Console(quiet=True)))
    assert not (tmp_path / "runs" / "small" / "cache" / "labs").exists()


def test_a_scoring_lists_by_row_what_the_model_does_not_expect(package: Package, export: Path, tmp_path: Path) -> None:
    own = packaged(package, export)
    rows = len(pd.read_csv(export / "labs.csv"))
    for out in ("one", "two"):
        sources = open_incoming(own, export)
        assert find_studies(own, export, sources=sources)
        counts = write_violations(own.inputs, sources, tmp_path / out)
        assert counts == {Code.RANGE: 2, Code.TYPE: 1, Code.UNIT: 1}
    table = pq.read_table(tmp_path / "one" / "violations.parquet").to_pandas()
    assert table[["input", "row", "column", "code", "expected"]].to_numpy().tolist() == [
        ["labs", rows - 3, "crp", "E_TYPE", "a number or an empty cell"],
        ["labs", rows - 2, "crp", "E_RANGE", "0 to 600"],
        ["labs", rows - 1, "crp", "E_UNIT", "mg/L"],
        ["labs", rows, "crp", "E_RANGE", "0 to 600"],
    ]
    assert table["repair"].all()
    assert not table.map(lambda cell: SECRET in str(cell) or "777" in str(cell)).any(axis=None)
    assert (tmp_path / "one" / "violations.parquet").read_bytes() == (tmp_path / "two" / "violations.parquet").read_bytes()


def test_the_list_of_a_scoring_has_an_end_and_its_count_has_not(
    package: Package, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LISTED", 2)
    own = packaged(package, export)
    sources = open_incoming(own, export)
    find_studies(own, export, sources=sources)
    assert sum(write_violations(own.inputs, sources, tmp_path).values()) == 4
    assert len(pq.read_table(tmp_path / "violations.parquet")) == 2


def test_of_images_alone_nothing_is_said(package: Package, export: Path, tmp_path: Path) -> None:
    own = packaged(package, export)
    sources = open_incoming(own, export / "dicom")
    assert find_studies(own, export / "dicom", sources=sources)
    assert write_violations(own.inputs, sources, tmp_path) == {}
    assert pq.read_table(tmp_path / "violations.parquet").num_rows == 0
