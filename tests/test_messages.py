"""Studies and outcomes are the same after their way to another machine, whatever stands in them."""

import json
import math
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.scoring.messages import outcomes_of, outcomes_text, studies_of, studies_text
from medmm.scoring.rows import Outcome
from medmm.types import Evidence, Facts, Firing, Study

REASON = Rejected(Code.GAP, "study in row 7, input ct", "a gap", "none", "export it")
FULL = Study(
    row=7,
    patient_id="007",
    study_id="Müller\u2028'\"\\\x00",
    time=datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC),
    label=(0.1, math.inf),
    groups={"site": "A"},
    cells={"crp": "1E5", "": " "},
    evidence={
        "ct": Evidence(
            files=(Path("/a/1"), Path("b\udcff/ü")),
            counts=(1, 1),
            facts=Facts(("CT",), ("CHEST", "HEAD"), (0.1 + 0.2, 1.0), None, (1.0, 5.0), 0.5),
        ),
        "labs": Evidence(cells={"crp": "007"}),
        "empty": Evidence(cells={}),
        "history": Evidence(text=""),
        "letter": Evidence(text="no fever\n"),
    },
    rejected={"chest": REASON},
    fired=(Firing("severe", "floor", "0.1 became 0.8"),),
)
BARE = Study(1, "", "")


def same(one: Study, other: Study) -> None:
    for field in fields(Study):
        if field.name != "rejected":
            assert getattr(one, field.name) == getattr(other, field.name), field.name
            assert type(getattr(one, field.name)) is type(getattr(other, field.name)), field.name
    assert {name: reason.args for name, reason in one.rejected.items()} == {n: r.args for n, r in other.rejected.items()}


def test_the_example_says_something_in_every_field() -> None:
    assert all(getattr(FULL, field.name) != getattr(BARE, field.name) for field in fields(Study))
    assert {field.name for one in FULL.evidence.values() for field in fields(one) if getattr(one, field.name)} == {
        field.name for field in fields(Evidence)
    }


def test_studies_survive_the_way() -> None:
    for one, other in zip([FULL, BARE], studies_of(studies_text([FULL, BARE])), strict=True):
        same(one, other)
    assert isinstance(studies_of(studies_text([FULL]))[0].rejected["chest"].code, Code)
    local = Study(2, "", "", time=datetime(2024, 1, 1))
    assert studies_of(studies_text([local]))[0].time == local.time


def test_outcomes_survive_the_way_bit_for_bit() -> None:
    row = {"probability": 0.1 + 0.2, "tiny": 5e-324, "conflict": None, "decision": True, "inputs": ["ct", "labs"], "row": 7}
    scored, rejected = outcomes_of(outcomes_text([Outcome(FULL, row), Outcome(BARE, {}, REASON)]))
    same(scored.study, FULL)
    assert scored.row == row
    assert json.dumps(scored.row) == json.dumps(row)
    assert scored.reason is None
    assert rejected.reason is not None
    assert rejected.reason.args == REASON.args
    assert str(rejected.reason) == str(REASON)


def test_texts_are_plain_ascii() -> None:
    assert studies_text([FULL]).isascii()
    assert outcomes_text([Outcome(FULL, {"study_id": FULL.study_id})]).isascii()
