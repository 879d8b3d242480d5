"""A scoring as FHIR R4: every resource is as its definition says, every cell of a row is in it, and text stays text."""

import hashlib
import json
import re
import shutil
import sys
import tracemalloc
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from hostile import HOSTILE
from test_references import TARGETS, fitted

from medmm.cohort.target import TargetSettings
from medmm.errors import ConfigError, DataError
from medmm.evaluation.answers import CONTRIBUTION_FOR
from medmm.package import Package
from medmm.readers.fhir import read_fhir
from medmm.rules.settings import Rule
from medmm.scoring.engine import Options
from medmm.scoring.results import rejected, scored
from medmm.scoring.run import Scorer, score
from medmm.scoring.sinks import fhir, fhir_studies
from medmm.scoring.sinks.base import NumberRanges
from medmm.scoring.sinks.fhir import ENTRIES, TYPES, Fhir
from medmm.scoring.sinks.fhir_resources import Resources
from medmm.scoring.sinks.fhir_terms import MODELS, OWN, identity, plain
from medmm.types import CLASS_TASKS, Evidence, Study, Task
from medmm.workflows.score import ranges_asked

R4B = pytest.importorskip("fhir.resources.R4B", reason="needs the extra [clinic]")

Resource = dict[str, Any]
Row = dict[str, Any]

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
NOW = "2026-01-02T03:04:05Z"
RULES = (
    {"name": "old", "when": "labs.crp > 100 mg/L", "then": {"floor": {"probability": 0.5}}},
    {"name": "look", "when": "labs.crp > 1 mg/L", "then": {"flag": "see"}},
)
ANSWER = {"regression": "predicted", "survival": "risk"}


def model(package: Package, task: Task, **changes: Any) -> Package:
    """A package of a task with all that adds columns: references, and rules where a task may have them."""
    rules = tuple(Rule.model_validate(one) for one in RULES) if task == "binary" else ()
    some = {"digest": "ab" * 32, "target": TARGETS[task], "references": fitted(task), "rules": rules}
    return replace(package, **{**some, **changes})


def row(
    package: Package, number: int = 0, *, abstain: bool = False, inputs: Sequence[str] = ("ct", "labs"), **cells: Any
) -> Row:
    """A row of `scores` with another number in each column."""
    found: Row = {}
    for at, field in enumerate(scored(package)):
        name = field.name
        lacks = any(
            name == f"{what}_{one}" and one not in inputs
            for what in ("contribution", "novelty")
            for one in ("chest", "history")
        )
        if pa.types.is_floating(field.type):
            found[name] = None if lacks else (number * 97 + at * 31) % 1000 / 1000 + 1e-17
        elif pa.types.is_boolean(field.type):
            found[name] = bool((number + at) % 2)
        elif pa.types.is_list(field.type):
            found[name] = [f"{name} {i}" for i in range(2)]
        else:
            found[name] = f"{name} {number}"
    found |= {"inputs": list(inputs), "scored_at": NOW, "model_digest": package.digest, "abstain": abstain}
    found["abstain_why"] = "novel labs; several answers" if abstain else ""
    if CONTRIBUTION_FOR in found:
        found[CONTRIBUTION_FOR] = package.target.names[number % len(package.target.names)]
    return found | cells


def refusal(package: Package, number: int = 0, **cells: Any) -> Row:
    """A row of `rejected`."""
    found = {
        "patient_id": f"P{number}",
        "study_id": f"S{number}",
        "row": number + 1,
        "code": "E_GAP",
        "reason": f"E_GAP study in row {number + 1}: a slice is missing",
        "model_digest": package.digest,
        "scored_at": NOW,
        **({"rules": ["old: see"]} if package.rules else {}),
    }
    assert set(found) == set(rejected(package).names)
    return found | cells


def written(
    out: Path, package: Package, good: Iterable[Row], bad: Iterable[Row] = (), study: Study | None = None
) -> list[Resource]:
    with Fhir().open(out, package) as report:
        for one in good:
            report.scored(one, study)
        for one in bad:
            report.rejected(one, study)
    return bulk(out)


