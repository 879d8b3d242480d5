"""Whatever stands in a tag, none of it becomes a printed line, a log record, a file name or an error."""

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydicom.uid import generate_uid
from test_readers_dicom import FILM, save

from medmm.cohort.scan import scan
from medmm.errors import Rejected
from medmm.package import Package
from medmm.readers import read_series
from medmm.scoring.engine import Options
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies

MARK = "EVIL"
TEXTS = {
    "climb": b"../../../tmp/EVIL",
    "absolute": b"/tmp/EVIL",
    "script": b"<script>EVIL</script>",
    "formula": b"=cmd|' /C calc'!EVIL",
    "lines": b"EVIL\r\nEVIL\nE_GAP: EVIL",
    "terminal": b"\x1b[31mEVIL\x1b]0;EVIL\x07",
    "markup": b"[red]EVIL[/red][/]",
    "latin": b"EVIL^\xc4\xd6\xdc",
    "zero": b"EVIL\0EVIL",
    "percent": b"%s%n{EVIL}${EVIL}",
    "name": b"EVIL^JANE^^^",
}
KEYWORDS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
    "AccessionNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "PatientName",
    "StudyID",
    "ConvolutionKernel",
    "SpecificCharacterSet",
    "ImageType",
    "Units",
    "RescaleType",
)
NUMBERS = (
    "SeriesNumber",
    "EchoTime",
    "SliceThickness",
    "NumberOfFrames",
    "PixelSpacing",
    "RescaleSlope",
    "StudyDate",
    "StudyTime",
)
"""Where text breaks an image, or its study."""

PROGRAM = "from medmm.workflows.cli import main; main()"


def write(path: Path, text: bytes, *keywords: str, cut: int = 0) -> None:
    """Write a radiograph of its own study with a text in each of these attributes, whatever the standard allows there."""
    stand_ins = {keyword: str(1_000_000_007 + number).ljust(len(text), "7") for number, keyword in enumerate(keywords)}
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(path, **(FILM | {"Rows": 3, "Columns": 4, "ImageType": None} | uids | stand_ins))
    content = path.read_bytes()
    for stand_in in stand_ins.values():
        content = content.replace(stand_in.encode(), text)
    path.write_bytes(content[: len(content) - cut])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Studies with hostile tags: whole ones, ones that are cut off, and ones in which a single tag breaks the image."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    logging.getLogger("pydicom").disabled = False
    for name, text in TEXTS.items():
        for kind, keywords, cut in (("whole", KEYWORDS, 0), ("cut", KEYWORDS, 5)):
            place = folder / f"{name}-{kind}"
            place.mkdir()
            write(place / "a", text, *keywords, cut=cut)
        for keyword in (*KEYWORDS, *NUMBERS):
            place = folder / f"{name}-{keyword}"
            place.mkdir()
            write(place / "a", text, keyword)
    return folder


def clean(text: str) -> None:
    for line in text.splitlines():
        assert MARK not in line
    assert "\x1b]0;" not in text
    assert "calc" not in text


def test_reading_and_scanning_tell_nothing(folder: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.clear()
    read = refused = 0
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = scan(folder)
        for series in found.series:
            clean(str(series.problem))
        for place in sorted(folder.iterdir()):
            try:
                (volume,) = read_series(place)
                clean(volume.modality)
                read += 1
            except Rejected as reason:
                clean(str(reason))
                clean(repr(reason))
                refused += 1
    assert min(read, refused) > len(TEXTS)
    for text in (*(str(one.message) for one in warned), *caplog.messages, *capfd.readouterr()):
        clean(text)


@pytest.mark.parametrize("workers", [0, 2])
def test_scoring_tells_nothing_but_the_two_identifiers(
    package: Package, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any, workers: int
) -> None:
    told: list[str] = []
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        studies = find_studies(package, folder, told.append, tmp_path / "out" / "cache")
        done = score(package, studies, tmp_path / "out", Options(workers=workers))
    assert done.scored > 0
    assert sum(done.rejected.values()) > len(TEXTS)
    for text in (*told, *caplog.messages, *capfd.readouterr()):
        clean(text)
    for path in (tmp_path / "out").rglob("*"):
        clean(path.name)
    for name in ("scores", "rejected"):
        frame = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert frame[["patient_id", "study_id"]].stack().str.contains(MARK).any()  # results name the study as its header does
        clean(frame.drop(columns=["patient_id", "study_id"]).to_csv())
    assert not list(Path("/tmp").glob(f"*{MARK}*"))


def test_the_commands_tell_nothing(saved: Path, folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "200", "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    out = tmp_path / "out"
    for words in (
        ("inspect", str(folder), "--json", str(tmp_path / "answer.json")),
        ("score", str(saved), str(folder), "--out", str(out)),
        ("score", str(saved), str(folder), "--out", str(out), "--workers", "0"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        clean(done.stdout)
        clean(done.stderr)
    clean((tmp_path / "answer.json").read_text())
    for path in tmp_path.rglob("*"):
        clean(path.name)
    assert (out / "scores.parquet").is_file()
