"""FHIR Bulk Data: from NDJSON files to tables of text, beside fhir.resources' models and decoding alone."""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.measure import OURS, Result, Timed, interleaved, peak_mib
from medmm.readers.fhir import read_fhir

PATIENTS = 1_000
OBSERVATIONS = 48
"""Of each patient; two more resources are the Patient and an Encounter."""

RIVAL = "fhir.resources, a model for each resource"
STRICT = "ours, strict"
LIMIT = "json.loads of each line"
REPEATS = 3

OURS_CODE = "import sys, pathlib\nfrom medmm.readers.fhir import read_fhir\nread_fhir(pathlib.Path(sys.argv[1]))"
LIMIT_CODE = "import sys\nfrom pathlib import Path\nfrom benchmarks.fhir import decode\ndecode(Path(sys.argv[1]))"


def run() -> list[Result]:
    """Measure an export in which most resources are Observations."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = make_export(folder)
        ways: Mapping[str, Callable[[], object]] = {
            OURS: partial(read_fhir, folder),
            STRICT: partial(read_fhir, folder, strict=True),
            RIVAL: partial(parse_models, folder),
            LIMIT: partial(decode, folder),
        }
        seconds = interleaved(ways, REPEATS)
        peaks = {OURS: peak_mib(OURS_CODE, [temporary]), LIMIT: peak_mib(LIMIT_CODE, [temporary])}
    rows = {name: Timed(seconds[name], peaks.get(name)) for name in ways}
    verdict = (
        f"{count / seconds[OURS]:,.0f} resources a second, {seconds[RIVAL] / seconds[OURS]:.1f} times as fast as models; "
        f"{seconds[OURS] / seconds[LIMIT]:.1f} times the time of decoding alone. With each resource held against its whole "
        f"definition (`strict`) {count / seconds[STRICT]:,.0f} a second."
    )
    return [
        Result(f"A bulk export of {PATIENTS:,} patients: {count:,} resources in 3 files", rows, count, "resources", verdict)
    ]


def make_export(folder: Path) -> int:
    """Write the patients, their encounters and their observations, and give the number of resources."""
    kinds = {
        "Patient": [patient(number) for number in range(PATIENTS)],
        "Encounter": [encounter(number) for number in range(PATIENTS)],
        "Observation": [observation(one, number) for one in range(PATIENTS) for number in range(OBSERVATIONS)],
    }
    for name, resources in kinds.items():
        (folder / f"{name}.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in resources), encoding="utf-8")
    return sum(len(resources) for resources in kinds.values())


def patient(number: int) -> dict[str, object]:
    return {"resourceType": "Patient", "id": f"p{number}", "gender": "female", "birthDate": "1961-05-04"}


def encounter(number: int) -> dict[str, object]:
    return {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/p{number}"},
        "period": {"start": "2024-03-01T08:00:00+01:00", "end": "2024-03-04T10:00:00+01:00"},
    }


def observation(one: int, number: int) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "id": f"o{one}-{number}",
        "meta": {"versionId": "1", "lastUpdated": "2024-03-05T01:00:00.000+01:00"},
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": f"{1000 + number}-5", "display": "A laboratory value"}]},
        "subject": {"reference": f"Patient/p{one}"},
        "encounter": {"reference": f"Encounter/e{one}"},
        "effectiveDateTime": f"2024-03-01T{number % 24:02d}:00:00+01:00",
        "issued": f"2024-03-01T{number % 24:02d}:40:00.000+01:00",
        "valueQuantity": {
            "value": number + one / 10,
            "unit": "mg/L",
            "system": "http://unitsofmeasure.org",
            "code": "mg/L",
        },
    }


def parse_models(folder: Path) -> None:
    """Make a model of each resource."""
    from fhir.resources.R4B import get_fhir_model_class

    for path in sorted(folder.iterdir()):
        model = get_fhir_model_class(path.stem)
        with path.open("rb") as file:
            for line in file:
                model.model_validate_json(line)


def decode(folder: Path) -> None:
    """Decode each line, and keep nothing."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            for line in file:
                json.loads(line)