def bulk(out: Path) -> list[Resource]:
    folder = out / "fhir" / "bulk"
    assert sorted(file.stem for file in folder.iterdir()) == sorted(TYPES)
    found = []
    for kind in TYPES:
        for line in (folder / f"{kind}.ndjson").read_text("ascii").splitlines():
            found.append(json.loads(line))
            assert found[-1]["resourceType"] == kind
    return found


def bundles(out: Path) -> list[Resource]:
    return [json.loads(file.read_text("ascii")) for file in sorted((out / "fhir" / "transactions").iterdir())]


def check(resources: Iterable[Resource]) -> None:
    """Hold resources against their definitions, and against what these leave open."""
    seen = set()
    for one in resources:
        R4B.get_fhir_model_class(one["resourceType"]).model_validate_json(json.dumps(one))
        assert ID.fullmatch(one["id"])
        assert one["id"] not in seen
        seen.add(one["id"])
        check_texts(one)
        if one["resourceType"] == "Observation":  # invariants obs-6 and obs-7, and that it says anything
            valued = any(name.startswith("value") for name in one)
            assert not (valued and "dataAbsentReason" in one)
            assert valued or "dataAbsentReason" in one or "component" in one or "hasMember" in one
            same = {str(part["code"]) for part in one.get("component", ())} & {str(one["code"])}
            assert not (valued and same)
            for part in one.get("component", ()):
                assert any(name.startswith("value") for name in part) != ("dataAbsentReason" in part)
        elif one["resourceType"] == "DiagnosticReport":
            assert "esearch use only" in one["conclusion"]


def check_texts(value: Any) -> None:
    """No element is empty, and no text holds what FHIR or XML cannot."""
    if isinstance(value, Mapping):
        assert value
        for one in value.values():
            check_texts(one)
    elif isinstance(value, list):
        assert value
        for one in value:
            check_texts(one)
    elif isinstance(value, str):
        assert value.strip()
        assert not any((ord(c) < 32 and c not in "\t\n\r") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value)
        value.encode()


