"""The table of refusals in the docs: every code, in the words of `errors.py`, with a message that the code really gives.

Where this fails, the assertion shows the line that docs/refusals.md should have.
"""

import ast
import gzip
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from signals import csv_table, ecg
from test_readers_dicom import encapsulated, save, save_stack

import medmm.errors
from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.target import TargetSettings
from medmm.dataset.decode import LOST
from medmm.errors import Code, Rejected
from medmm.inputs.signal_preparation import segments_of
from medmm.inputs.tabular import TabularSettings
from medmm.readers import read_image, read_series
from medmm.readers.waveform import read_waveform
from medmm.readers.waveform_checks import check_waveform
from medmm.rules.book import bind_rules
from medmm.rules.settings import Rule
from medmm.scoring.compute import Compute
from medmm.scoring.dicomweb.incoming import not_fetched
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.rows import Outcome
from medmm.scoring.run import still_changing
from medmm.types import Array, Evidence, Study

DOCS = Path(__file__).parents[1] / "docs" / "refusals.md"
ROW = "study in row 12"


def rows() -> dict[str, list[str]]:
    """Give the cells of each row of the table by its code, in order."""
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `E_")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    assert len({row[0] for row in cells}) == len(cells), "a code stands twice"
    return {row[0].strip("`"): row[1:] for row in cells}


def meanings() -> dict[str, str]:
    """Give the text below each code in errors.py."""
    tree = ast.parse(Path(medmm.errors.__file__).read_text(encoding="utf-8"))
    body = next(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Code")
    found = {}
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            found[ast.literal_eval(member.value)] = str(ast.literal_eval(text.value))
    return found


def image(folder: Path) -> Rejected:
    """Give the refusal of a folder's files as one image."""
    with pytest.raises(Rejected) as caught:
        read_image(sorted(folder.iterdir()))
    return caught.value


def not_an_image(folder: Path) -> Rejected:
    (folder / "a").write_text("notes")
    return image(folder)


def empty(folder: Path) -> Rejected:
    (folder / "a").touch()
    return image(folder)


def truncated(folder: Path) -> Rejected:
    file = save_stack(folder, [0, 2, 4])[2]
    file.write_bytes(file.read_bytes()[:-4])
    return image(folder)


def malformed(folder: Path) -> Rejected:
    (folder / "a.dcm").write_bytes(b"no image " * 100)
    with pytest.raises(Rejected) as caught:
        read_series(folder)
    return caught.value


def header(folder: Path) -> Rejected:
    save(folder / "a", PixelSpacing=None)
    return image(folder)


def no_decoder(folder: Path) -> Rejected:
    save(folder / "a", encapsulated([b"\0\0"]), "1.2.840.10008.1.2.4.94")
    return image(folder)


def gap(folder: Path) -> Rejected:
    save_stack(folder, [0, 2, 4, 8])
    return image(folder)


def duplicate(folder: Path) -> Rejected:
    save_stack(folder, [0, 2, 2, 4])
    return image(folder)


def tilt(folder: Path) -> Rejected:
    for number in range(4):
        save(folder / str(number), ImagePositionPatient=[10, 20 + 0.4 * number, 2 * number])
    return image(folder)


def mixed_series(folder: Path) -> Rejected:
    save_stack(folder, [0, 2])
    save(folder / "x", ImagePositionPatient=[10, 20, 4], ConvolutionKernel="B60f")
    return image(folder)


def mixed_patients(folder: Path) -> Rejected:
    save_stack(folder, [0, 2])
    save(folder / "x", ImagePositionPatient=[10, 20, 4], PatientID="p2")
    return image(folder)


def unsupported(folder: Path) -> Rejected:
    save(folder / "a", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", Modality="RTDOSE")
    return image(folder)


def too_large(folder: Path) -> Rejected:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), folder / "a.nii")
    (folder / "a.nii.gz").write_bytes(gzip.compress((folder / "a.nii").read_bytes() + bytes(1000)))
    (folder / "a.nii").unlink()
    return image(folder)


def recording(content: bytes) -> Callable[[Path], Rejected]:
    """Give the refusal of a file as a signal."""

    def read(folder: Path) -> Rejected:
        (folder / "a").write_bytes(content)
        with pytest.raises(Rejected) as caught:
            check_waveform(read_waveform([folder / "a"]))
        return caught.value

    return read


def leads(change: Callable[[Array], object]) -> bytes:
    """Write an ECG of ten seconds at 500 Hz whose second lead was changed."""
    values = np.stack([ecg(5000, 500, np.random.default_rng(seed)) for seed in (1, 2)])
    change(values[1])
    return csv_table(values)


def disconnect(lead: Array) -> None:
    lead[1000:] = 0


def overdrive(lead: Array) -> None:
    np.clip(lead, -np.abs(lead).max() / 8, np.abs(lead).max() / 8, out=lead)


def lose(lead: Array) -> None:
    lead[2000:2012] = np.nan


def unit(folder: Path) -> Rejected:
    labs = "patient_id,time,code,value,unit\np1,2024-02-01,crp,0.7,mmol/L\n"
    settings = TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "numeric": {"crp": {"unit": "mg/L"}}})
    return table_row(folder, settings, labs)


def ambiguous(folder: Path) -> Rejected:
    labs = "patient_id,time,code,value,unit\np1,2024-02-01,crp,7,mg/L\np1,2024-02-01,crp,300,mg/L\n"
    settings = TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "numeric": {"crp": {}}})
    return table_row(folder, settings, labs)


