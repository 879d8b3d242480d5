"""Table 1, the flow and the page of a cohort, from its export on: right counts, no test label, nothing hostile, no name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_leakage import SCREEN, export, taken_in
from typer.testing import CliRunner

from medmm.cohort.split import PARTS
from medmm.config import parse_config
from medmm.workflows.characteristics import flow_of, page_of, table_one
from medmm.workflows.cli import app
from medmm.workflows.cohort import leaks
from medmm.workflows.inspect import inspect_config

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    return export(tmp_path / "cohort", patients=90)


def test_table_one_counts_what_the_tables_say(content: dict[str, Any], tmp_path: Path) -> None:
    config = parse_config(content, "x")
    _, intake, sides = taken_in(config)
    table = table_one(config, intake.studies, sides).table().set_index("characteristic")
    studies = pd.read_csv(tmp_path / "cohort" / "studies.csv", dtype=str)
    for part in ["all", *PARTS]:
        mine = studies.iloc[[i for i in sorted(sides) if part in ("all", sides[i])]]
        assert table.loc["studies", part] == str(len(mine))
        assert table.loc["patients", part] == str(mine["patient_id"].nunique())
        ages = mine["age"].astype(float).quantile([0.5, 0.25, 0.75])
        assert table.loc["person.age", part] == "{:.3g} [{:.3g}, {:.3g}]".format(*ages)
    present = sum("chest" in intake.studies[i].evidence for i in sides)
    assert table.loc["with chest", "all"].startswith(f"{present} (")
    assert table.loc["labs.crp", "missing, all"] == sum(
        not (one.cells or {}).get("crp") if (one := intake.studies[i].evidence.get("labs")) else True for i in sides
    )


def test_the_labels_of_test_studies_change_nothing(content: dict[str, Any]) -> None:
    config = parse_config(content, "x")
    _, intake, sides = taken_in(config)
    other = [
        replace(study, label=(1 - study.label[0],)) if sides.get(i) == "test" and study.label else study
        for i, study in enumerate(intake.studies)
    ]
    one, two = (table_one(config, studies, sides) for studies in (intake.studies, other))
    assert one.table().equals(two.table())
    swapped = [replace(study, label=(1 - study.label[0],)) if study.label else study for study in intake.studies]
    assert not table_one(config, swapped, sides).table().equals(one.table())


def test_the_flow_ends_in_the_parts(content: dict[str, Any]) -> None:
    config = parse_config(content, "x")
    _, intake, sides = taken_in(config)
    flow = flow_of(intake.studies, intake.left_out, sides)
    assert [one.name for one in flow.parts] == list(PARTS)
    assert sum(one.studies for one in flow.parts) == flow.steps[-1].there.studies == len(sides)
    assert sum(one.patients for one in flow.parts) == flow.steps[-1].there.patients


def test_nothing_in_the_tables_is_markup_on_the_page(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "cohort" / "studies.csv"
    studies = pd.read_csv(path, dtype=str)
    sites = np.where(np.arange(len(studies)) % 2, HOSTILE, studies["site"])
    studies.assign(site=sites).to_csv(path, index=False)
    content["leakage"] = {"waive": {"chest.images": HOSTILE}}
    config = parse_config(content, "x")
    sources, intake, sides = taken_in(config)
    table = table_one(config, intake.studies, sides)
    flow = flow_of(intake.studies, intake.left_out, sides)
    page = page_of(config, table, flow, intake.persons, leaks(config, sources, intake, sides), "abc")
    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;") == 2  # the level and the reason
    assert "default-src 'none'" in page
    assert "http:" not in page.replace("http-equiv", "")
    assert not any(name in page for name in {*studies["patient_id"], *studies["study_id"]})


def test_a_leak_stands_on_the_page_with_its_verdict(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", leak="column", patients=90)
    page = inspect_config(parse_config(content, "x"), SCREEN).page
    assert 'class="LEAK begins"><td>column</td><td>person.antibiotic</td>' in page
    content["leakage"] = {"waive": {"person.antibiotic": "a test of the page"}}
    page = inspect_config(parse_config(content, "x"), SCREEN).page
    assert 'class="waived begins"><td>column</td><td>person.antibiotic</td>' in page
    assert "<td>a test of the page</td>" in page


def test_a_cohort_too_small_to_split_is_described_all_the_same(tmp_path: Path) -> None:
    config = parse_config(export(tmp_path / "cohort", patients=3), "x")
    answer = inspect_config(config, SCREEN)
    assert answer.sections["table1"].columns[:2] == ("", "missing")
    assert [row[0] for row in answer.sections["flow"].rows] == ["in the studies table"]
    assert "lacks a class" in answer.sections["leaks"].rows[0][3]
    assert "Table 1" in answer.page


def test_the_command_writes_the_page(content: dict[str, Any], tmp_path: Path) -> None:
    import yaml

    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    answer = CliRunner().invoke(app, ["inspect", str(tmp_path / "run.yaml"), "--html", str(tmp_path / "page.html")])
    assert answer.exit_code == 0, answer.output
    assert "Table 1" in answer.output
    assert "Who is in, and who is left out" in answer.output
    assert "Table 1" in (tmp_path / "page.html").read_text()
    answer = CliRunner().invoke(app, ["inspect", str(tmp_path / "cohort"), "--html", str(tmp_path / "none.html")])
    assert answer.exit_code == 1
    assert not (tmp_path / "none.html").exists()