def references(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = [value["reference"]] if "reference" in value else []
        return own + [one for part in value.values() for one in references(part)]
    return [one for part in value for one in references(part)] if isinstance(value, list) else []


def of_type(resources: Iterable[Resource], kind: str) -> list[Resource]:
    return [one for one in resources if one["resourceType"] == kind]


def code(concept: Resource) -> str:
    (found,) = (one["code"] for one in concept["coding"] if one["system"] == OWN)
    return str(found)


def value(holder: Resource) -> Any:
    """What a component or an observation says, None where it says why it says nothing."""
    (found,) = [(name, one) for name, one in holder.items() if name.startswith("value")] or [("", None)]
    return found[1]["value"] if found[0] == "valueQuantity" else found[1]


def cells(resources: Iterable[Resource]) -> dict[str, list[Any]]:
    """Column -> what the observations of one study say of it."""
    found: dict[str, list[Any]] = {}
    for one in of_type(resources, "Observation"):
        for holder in (one, *one.get("component", ())):
            if any(name.startswith("value") for name in holder) or (holder is not one and "dataAbsentReason" in holder):
                found.setdefault(code(holder["code"]), []).append(value(holder))
    return found


@pytest.fixture(params=TARGETS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


@pytest.mark.parametrize("abstain", [False, True])
@pytest.mark.parametrize("inputs", [("ct", "labs"), ("chest", "ct", "history", "labs"), ("labs",)])
def test_every_cell_of_every_task_is_there_once_and_all_is_valid(
    package: Package, task: Task, abstain: bool, inputs: tuple[str, ...], tmp_path: Path
) -> None:
    mine = model(package, task)
    one = row(mine, 3, abstain=abstain, inputs=inputs)
    found = written(tmp_path, mine, [one])
    check(found)
    said = cells(found)
    for name, cell in one.items():
        if name in ("patient_id", "study_id", "scored_at", "model_digest", "computed_in"):
            continue
        expected = cell if isinstance(cell, list) else [] if cell == "" else [cell]
        assert said.pop(name, []) == expected, name
    assert not said
    text = json.dumps(found)
    for name in ("patient_id", "study_id", "scored_at", "model_digest", "computed_in"):
        assert str(one[name]) in text
    assert len(of_type(found, "Observation")) == 1 + len(mine.target.names)


def test_an_answer_is_a_quantity_with_its_unit_and_what_was_decided(package: Package, task: Task, tmp_path: Path) -> None:
    mine = model(package, task)
    if task == "regression":
        mine = replace(mine, target=TargetSettings(column="value", task="regression", unit="mL"))
    one = row(mine, 1)
    found = written(tmp_path, mine, [one])
    prefix = ANSWER.get(task, "probability")
    for name in mine.target.names:
        (answer,) = [o for o in of_type(found, "Observation") if code(o["code"]) == f"{prefix}_{name}"]
        unit = "mL" if task == "regression" else "1"
        expected = {"value": one[f"{prefix}_{name}"], "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
        assert answer["valueQuantity"] == expected
        assert answer["status"] == "preliminary"
        if task in CLASS_TASKS:
            wanted = "POS" if one[f"decision_{name}"] else "NEG"
            assert [c["code"] for i in answer["interpretation"] for c in i["coding"]] == [wanted]
        else:
            assert "interpretation" not in answer


def test_a_unit_is_said_to_be_of_ucum_only_where_it_is(package: Package, tmp_path: Path) -> None:
    for number, (unit, more) in enumerate(
        [("days of <b>pain</b>", {}), ("", {}), ("%", {"system": "http://unitsofmeasure.org", "code": "%"})]
    ):
        mine = model(package, "regression", target=TargetSettings(column="value", task="regression", unit=unit))
        found = written(tmp_path / str(number), mine, [row(mine)])
        check(found)
        (answer,) = [o for o in of_type(found, "Observation") if code(o["code"]) == "predicted_value"]
        assert answer["valueQuantity"] == {"value": row(mine)["predicted_value"], **({"unit": unit} if unit else {}), **more}


def test_no_list_of_results_shows_a_number_that_should_not_be_relied_on(package: Package, task: Task, tmp_path: Path) -> None:
    mine = model(package, task)
    found = written(tmp_path, mine, [row(mine, abstain=True)])
    for one in of_type(found, "Observation"):
        assert "valueQuantity" not in one
        assert any("novel labs" in note["text"] for note in one["note"])
        if "hasMember" not in one:
            assert "novel labs; several answers" in one["dataAbsentReason"]["text"]
            assert one["interpretation"][0]["coding"][0]["code"] == "IND"
    (report,) = of_type(found, "DiagnosticReport")
    assert "novel labs" in report["conclusion"]
    assert "positive" not in report["conclusion"]
    assert "negative" not in report["conclusion"]


def test_why_a_cell_is_null_is_said(package: Package, tmp_path: Path) -> None:
    mine = model(package, "regression")
    without = {"contribution_labs": None, "contribution_chest": None, "conflict": None, "set_low": None, "set_high": None}
    found = written(tmp_path, mine, [row(mine, **without)])
    check(found)
    why = {
        code(part["code"]): part["dataAbsentReason"]["coding"][0]["code"]
        for one in of_type(found, "Observation")
        for part in one.get("component", ())
        if "dataAbsentReason" in part
    }
    expected = {"set_low": "negative-infinity", "set_high": "positive-infinity", "conflict": "unknown"}
    asked = {
        "contribution_labs": "not-performed",
        "contribution_chest": "not-applicable",
        "contribution_history": "not-applicable",
    }
    assert {name: why[name] for name in (*expected, *asked)} == expected | asked


def test_without_contributions_nothing_is_attributed_to_an_answer(package: Package, tmp_path: Path) -> None:
    mine = model(package, "multiclass")
    none = {name: None for name in scored(mine).names if name.startswith("contribution_")}
    found = written(tmp_path, mine, [row(mine, **none)])
    check(found)
    assert all(cells(found)[name] == [None] for name in none)


def test_every_reference_leads_to_a_resource_of_the_set_and_of_its_bundle(package: Package, task: Task, tmp_path: Path) -> None:
    mine = model(package, task)
    found = written(tmp_path, mine, [row(mine, n) for n in range(3)], [refusal(mine, n) for n in range(5, 7)])
    check(found)
    held = {f"{one['resourceType']}/{one['id']}" for one in found}
    used = references(found)
    assert used
    assert set(used) <= held
    (device,) = of_type(found, "Device")
    assert held - set(used) == {f"Provenance/{one['id']}" for one in of_type(found, "Provenance")}
    for bundle in bundles(tmp_path):
        inside = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]}
        assert set(references([e["resource"] for e in bundle["entry"]])) <= inside
    for one in of_type(found, "Provenance"):
        assert one["agent"][0]["who"]["reference"] == f"Device/{device['id']}"
        assert one["recorded"] == NOW
        targets = {reference["reference"] for reference in one["target"]}
        assert len([target for target in targets if target.startswith("DiagnosticReport/")]) == 1
        assert len(targets) == 2 + len(mine.target.names)


def test_the_same_scoring_gives_the_same_bytes_but_for_the_times(package: Package, tmp_path: Path) -> None:
    mine = model(package, "multilabel")

    def content(out: str, time: str, package: Package = mine) -> dict[str, str]:
        good = [row(package, n, scored_at=time) for n in range(4)]
        written(tmp_path / out, package, good, [refusal(package, 9, scored_at=time)])
        folder = tmp_path / out / "fhir"
        return {str(file.relative_to(folder)): file.read_text().replace(time, "TIME") for file in folder.rglob("*.*json")}

    one, later = content("one", NOW), content("later", "2027-02-03T04:05:06Z")
    assert one == later
    assert len(one) == len(TYPES) + 1
    ids = {resource["id"] for resource in bulk(tmp_path / "one")}
    content("other", NOW, replace(mine, digest="cd" * 32))
    assert not ids & {resource["id"] for resource in bulk(tmp_path / "other")}


def test_a_rejected_study_has_a_cancelled_report_that_says_why(package: Package, task: Task, tmp_path: Path) -> None:
    mine = model(package, task)
    found = written(tmp_path, mine, [], [refusal(mine, 4)])
    check(found)
    (report,) = of_type(found, "DiagnosticReport")
    assert report["status"] == "cancelled"
    assert "E_GAP study in row 5" in report["conclusion"]
    assert "E_GAP study in row 5" in report["text"]["div"]
    for one in of_type(found, "Observation"):
        assert one["status"] == "cancelled"
        absent = one["dataAbsentReason"]
        assert [c["code"] for c in absent["coding"]] == ["not-performed", "E_GAP"]
        assert absent["text"] == refusal(mine, 4)["reason"]
    assert cells(found) == {"row": [5], **({"rules": ["old: see"]} if task == "binary" else {})}


def test_a_study_takes_the_place_of_its_own_refusal(package: Package, tmp_path: Path) -> None:
    mine = model(package, "multiclass")
    own = {"patient_id": "P", "study_id": "S"}
    refused = written(tmp_path / "one", mine, [], [refusal(mine, **own)])
    answered = written(tmp_path / "two", mine, [row(mine, **own)])
    assert {one["id"] for one in refused} == {one["id"] for one in answered}


def test_rows_of_one_study_that_are_all_rejected_are_all_there(package: Package, tmp_path: Path) -> None:
    mine = model(package, "binary")
    twice = [refusal(mine, n, patient_id="P", study_id="S") for n in (2, 7)]
    found = written(tmp_path, mine, [], twice)
    check(found)
    assert cells(found)["row"] == [3, 8]


def test_a_row_without_an_identifier_names_nobody(package: Package, tmp_path: Path) -> None:
    mine = model(package, "binary")
    found = written(tmp_path, mine, [], [refusal(mine, 1, patient_id=" "), refusal(mine, 2, study_id="")])
    check(found)
    one, other = of_type(found, "DiagnosticReport")
    assert "subject" not in one
    assert "identifier" not in other
    assert [len(p.get("entity", ())) for p in of_type(found, "Provenance")] == [1, 0]


UNSAID = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]


