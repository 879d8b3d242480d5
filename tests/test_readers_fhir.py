"""FHIR exports: the same facts as in a CSV give the same features; hostile documents are refused by code, names unsaid."""

import base64
import csv
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.synthetic import SyntheticSettings
from medmm.cohort.synthetic.records import laboratory_rows, note_rows
from medmm.cohort.synthetic.truth import draw_truth
from medmm.errors import Code, DataError, Rejected
from medmm.inputs import gather
from medmm.inputs.tabular import TabularInput, TabularSettings
from medmm.inputs.text import TextInput, TextSettings
from medmm.readers import strict_json
from medmm.readers.facts import Records
from medmm.readers.fhir import read_fhir
from medmm.readers.html_text import text_of
from medmm.readers.notes import NOTE_LIMIT_BYTES

PATIENTS = 1_000
LOINC = {"crp": "1988-5", "wbc": "6690-2", "creatinine": "14682-9", "haemoglobin": "718-7"}
SECRET = "Zaphod77"
"""Id of the patient of every hostile document: it must stand in no message."""


def patient(id_: str = SECRET, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "id": id_, **more}


def observation(value: object = 5.5, **more: object) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1988-5"}]},
        "subject": {"reference": f"Patient/{SECRET}"},
        "effectiveDateTime": "2024-03-01T08:00:00Z",
        "valueQuantity": {"value": value, "unit": "mg/L"},
        **more,
    }


def without(resource: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: one for name, one in resource.items() if name not in names}


def document(attachment: Mapping[str, object], **more: object) -> dict[str, object]:
    return {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": f"Patient/{SECRET}"},
        "date": "2024-03-01T09:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", **attachment}}],
        **more,
    }


def of_patient(kind: str, **more: object) -> dict[str, object]:
    return {
        "resourceType": kind,
        "id": "x1",
        "subject": {"reference": f"Patient/{SECRET}"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "233604007"}]},
        **more,
    }