def table_row(folder: Path, settings: TabularSettings, labs: str) -> Rejected:
    (folder / "studies.csv").write_text("patient_id,study_id,time\np1,s1,2024-03-01\n")
    (folder / "labs.csv").write_text(labs)
    sources = Sources.open(CohortSettings(root=folder, time="time"))
    (found,) = settings.open("labs").gather(sources, read_studies(sources, None))
    assert isinstance(found, Rejected)
    return found


def cell(text: str) -> Callable[[Path], Rejected]:
    def read(_: Path) -> Rejected:
        one = TabularSettings.model_validate({"table": "x", "numeric": {"crp": {"range": [0, 600]}}}).open("labs")
        with pytest.raises(Rejected) as caught:
            one.read(Evidence(cells={"crp": text}))
        return caught.value.at(f"{ROW}, input labs")

    return read


def category(_: Path) -> Rejected:
    target = TargetSettings.model_validate({"column": "x", "task": "multiclass", "classes": ["healthy", "pneumonia"]})
    with pytest.raises(Rejected) as caught:
        target.encode("fracture")
    return caught.value


def ruled(_: Path) -> Rejected:
    inputs = {"labs": TabularSettings.model_validate({"table": "x", "numeric": {"crp": {}}})}
    rule = Rule.model_validate({"name": "odd", "when": "labs.crp > 500", "then": {"reject": "labs"}})
    target = TargetSettings(column="x", positive="y")
    study = Study(12, "p1", "s1", evidence={"labs": Evidence(cells={"crp": "501"})})
    return bind_rules([rule], inputs, CohortSettings(root=Path()), target).before(study).rejected["labs"]


def no_input(_: Path) -> str:
    model, book = SimpleNamespace(to=lambda device: None), SimpleNamespace(rules=())
    package = SimpleNamespace(model=model, inputs={}, digest="", rules=(), rulebook=lambda: book)
    package.tile = 1
    ((rejected,),) = score_stream(cast(Any, package), [Study(12, "p1", "s1")], Options(workers=0))
    return str(rejected.row["reason"])


def changing(_: Path) -> str:
    return str(still_changing(Study(12, "p1", "s1")))


def transfer(_: Path) -> Rejected:
    return not_fetched(ROW, "no answer within the time limit")


def no_number(_: Path) -> str:
    package = SimpleNamespace(target=TargetSettings(column="x", positive="y"), digest="", rules=())
    package.rulebook = lambda: SimpleNamespace(moves=False)
    study = Study(12, "p1", "s1")
    said = Outcome(study, {"probability_y": math.nan})
    (rejected,) = Compute(cast(Any, package), lambda studies, tile: [said], 1, str)([(study, {})])
    return str(rejected.row["reason"])


def short(_: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        segments_of(np.zeros((1, 1000)), 1250, 1)
    return caught.value


def lost(code: Code) -> Callable[[Path], Rejected]:
    return lambda _: Rejected(code, f"{ROW}, reader", *LOST[code])


EXAMPLES: dict[Code, Callable[[Path], Rejected | str]] = {
    Code.NOT_AN_IMAGE: not_an_image,
    Code.EMPTY: empty,
    Code.TRUNCATED: truncated,
    Code.MALFORMED: malformed,
    Code.HEADER: header,
    Code.NO_DECODER: no_decoder,
    Code.GAP: gap,
    Code.DUPLICATE: duplicate,
    Code.TILT: tilt,
    Code.MIXED_SERIES: mixed_series,
    Code.MIXED_PATIENTS: mixed_patients,
    Code.UNSUPPORTED: unsupported,
    Code.TOO_LARGE: too_large,
    Code.NOT_A_SIGNAL: recording(b"notes"),
    Code.LEADS: recording(b"time,II,Lead II\n0,1,2\n0.002,2,3\n"),
    Code.RATE: recording(b"time,II\n0,1\n0.002,2\n0.004,3\n0.008,4\n0.01,5\n"),
    Code.SHORT: short,
    Code.FLAT: recording(leads(disconnect)),
    Code.CLIPPED: recording(leads(overdrive)),
    Code.NOT_FINITE: recording(leads(lose)),
    Code.UNIT: unit,
    Code.RANGE: cell("601"),
    Code.TYPE: cell("12,5"),
    Code.CATEGORY: category,
    Code.AMBIGUOUS: ambiguous,
    Code.RULE: ruled,
    Code.NO_INPUT: no_input,
    Code.CHANGING: changing,
    Code.TRANSFER: transfer,
    Code.CRASH: lost(Code.CRASH),
    Code.TIMEOUT: lost(Code.TIMEOUT),
    Code.MEMORY: lost(Code.MEMORY),
    Code.MODEL: no_number,
}


def test_every_code_stands_in_the_table_and_no_other() -> None:
    assert list(rows()) == [code.value for code in Code]


@pytest.mark.parametrize("code", Code)
def test_a_row_says_what_the_code_means_with_a_message_that_is_really_given(code: Code, tmp_path: Path) -> None:
    example = str(EXAMPLES[code](tmp_path))
    assert example.startswith(f"{code.value}: ")
    meaning, shown, repair = rows().get(code.value, ["", "", ""])
    assert (meaning, shown) == (meanings()[code.value], f"`{example}`")
    assert repair