def identifiers(found: Iterable[Resource]) -> dict[str, list[Resource]]:
    """Every identifier of a patient, a study and a model among resources."""
    some: dict[str, list[Resource]] = {"patients": [], "studies": [], "models": []}
    for one in found:
        some["patients"] += [one["subject"]["identifier"]] if "subject" in one else []
        some["studies"] += one.get("identifier", []) if one["resourceType"] == "DiagnosticReport" else []
        some["models"] += one.get("identifier", []) if one["resourceType"] == "Device" else []
        some["studies"] += [source["what"]["identifier"] for source in one.get("entity", ()) if "type" not in source["what"]]
    assert all(some.values())
    return some


def test_an_identifier_has_its_number_range_or_says_that_nobody_knows_it(package: Package, tmp_path: Path) -> None:
    mine = model(package, "binary")
    ranges = NumberRanges("urn:oid:2.999.1", "https://hospital.example/studies")
    for name, report in (("told", Fhir().numbered(ranges)), ("untold", Fhir())):
        with report.open(tmp_path / name, mine) as reporter:
            reporter.scored(row(mine, 1), None)
            reporter.rejected(refusal(mine, 2), None)
    told, untold = (bulk(tmp_path / name) for name in ("told", "untold"))
    check([*told])
    check([*untold])
    for kind, system in (("patients", ranges.patients), ("studies", ranges.studies)):
        assert {one["system"] for one in identifiers(told)[kind]} == {system}
        assert not any("_system" in one for one in identifiers(told)[kind])
        assert all(one["_system"] == {"extension": UNSAID} for one in identifiers(untold)[kind])
        assert not any("system" in one for one in identifiers(untold)[kind])
    (device,) = identifiers(untold)["models"]
    assert device["system"] == MODELS != OWN