def bundle(*resources: Mapping[str, object], type_: str = "collection", **more: object) -> dict[str, object]:
    return {"resourceType": "Bundle", "type": type_, "entry": [{"resource": one} for one in resources], **more}


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def read(folder: Path, *resources: Mapping[str, object], strict: bool = False) -> Records:
    """Read resources, each a line."""
    folder.mkdir(exist_ok=True)
    (folder / "all.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in resources), encoding="utf-8")
    return read_fhir(folder, strict)


def facts(records: Records, *columns: str) -> list[tuple[str, ...]]:
    return list(records.tables["facts"][list(columns)].itertuples(index=False, name=None))


# --- the same facts as CSV


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with its laboratory and its notes once as CSV, once as a bulk export of several files."""
    root = tmp_path_factory.mktemp("hospital")
    settings = SyntheticSettings(patients=PATIENTS, seed=5)
    studies = draw_truth(settings)
    labs = [{**row, "code": LOINC[row["code"]]} for study in studies for row in laboratory_rows(study, settings)]
    for row in labs[::7]:
        row["value"] += "0"  # what a reader of floats would lose
    notes = [row for study in studies for row in note_rows(study, settings)]
    write_csv(root / "labs.csv", labs)
    write_csv(root / "notes.csv", notes)
    write_csv(
        root / "studies.csv",
        [
            {"patient_id": one.patient_id, "study_id": one.study_id, "time": one.time.isoformat(timespec="seconds")}
            for one in studies
        ],
    )
    folder = root / "fhir" / "2024"
    folder.mkdir(parents=True)
    people = sorted({study.patient_id for study in studies})
    lines = [observation_line(number, row) for number, row in enumerate(labs)]
    (folder / "Patient.ndjson").write_text("".join(f"{json.dumps(patient(id_))}\n" for id_ in people))
    (folder / "Observation.000.ndjson").write_text("\n".join(lines[1::2]))  # the last line has no end
    (folder / "Observation.001.ndjson.gz").write_bytes(gzip.compress("\n".join(lines[::2]).encode()))
    documents = [
        document(
            {"data": b64(row["text"].encode())},
            id=f"d{number}",
            subject={"reference": f"Patient/{row['patient_id']}"},
            date=f"{row['time']}Z",
            context={"related": [{"reference": f"ImagingStudy/{row['study_id']}"}]},
        )
        for number, row in enumerate(notes)
    ]
    (folder / "DocumentReference.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in documents))
    return root


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def observation_line(number: int, row: Mapping[str, str]) -> str:
    """Write the value as the very text of the CSV, which `json.dumps` of a float would change."""
    one = observation(
        "VALUE", id=f"o{number}", subject={"reference": f"Patient/{row['patient_id']}"}, effectiveDateTime=f"{row['time']}Z"
    )
    one["code"] = {"coding": [{"system": "http://loinc.org", "code": row["code"]}]}
    one["valueQuantity"] = {"value": "VALUE", "unit": row["unit"], "system": "http://unitsofmeasure.org", "code": row["unit"]}
    return json.dumps(one).replace('"VALUE"', row["value"])


def features(root: Path, settings: TabularSettings | TextSettings) -> tuple[object, list[dict[str, np.ndarray] | None]]:
    """Give the fitted state, and what the model would see of every study."""
    sources = Sources.open(CohortSettings(root=root, time="time"))
    one: TabularInput | TextInput = settings.open("labs")
    studies = gather({"labs": one}, sources, read_studies(sources, None))
    assert not any(study.rejected for study in studies)
    raws = [one.read(study.evidence["labs"]) if "labs" in study.evidence else None for study in studies]
    fitted = one.fit((study.patient_id, raw) for study, raw in zip(studies, raws, strict=True) if raw is not None)
    return fitted.state, [None if raw is None else fitted.prepare(raw) for raw in raws]


def same(first: list[dict[str, np.ndarray] | None], second: list[dict[str, np.ndarray] | None]) -> bool:
    return len(first) == len(second) and all(
        (one is None) == (other is None) and all(one[name].tobytes() == other[name].tobytes() for name in one)
        for one, other in zip(first, second, strict=True)
        if one is not None or other is not None
    )


def long_table(table: str) -> TabularSettings:
    return TabularSettings.model_validate(
        {
            "table": table,
            "layout": "long",
            "window_days": 14,
            "numeric": {LOINC["crp"]: {"unit": "mg/L"}, LOINC["wbc"]: {"unit": "10*9/L"}, LOINC["creatinine"]: {}},
            "categorical": [LOINC["haemoglobin"]],  # its text is what counts: 130.10 is not 130.1
        }
    )


def test_a_bulk_export_gives_the_features_of_the_csv_bit_for_bit(hospital: Path) -> None:
    state, prepared = features(hospital, long_table("labs.csv"))
    other_state, other = features(hospital, long_table("fhir/facts"))
    assert len(prepared) >= PATIENTS
    assert 0.8 < np.mean([one is not None for one in prepared]) < 1
    assert other_state == state
    assert same(prepared, other)


def test_documents_of_a_bulk_export_give_the_notes_of_the_csv(hospital: Path) -> None:
    both = [
        features(hospital, TextSettings.model_validate({"table": name, "max_tokens": 64}))
        for name in ("notes.csv", "fhir/notes")
    ]
    assert both[0][0] == both[1][0]
    assert same(both[0][1], both[1][1])


# --- hostile documents


def lines(*written: str | bytes) -> Callable[[Path], None]:
    content = b"\n".join(one if isinstance(one, bytes) else one.encode() for one in written)
    return lambda folder: (folder / f"{SECRET}.ndjson").write_bytes(content)


def file(value: object) -> Callable[[Path], None]:
    return lambda folder: (folder / f"{SECRET}.json").write_text(json.dumps(value))


def zipped(content: bytes, keep: int | None = None) -> Callable[[Path], None]:
    return lambda folder: (folder / f"{SECRET}.ndjson.gz").write_bytes(gzip.compress(content)[:keep])


GOOD = json.dumps(observation())
DEEP = '{"resourceType": "Patient", "id": "' + SECRET + '", "extension": ' + "[" * 100_000 + "]" * 100_000 + "}"
OTHER = {"reference": "Patient/another"}

REFUSED: dict[str, tuple[Callable[[Path], None], Code]] = {
    "nested a hundred thousand deep": (lines(DEEP), Code.TOO_LARGE),
    "a line without end": (lines(b'{"resourceType": "' + b"x" * (strict_json.LINE_LIMIT_BYTES + 1)), Code.TOO_LARGE),
    "a gzip bomb": (zipped((b" " * 1023 + b"\n") * (100 << 10)), Code.TOO_LARGE),
    "a gzip file without its end": (zipped(b"\n".join([GOOD.encode()] * 999), keep=-20), Code.TRUNCATED),
    "a gzip file with a wrong byte": (
        lambda folder: (folder / "a.ndjson.gz").write_bytes(gzip.compress(b"{}")[:-6] + b"\0\0\0\0\0\0"),
        Code.MALFORMED,
    ),
    "a key twice": (lines(GOOD.replace('"status"', '"id": "o2", "status"')), Code.MALFORMED),
    "NaN": (lines(GOOD.replace("5.5", "NaN")), Code.MALFORMED),
    "Infinity": (lines(GOOD.replace("5.5", "-Infinity")), Code.MALFORMED),
    "bytes that are not UTF-8": (lines(GOOD.encode().replace(b"mg/L", b"\xff\xfe")), Code.MALFORMED),
    "half of a surrogate pair": (lines(GOOD.replace("mg/L", "\\ud800")), Code.MALFORMED),
    "a NUL": (lines(GOOD.replace("mg/L", "\\u0000")), Code.MALFORMED),
    "a truncated last line": (lines(GOOD, GOOD[:-30]), Code.TRUNCATED),
    "two objects in a line": (lines(GOOD + GOOD), Code.MALFORMED),
    "no resourceType": (lines(json.dumps(without(observation(), "resourceType"))), Code.MALFORMED),
    "a resourceType that is a path": (lines(json.dumps(observation(resourceType="../Patient"))), Code.MALFORMED),
    "a bundle in a line": (lines(json.dumps(bundle(patient()))), Code.MALFORMED),
    "another patient in the bundle": (file(bundle(patient(), observation(subject=OTHER))), Code.MIXED_PATIENTS),
    "a diagnosis without a patient": (lines(json.dumps(without(of_patient("Condition"), "subject"))), Code.MALFORMED),
    "a patient by name only": (lines(json.dumps(observation(subject={"display": SECRET}))), Code.MALFORMED),
    "a patient of a second server": (
        lines(
            json.dumps(observation(subject={"reference": f"https://a.example/fhir/Patient/{SECRET}"})),
            json.dumps(observation(id="o2", subject={"reference": f"https://b.example/fhir/Patient/{SECRET}"})),
        ),
        Code.AMBIGUOUS,
    ),
    "a patient without an id": (lines(json.dumps(without(patient(), "id"))), Code.MALFORMED),
    "two versions of a patient": (lines(json.dumps(patient()), json.dumps(patient(gender="male"))), Code.AMBIGUOUS),
    "an id that is a path": (lines(json.dumps(patient("../../etc/passwd"))), Code.MALFORMED),
    "a history": (file(bundle(patient(), type_="history")), Code.UNSUPPORTED),
    "a page without the next one": (
        file(bundle(patient(), type_="searchset", link=[{"relation": "next", "url": f"https://a.example/?{SECRET}"}])),
        Code.TRUNCATED,
    ),
    "fewer resources than the manifest says": (
        file({"transactionTime": "2024-03-01T00:00:00Z", "output": [{"type": "Patient", "url": "x", "count": 7}]}),
        Code.TRUNCATED,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_export_is_refused_by_its_code_and_names_nobody(name: str, tmp_path: Path) -> None:
    plant, code = REFUSED[name]
    plant(tmp_path)
    with pytest.raises(Rejected) as caught:
        read_fhir(tmp_path)
    assert caught.value.code is code
    assert SECRET not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.where.startswith(("file 1 of 1", "the export"))


TEXT = b"No focal lung disease."
BROKEN: dict[str, tuple[dict[str, object], str, Code]] = {
    "a value of no type": (without(observation(), "valueQuantity") | {"valueSecret": 1}, "facts", Code.MALFORMED),
    "two values": (observation(valueString="x"), "facts", Code.MALFORMED),
    "a number in quotes": (observation("5.5"), "facts", Code.MALFORMED),
    "a list for a code": (observation(code=[]), "facts", Code.MALFORMED),
    "no code": (observation(code={}), "facts", Code.MALFORMED),
    "no status": (without(observation(), "status"), "facts", Code.MALFORMED),
    "a status of nobody": (observation(status=SECRET), "facts", Code.MALFORMED),
    "an id that is a path": (observation(id="../../x"), "facts", Code.MALFORMED),
    "a modifier": (observation(modifierExtension=[{"url": "x"}]), "facts", Code.UNSUPPORTED),
    "a time without a zone": (observation(effectiveDateTime="2024-03-01T08:00:00"), "facts", Code.TYPE),
    "a day that is none": (observation(effectiveDateTime="2024-02-30"), "facts", Code.TYPE),
    "a medication that is not there": (
        without(of_patient("MedicationRequest", status="active", intent="order"), "code")
        | {"medicationReference": {"reference": "Medication/m9"}},
        "facts",
        Code.EMPTY,
    ),
    "a file of this machine": (document({"url": "file:///etc/passwd"}), "notes", Code.UNSUPPORTED),
    "a path out of the folder": (document({"url": "../../Binary/b1"}), "notes", Code.UNSUPPORTED),
    "an address on the network": (document({"url": "http://127.0.0.1:9/report"}), "notes", Code.UNSUPPORTED),
    "a Binary that is not there": (document({"url": "Binary/b9"}), "notes", Code.EMPTY),
    "base64 that is none": (document({"data": "%%%"}), "notes", Code.MALFORMED),
    "another size than stated": (document({"data": b64(TEXT), "size": 7}), "notes", Code.MALFORMED),
    "another hash than stated": (document({"data": b64(TEXT), "hash": b64(b"x" * 20)}), "notes", Code.MALFORMED),
    "another character set": (document({"data": b64("é".encode("latin-1"))}), "notes", Code.MALFORMED),
    "a page never closed": (document({"data": b64(b"<!--" * (1 << 18)), "contentType": "text/html"}), "notes", Code.MALFORMED),
    "a book": (document({"data": b64(b"x" * (NOTE_LIMIT_BYTES + 1))}), "notes", Code.TOO_LARGE),
    "a study without a UID": (without(of_patient("ImagingStudy", status="available"), "code"), "studies", Code.MALFORMED),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_refuses_its_patient_and_no_other(name: str, tmp_path: Path) -> None:
    resource, table, code = BROKEN[name]
    records = read(tmp_path, observation(id="o0", subject=OTHER), resource)
    assert list(records.faults[table]) == [SECRET]
    assert sum(len(faults) for faults in records.faults.values()) == 1
    reason = records.faults[table][SECRET]
    assert reason.code is code
    assert reason.where.startswith("file 1 of 1, line 2")
    assert SECRET not in str(reason)
    assert facts(records, "patient_id") == [("another",)]


def test_studies_of_a_patient_with_a_broken_record_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_text(
        f"patient_id,study_id,time\n{SECRET},s1,2024-03-02\nanother,s2,2024-03-02\n{SECRET},s3,2025-03-02\n"
    )
    read(
        tmp_path / "fhir",
        observation(id="o0", subject=OTHER),
        observation(id="o2"),
        observation("5.5", id="o3", effectiveDateTime="2024-06-01T00:00:00Z"),
    )
    sources = Sources.open(CohortSettings(root=tmp_path, time="time"))
    labs = TabularSettings.model_validate({"table": "fhir/facts", "layout": "long", "numeric": {"1988-5": {}}})
    first, second, third = gather({"labs": labs.open("labs")}, sources, read_studies(sources, None))
    assert [list(one.rejected) for one in (first, second, third)] == [["labs"], [], ["labs"]]
    assert str(first.rejected["labs"]).startswith("E_MALFORMED: study in row 1, input labs, file 1 of 1, line 3, ")
    assert second.evidence["labs"].cells == {"1988-5": "5.5"}


# --- facts


def test_a_number_keeps_the_text_that_was_written(tmp_path: Path) -> None:
    written = ["1.10", "1E5", "0.1000000000000000055511151231257827", "-0", "12345678901234567890123"]
    content = "\n".join(GOOD.replace("5.5", one).replace('"o1"', f'"o{number}"') for number, one in enumerate(written))
    (tmp_path / "a.ndjson").write_text(content)
    assert [value for (value,) in facts(read_fhir(tmp_path), "value")] == written


def test_every_value_type_is_written_as_text(tmp_path: Path) -> None:
    bare = without(observation(), "valueQuantity")
    values: list[tuple[dict[str, object], str]] = [
        ({"valueQuantity": {"value": 5, "comparator": "<", "unit": "mg/L"}}, "<5"),
        (
            {"valueCodeableConcept": {"coding": [{"system": "s", "code": "LA6576-8"}, {"system": "t", "code": "10"}]}},
            "LA6576-8",
        ),
        ({"valueCodeableConcept": {"text": "positive"}}, "positive"),
        ({"valueString": "clear"}, "clear"),
        ({"valueBoolean": True}, "true"),
        ({"valueInteger": 3}, "3"),
        ({"valueTime": "08:00:00"}, "08:00:00"),
        ({"valueDateTime": "2024-03"}, "2024-03"),
    ]
    records = read(tmp_path, *({**bare, **value, "id": f"o{number}"} for number, (value, _) in enumerate(values)))
    assert [value for (value,) in facts(records, "value")] == [written for _, written in values]
    assert not any(records.faults.values())


def test_components_stand_beside_each_other(tmp_path: Path) -> None:
    def part(code: str, value: int) -> dict[str, object]:
        return {
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueQuantity": {"value": value, "unit": "mmHg"},
        }

    pressure = without(observation(), "valueQuantity") | {
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "component": [part("8480-6", 120), part("8462-4", 80)],
    }
    records = read(tmp_path, pressure)
    assert facts(records, "code", "value", "unit", "token") == [
        ("8480-6", "120", "mmHg", "http://loinc.org|8480-6"),
        ("8462-4", "80", "mmHg", "http://loinc.org|8462-4"),
    ]


def test_a_value_is_asked_for_by_any_of_its_codes_and_a_shared_code_only_with_its_system(tmp_path: Path) -> None:
    two = {"coding": [{"system": "http://loinc.org", "code": "1988-5"}, {"system": "urn:lab", "code": "CRP"}]}
    other = {"coding": [{"system": "urn:ward", "code": "CRP"}]}
    records = read(tmp_path, observation(code=two), observation(code=other, id="o2"))
    assert facts(records, "code") == [("1988-5",), ("urn:lab|CRP",), ("urn:ward|CRP",)]


def test_a_record_was_known_when_it_was_issued_not_when_it_began(tmp_path: Path) -> None:
    condition = of_patient("Condition", onsetDateTime="2020-01-01")
    times: list[tuple[dict[str, object], str]] = [
        (observation(), "2024-03-01T08:00:00Z"),
        (observation(issued="2024-03-01T11:30:00+01:00"), "2024-03-01T11:30:00+01:00"),
        (observation(issued="2024-03-01T08:30:00+01:00"), "2024-03-01T08:00:00Z"),  # half past seven in UTC
        (observation(effectiveDateTime="2024-02"), "2024-02-29T23:59:59"),
        (observation(effectiveDateTime="2023"), "2023-12-31T23:59:59"),
        (
            without(observation(), "effectiveDateTime") | {"effectivePeriod": {"start": "2024-03-01", "end": "2024-03-02"}},
            "2024-03-02T23:59:59",
        ),
        (observation(status="amended", meta={"lastUpdated": "2024-04-01T00:00:00Z"}), "2024-04-01T00:00:00Z"),
        (condition | {"recordedDate": "2024-01-05"}, "2024-01-05T23:59:59"),
        (condition | {"meta": {"lastUpdated": "2024-02-01T00:00:00Z"}}, "2024-02-01T00:00:00Z"),
        (condition, ""),
        (
            of_patient(
                "Procedure", status="completed", performedPeriod={"start": "2024-01-01", "end": "2024-01-01T10:00:00+01:00"}
            ),
            "2024-01-01T10:00:00+01:00",
        ),
    ]
    records = read(tmp_path, *({**one, "id": f"o{number}"} for number, (one, _) in enumerate(times)))
    assert [time for (time,) in facts(records, "time")] == [time for _, time in times]
    assert not any(records.faults.values())


def test_mistakes_and_intentions_are_left_out_and_counted(tmp_path: Path) -> None:
    verified = {"coding": [{"system": "v", "code": "refuted"}]}
    order = of_patient("MedicationRequest", status="active", intent="order", authoredOn="2024-01-01T00:00:00Z")
    order["medicationCodeableConcept"] = order.pop("code")
    left = [
        observation(status="entered-in-error"),
        observation(status="cancelled"),
        of_patient("Condition", verificationStatus=verified),
        of_patient("Procedure", status="not-done"),
        order | {"intent": "plan"},
        order | {"doNotPerform": True},
        observation(subject={"reference": "Device/monitor"}),
        of_patient("Goal"),
    ]
    kept = [
        order,
        of_patient("Condition", recordedDate="2024-01-01T00:00:00Z"),
        without(of_patient("AllergyIntolerance"), "subject") | {"patient": {"reference": f"Patient/{SECRET}"}},
    ]
    records = read(tmp_path, *({**one, "id": f"x{number}"} for number, one in enumerate([*left, *kept])))
    assert facts(records, "kind", "value") == [
        ("MedicationRequest", "true"),
        ("Condition", "true"),
        ("AllergyIntolerance", "true"),
    ]
    assert sum(records.counts.values()) == len(left)
    assert not any(records.faults.values())
    assert SECRET not in str(records.counts)


def test_a_medication_may_stand_apart_even_later(tmp_path: Path) -> None:
    order = without(of_patient("MedicationRequest", status="active", intent="order"), "code")
    codes = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "308182"}]}
    medication = {"resourceType": "Medication", "id": "m1", "code": codes}
    records = read(
        tmp_path,
        order | {"medicationReference": {"reference": "Medication/m1"}},
        order | {"id": "x2", "medicationReference": {"reference": "#m"}, "contained": [{**medication, "id": "m"}]},
        medication,
    )
    assert facts(records, "code") == [("308182",), ("308182",)]


def test_a_record_twice_counts_once_and_in_two_versions_refuses_its_patient(tmp_path: Path) -> None:
    once = read(tmp_path / "a", observation(), observation())
    assert facts(once, "value") == [("5.5",)]
    twice = read(tmp_path / "b", observation(), observation(6.5))
    assert twice.faults["facts"][SECRET].code is Code.AMBIGUOUS


def test_an_encounter_of_two_patients_refuses_both(tmp_path: Path) -> None:
    stay = {"encounter": {"reference": "Encounter/e1"}}
    records = read(tmp_path, observation(**stay), observation(id="o2", subject=OTHER, **stay))
    assert set(records.faults["facts"]) == {SECRET, "another"}
    assert records.faults["facts"]["another"].code is Code.MIXED_PATIENTS


def test_an_encounter_without_a_literal_reference_costs_nothing(tmp_path: Path) -> None:
    records = read(tmp_path, observation(encounter={"display": "ward 3"}))
    assert facts(records, "encounter_id", "value") == [("", "5.5")]


def test_a_whole_definition_is_checked_where_it_is_asked_for(tmp_path: Path) -> None:
    odd = observation(category="laboratory")  # a list by its definition, and not an element that is used
    assert not read(tmp_path, odd).faults["facts"]
    assert read(tmp_path, odd, strict=True).faults["facts"][SECRET].code is Code.MALFORMED
    assert not read(tmp_path, observation(), strict=True).faults["facts"]


# --- bundles, notes, studies


def test_a_bundle_refers_by_its_full_urls(tmp_path: Path) -> None:
    entries = [
        {"fullUrl": "urn:uuid:0c3151bd", "resource": without(patient(), "id")},
        {
            "fullUrl": "urn:uuid:77",
            "resource": without(observation(subject={"reference": "urn:uuid:0c3151bd"}), "id"),
            "request": {"method": "POST", "url": "Observation"},
        },
    ]
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}, indent=2))
    records = read_fhir(tmp_path)
    assert facts(records, "patient_id", "value") == [("0c3151bd", "5.5")]
    assert list(records.tables["patients"]["patient_id"]) == ["0c3151bd"]


def test_pages_that_are_all_there_are_read(tmp_path: Path) -> None:
    def page(self_: str, next_: str | None, one: Mapping[str, object]) -> str:
        links = [{"relation": "self", "url": self_}] + ([{"relation": "next", "url": next_}] if next_ else [])
        return json.dumps(bundle(patient(), one, type_="searchset", link=links))

    (tmp_path / "1.json").write_text(page("https://a.example/1", "https://a.example/2", observation()))
    (tmp_path / "2.json").write_text(page("https://a.example/2", None, observation(id="o2")))
    records = read_fhir(tmp_path)
    assert len(records.tables["facts"]) == 2
    assert len(records.tables["patients"]) == 1


def test_notes_come_from_reports_documents_and_binaries(tmp_path: Path) -> None:
    page = b"<head><title>t</title><style>p {}</style></head><p>Heart &lt; 15&nbsp;cm.</p><script>x()</script><p>Clear.</p>"
    report = of_patient(
        "DiagnosticReport",
        status="final",
        effectiveDateTime="2024-03-01T08:00:00Z",
        issued="2024-03-01T10:00:00Z",
        presentedForm=[
            {"contentType": "application/pdf", "data": b64(b"%PDF")},
            {"contentType": "text/html; charset=UTF-8", "data": b64(page)},
        ],
        conclusion="Normal chest.",
        imagingStudy=[{"reference": "ImagingStudy/s1"}],
    )
    digest = hashlib.sha1(TEXT).digest()
    apart = document({"url": "Binary/b1", "size": len(TEXT), "hash": b64(digest)}, id="d2")
    scanned = document({"contentType": "application/pdf", "data": b64(b"%PDF")}, id="d3")
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": b64(TEXT)}
    study = {
        "resourceType": "ImagingStudy",
        "id": "s1",
        "status": "available",
        "subject": {"reference": f"Patient/{SECRET}"},
        "started": "2024-03-01T07:55:00Z",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.99.1"}, {"value": "ACC1"}],
    }
    records = read(tmp_path, report, apart, scanned, binary, study)
    notes = list(records.tables["notes"].itertuples(index=False, name=None))
    assert notes == [
        (SECRET, "s1", "2024-03-01T10:00:00Z", "Heart < 15 cm.\nClear.", "DiagnosticReport"),
        (SECRET, "s1", "2024-03-01T10:00:00Z", "Normal chest.", "DiagnosticReport"),
        (SECRET, "", "2024-03-01T09:00:00Z", TEXT.decode(), "DocumentReference"),
    ]
    assert list(records.tables["studies"].itertuples(index=False, name=None)) == [
        (SECRET, "s1", "1.2.840.99.1", "2024-03-01T07:55:00Z")
    ]
    assert not any(records.faults.values())
    assert records.counts == {"reports and documents without a form that is text": 1}


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<P CLASS='a>b'>Heart &lt; 15&nbsp;cm,<br/>lungs  clear</P>", "Heart < 15 cm,\nlungs clear"),
        ("CRP <5 and < 7", "CRP <5 and < 7"),
        ("<!DOCTYPE html><SCRIPT>if (a < b) x('</p>')</script >A<!-- <p>no</p> -->B", "AB"),
        ("<title/>A<style>p {}</style>B", "AB"),
        ("&lt;script&gt;", "<script>"),
    ],
)
def test_a_page_gives_what_its_reader_sees(page: str, text: str) -> None:
    assert text_of(page) == text


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["<!", "<!--", "<a ", "&", "<", "</", "<a b='", "<?", "<script>", "<p>", "&#", "<![CDATA["])
def test_a_hostile_page_takes_no_longer_than_its_length(piece: str) -> None:
    try:
        ending = len(text_of(piece * ((1 << 22) // len(piece)))) <= 1 << 22
    except Rejected as reason:
        ending = reason.code is Code.MALFORMED
    assert ending


def test_studies_of_an_export_can_be_the_studies_table(tmp_path: Path) -> None:
    study = {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": {"reference": f"Patient/{SECRET}"},
        "started": "2024-03-01T07:55:00Z",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
    }
    read(tmp_path / "fhir", study | {"id": "s1"}, study | {"id": "s2", "subject": OTHER, "identifier": []})
    sources = Sources.open(CohortSettings(root=tmp_path, studies="fhir/studies", time="time"))
    one, other = read_studies(sources, None)
    assert (one.patient_id, one.study_id, one.cells["study_uid"]) == (SECRET, "s1", "1.2.3")
    assert not one.rejected
    assert other.rejected["fhir/studies"].code is Code.MALFORMED


def test_a_run_file_asks_for_the_whole_definition_and_learns_what_was_left_out(tmp_path: Path) -> None:
    read(tmp_path / "fhir", observation(category="laboratory"), observation(id="o2", status="cancelled", subject=OTHER))
    for strict, faults in ((False, set()), (True, {SECRET})):
        sources = Sources.open(CohortSettings(root=tmp_path, strict_records=strict))
        sources.table("fhir/facts", [])
        assert set(sources.faults("fhir/facts")) == faults
        assert sources.left_out() == {"fhir": {"Observation with the status cancelled": 1}}


def test_patients_are_a_wide_table(tmp_path: Path) -> None:
    linked = [{"other": {"reference": "Patient/p1"}, "type": "seealso"}]
    read(tmp_path / "fhir", patient(gender="female", birthDate="1961-05"), patient("another", link=linked))
    (tmp_path / "studies.csv").write_text(f"patient_id,study_id,time\n{SECRET},s1,2024-03-02\nanother,s2,2024-03-02\n")
    sources = Sources.open(CohortSettings(root=tmp_path, time="time"))
    person = TabularSettings.model_validate({"table": "fhir/patients", "by": "patient", "categorical": ["sex", "birth_date"]})
    first, second = gather({"person": person.open("person")}, sources, read_studies(sources, None))
    assert first.evidence["person"].cells == {"sex": "female", "birth_date": "1961-05"}
    assert not second.evidence
    assert sources.left_out() == {"fhir": {"patients who are linked to a second record": 1}}


def test_a_folder_of_two_kinds_is_refused(tmp_path: Path) -> None:
    read(tmp_path / "fhir", observation())
    (tmp_path / "fhir" / "a.hl7").write_text("MSH|")
    with pytest.raises(Rejected) as caught:
        Sources.open(CohortSettings(root=tmp_path)).table("fhir/facts", [])
    assert caught.value.code is Code.AMBIGUOUS


def test_a_plain_file_wins_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    read(tmp_path / "fhir", observation())
    (tmp_path / "other").mkdir()
    sources = Sources.open(CohortSettings(root=tmp_path))
    for name in ("fhir/fact", "other/facts", "nowhere/facts", "facts"):
        with pytest.raises(DataError, match="no table"):
            sources.table(name, [])
    (tmp_path / "fhir" / "facts").write_text("patient_id,code\n1,2\n")
    assert list(sources.table("fhir/facts", []).columns) == ["patient_id", "code"]