def test_a_scoring_tells_the_report_of_its_number_ranges(package: Package, hospital: Hospital, tmp_path: Path) -> None:
    ranges = NumberRanges("urn:oid:2.999.1")
    mine = replace(package, digest="ef" * 32)
    with Scorer(mine, tmp_path, Options(workers=0), also=["fhir"], ranges=ranges) as scorer:
        scorer.round(hospital.studies[:2])
        scorer.export()
    assert {one["system"] for one in identifiers(bulk(tmp_path))["patients"]} == {"urn:oid:2.999.1"}


@pytest.mark.parametrize(
    "text", ["urn:oid:2.999.1", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "https://hospital.example/ids?a=1", None]
)
def test_a_number_range_is_taken(text: str | None) -> None:
    assert ranges_asked(text, text, ["fhir"]) == NumberRanges(text or "", text or "")


@pytest.mark.parametrize(
    "text",
    ["", "2.999.1", "urn:oid:2.999.01", "urn:oid:3.1", "urn:uuid:53", "hospital", "https://a b", "https://a\n", "javascript:x"],
)
def test_what_is_no_number_range_is_refused(text: str) -> None:
    for asked in ((text, None), (None, text)):
        with pytest.raises(ConfigError, match="is no URI of a number range"):
            ranges_asked(*asked, ["fhir"])
    with pytest.raises(ConfigError, match="--study-system is for the report fhir alone"):
        ranges_asked(None, text, ["worklist"])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text(package: Package, text: str, tmp_path: Path) -> None:
    name = text.replace("\ud800", "")  # no column has half a letter in its name
    target = TargetSettings(column="kind", task="multiclass", classes=("a", f"{name} ", f"b {name}"))
    mine = model(package, "multiclass", target=target, references=None, name=text)
    one = row(mine, 1, patient_id=f"p{text}", study_id=f"s{text}", inputs=[text], abstain=True, abstain_why=text)
    found = written(tmp_path, mine, [one], [refusal(mine, 2, reason=f"E_GAP {text}", patient_id=text, study_id=text)])
    check(found)
    for report in of_type(found, "DiagnosticReport"):
        div = ET.fromstring(report["text"]["div"])
        assert div.tag == "{http://www.w3.org/1999/xhtml}div"
        assert {part.tag for part in div} == {"{http://www.w3.org/1999/xhtml}p"}
        assert not any(part.attrib or len(part) for part in div)
        assert any(normal(plain(text)) in normal(part.text or "") for part in div)
    subjects = [report["subject"]["identifier"]["value"] for report in of_type(found, "DiagnosticReport")]
    assert subjects == [plain(f"p{text}"), plain(text)]
    for file in (tmp_path / "fhir").rglob("*.*json"):
        assert file.read_bytes().isascii()
        assert b"\x1b" not in file.read_bytes()


def normal(text: str) -> str:
    """XML turns each line end into a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_what_fhir_cannot_hold_becomes_a_sign() -> None:
    assert plain("a\0b\x1fc\x7fd\x9be\ud800f\ufffeg\t\r\nh\u2028") == "a\u2400b\u241fc\u2421d\ufffde\ufffdf\ufffdg\t\r\nh\u2028"
    assert identity("a\ud800") != identity("a\ud801")


@pytest.mark.parametrize("number", range(20))
def test_an_id_is_a_uuid_of_what_it_is_about(number: int) -> None:
    # A second way: the first 16 bytes of a SHA-256 with the version 8 and the variant 10xx (RFC 9562, section 5.8) put in.
    raw = bytearray(hashlib.sha256(f'["a", {number}]'.encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    own = uuid.UUID(identity("a", number))
    assert (own.version, own.variant) == (8, uuid.RFC_4122)
    assert own.bytes[:8] == bytes(raw[:8])
    assert own.bytes[9:] == bytes(raw[9:])
    assert len({identity("a", str(number)), identity("a", number), identity(f"a{number}")}) == 3


def test_contributions_stand_with_the_answer_that_they_speak_of(package: Package, task: Task, tmp_path: Path) -> None:
    mine = model(package, task)
    if task == "regression":
        mine = replace(mine, target=TargetSettings(column="value", task="regression", unit="mL"))
    for number, name in enumerate(mine.target.names):
        found = written(tmp_path, mine, [row(mine, number)])
        holders = [o for o in of_type(found, "Observation") if "contribution_labs" in map(code_of, o.get("component", ()))]
        assert [code(o["code"]) for o in holders] == [f"{ANSWER.get(task, 'probability')}_{name}"]
        (own,) = [part["valueQuantity"] for part in holders[0]["component"] if code_of(part) == "contribution_labs"]
        expected = ("mL", "mL") if task == "regression" else ("log odds", "1")
        assert (own["unit"], own["code"]) == expected


def code_of(component: Resource) -> str:
    return code(component["code"])


def test_a_report_names_the_imaging_studies_whose_files_were_read(package: Package, hospital: Hospital, tmp_path: Path) -> None:
    mine = model(package, "binary")
    with_images = [one for one in hospital.studies if "chest" in one.evidence]
    study = with_images[0]
    found = written(tmp_path, mine, [row(mine)], [refusal(mine, 3)], study)
    check(found)
    expected = {"system": "urn:dicom:uid", "value": f"urn:oid:{study.cells['study_uid']}"}
    for report in of_type(found, "DiagnosticReport"):
        assert report["imagingStudy"] == [{"type": "ImagingStudy", "identifier": expected}]
        assert report["effectiveDateTime"] == str(study.time)[:10]
    for one in of_type(found, "Provenance"):
        assert [source["what"].get("type") for source in one["entity"]] == [None, "ImagingStudy"]
        assert one["entity"][1]["what"]["identifier"] == expected


def test_a_file_that_is_gone_or_no_dicom_names_no_imaging_study(package: Package, tmp_path: Path) -> None:
    mine = model(package, "binary")
    (tmp_path / "note.dcm").write_text("no image")
    files = (tmp_path / "gone.dcm", tmp_path / "note.dcm")
    study = Study(1, "p", "s", evidence={name: Evidence(files=(file,)) for name, file in zip("ab", files, strict=True)})
    found = written(tmp_path, mine, [row(mine)], study=study)
    check(found)
    assert "imagingStudy" not in of_type(found, "DiagnosticReport")[0]


def test_a_time_of_day_is_kept_where_its_zone_is_known(package: Package, tmp_path: Path) -> None:
    mine = model(package, "binary")
    study = Study(1, "p", "s", time=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC))
    found = written(tmp_path, mine, [row(mine)], study=study)
    check(found)
    assert {one["effectiveDateTime"] for one in found if "effectiveDateTime" in one} == {"2024-05-06T07:08:09+00:00"}


def test_transactions_hold_the_same_in_pieces_that_servers_take(package: Package, tmp_path: Path) -> None:
    mine = model(package, "multiclass")
    found = written(tmp_path, mine, [row(mine, n) for n in range(200)], [refusal(mine, n) for n in range(300, 310)])
    pieces = bundles(tmp_path)
    assert len(pieces) == -(-210 * 6 // (ENTRIES - 1 - (ENTRIES - 1) % 6))
    owner: dict[str, int] = {}
    for number, bundle in enumerate(pieces):
        R4B.get_fhir_model_class("Bundle").model_validate_json(json.dumps(bundle))
        assert bundle["type"] == "transaction"
        assert len(bundle["entry"]) <= ENTRIES
        for entry in bundle["entry"]:
            resource = entry["resource"]
            assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
            assert entry["fullUrl"] == f"urn:uuid:{resource['id']}"
            if resource["resourceType"] != "Device":
                assert owner.setdefault(resource["id"], number) == number
    held = {json.dumps(e["resource"]) for bundle in pieces for e in bundle["entry"]}
    assert held == {json.dumps(one) for one in found}


def test_a_study_with_more_answers_than_a_transaction_holds_stays_whole(package: Package, tmp_path: Path) -> None:
    target = TargetSettings(column="kind", task="multilabel", classes=tuple(f"c{i}" for i in range(ENTRIES + 10)))
    mine = model(package, "multilabel", target=target, references=None)
    found = written(tmp_path, mine, [row(mine, n) for n in range(2)])
    assert [len(bundle["entry"]) for bundle in bundles(tmp_path)] == [ENTRIES + 14] * 2
    assert len(found) == 1 + 2 * (ENTRIES + 13)


def test_memory_does_not_grow_with_the_studies(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir, "ENTRIES", 20)
    mine = model(package, "binary")
    one = row(mine)

    def peak(count: int) -> int:
        tracemalloc.start()
        with Fhir().open(tmp_path, mine) as report:
            for number in range(count):
                report.scored({**one, "study_id": str(number)}, None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    few, many = peak(20), peak(200)
    assert many < 3 * few


def test_an_error_leaves_what_was_there_before(package: Package, tmp_path: Path) -> None:
    mine = model(package, "binary")
    before = written(tmp_path, mine, [row(mine)])
    with pytest.raises(RuntimeError), Fhir().open(tmp_path, mine) as report:
        report.scored(row(mine, 2), None)
        raise RuntimeError
    assert bulk(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["fhir"]


def test_a_resource_that_is_none_is_refused_and_named_to_nobody(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Resources, "scored", lambda *_: [{"resourceType": "Observation", "id": "SECRET"}])
    with pytest.raises(DataError, match="became a Observation") as caught:
        written(tmp_path, model(package, "binary"), [row(package)])
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert not list(tmp_path.iterdir())


def test_without_fhir_resources_the_repair_is_named(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fhir.resources.R4B", None)
    with pytest.raises(ConfigError, match=re.escape("pip install medmm[clinic]")):
        written(tmp_path, package, [])
    with pytest.raises(ConfigError, match=r"fhir\.resources"):  # before the first study
        Fhir().look((), tmp_path, package)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def real(package: Package, hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real scoring with its report."""
    out = tmp_path_factory.mktemp("real")
    studies = [*hospital.studies[:12], replace(hospital.studies[30], evidence={})]
    done = score(replace(package, digest="ef" * 32), studies, out, Options(workers=0), also=["fhir"])
    assert (done.scored, sum(done.rejected.values())) == (12, 1)
    return out


def test_a_real_scoring_is_valid_and_says_what_its_table_says(real: Path) -> None:
    found = bulk(real)
    check(found)
    table = pq.read_table(real / "scores.parquet").to_pylist()
    answers = [o for o in of_type(found, "Observation") if "valueQuantity" in o]
    assert [o["subject"]["identifier"]["value"] for o in answers] == [one["patient_id"] for one in table]
    assert [value(o) for o in answers] == [one["probability_pneumonia"] for one in table]
    assert [r["status"] for r in of_type(found, "DiagnosticReport")] == ["preliminary"] * 12 + ["cancelled"]


@pytest.mark.parametrize("part", ["bulk", "transactions"])
def test_a_server_that_knows_the_patients_gives_the_answers_back(real: Path, part: str, tmp_path: Path) -> None:
    """A server resolves who an identifier means; what it exports is read by the reader of FHIR exports."""
    shutil.copytree(real / "fhir" / part, tmp_path / "export")
    patients = sorted({one["subject"]["identifier"]["value"] for one in bulk(real) if "subject" in one})
    ids = {patient: f"resolved-{number}" for number, patient in enumerate(patients)}
    for file in (tmp_path / "export").iterdir():
        file.write_text(
            re.sub(
                r'"subject":\{"type":"Patient","identifier":\{"type":\{"text":"patient_id"\},"_system":[^"]*"extension":'
                r'\[[^]]+\]\},"value":"([^"]+)"\}\}',
                lambda found: f'"subject":{{"reference":"Patient/{ids[found[1]]}"}}',
                file.read_text(),
            )
        )
    people = [json.dumps({"resourceType": "Patient", "id": name}) for name in ids.values()]
    (tmp_path / "export" / "Patient.ndjson").write_text("\n".join(people))
    records = read_fhir(tmp_path / "export", strict=True)
    assert not any(records.faults.values())
    facts = records.tables["facts"]
    own = facts[facts["code"] == "probability_pneumonia"]
    expected = [
        (ids[one["patient_id"]], one["probability_pneumonia"]) for one in pq.read_table(real / "scores.parquet").to_pylist()
    ]
    assert sorted(zip(own["patient_id"], own["value"].astype(float), strict=True)) == sorted(expected)
    assert set(own["unit"]) == {"1"}
    labs = facts[facts["code"] == "contribution_labs"]
    assert len(labs)


def test_every_uid_that_is_none_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    study = Study(1, "p", "s", evidence={"a": Evidence(files=(tmp_path / "x", tmp_path / "y"), counts=(1, 1))})
    for written_uid in ("", "1.2.3\\4", "EVIL^JANE", "1." + "2" * 63):
        monkeypatch.setattr(fhir_studies, "_uid", lambda _, uid=written_uid: uid)
        assert fhir_studies.uids_of(study) == []
    monkeypatch.setattr(fhir_studies, "_uid", lambda _: "1.2.3")
    assert fhir_studies.uids_of(study) == ["1.2.3"]


def test_the_imaging_study_is_known_when_its_files_are_gone(package: Package, hospital: Hospital, tmp_path: Path) -> None:
    mine = model(package, "binary")
    study = next(one for one in hospital.studies if "chest" in one.evidence)
    (file,) = study.evidence["chest"].files
    gone = tmp_path / "image.dcm"
    shutil.copy(file, gone)
    study = replace(study, evidence={"chest": Evidence(files=(gone,))})
    own = row(mine, patient_id=study.patient_id, study_id=study.study_id)
    out = tmp_path / "out"
    Fhir().look((), out, mine)
    Fhir().look([study], out, mine)
    gone.unlink()
    for known in (study, None):
        (report,) = of_type(written(out, mine, [own], study=known), "DiagnosticReport")
        assert report["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{study.cells['study_uid']}"
    (memory,) = (out / ".fhir").iterdir()
    assert memory.stat().st_mode & 0o777 == 0o600
    memory.write_text("{broken")
    assert "imagingStudy" not in of_type(written(out, mine, [own], study=study), "DiagnosticReport")[0]
