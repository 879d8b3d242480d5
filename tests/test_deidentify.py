"""An export without identifiers: nothing planted is left, what belongs together stays together, and images are the same."""

import base64
import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import planted_headers as planted
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from rich.console import Console
from test_end_to_end import run_file
from typer.testing import CliRunner

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import parse_config
from medmm.errors import ConfigError
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues
from medmm.privacy.verify import Sought, Written, verifier
from medmm.readers.quiet import quiet
from medmm.scoring.engine import Options
from medmm.training.tracking import TrackingSettings
from medmm.workflows.cli import app
from medmm.workflows.deidentify import Deidentified, deidentify
from medmm.workflows.score import Manner, score_studies
from medmm.workflows.screen import Screen
from medmm.workflows.train import train

SCREEN = Screen(Console(quiet=True))
KEY = Key(bytes(range(32)))


def key_in(folder: Path) -> Path:
    (folder / "key").write_text(KEY.secret.hex())
    return folder / "key"


def export(source: Path, folder: Path, *, quarantine: Path | None = None, pixels_checked: bool = False) -> Deidentified:
    return deidentify(
        source, folder / "out", key_in(folder), SCREEN, quarantine=quarantine, pixels_checked=pixels_checked, workers=2
    )


def forms(text: str) -> Iterator[bytes]:
    """Give how a text may look in a file."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "iso2022_jp", "shift_jis", "gb18030"):
        for one in {text, text.upper(), text.lower(), text.title()}:
            with suppress(UnicodeEncodeError):
                yield one.encode(encoding)
    raw = text.encode()
    yield raw.hex().encode()
    for before in range(3):  # the whole letters in the middle, which hang on nothing beside them
        if len(middle := base64.b64encode(bytes(before) + raw)[4 if before else 0 : -4]) >= 8:
            yield middle


def content_of(folder: Path) -> list[bytes]:
    """Give the bytes of all files below a folder, of deflated ones the data set too, and of their places."""
    contents = []
    for path in sorted(folder.rglob("*")):
        contents.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            contents.append(path.read_bytes())
            if contents[-1][128:132] == b"DICM":
                with quiet():
                    contents.append(str(pydicom.dcmread(path)).encode())
    return contents


@pytest.fixture(scope="module")
def full_of_names(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("planted") / "in"
    found: dict[str, str] = {}
    with quiet():
        for number, syntax in enumerate(planted.SYNTAXES):
            dataset = planted.base(syntax, instance=number + 1)
            found |= planted.planted(dataset)
            found |= planted.write(dataset, root, number)
    return root, found


def test_of_all_planted_identifiers_none_is_left_in_any_byte(
    full_of_names: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, found = full_of_names
    assert len(found) >= 57
    assert len(set(found.values())) == len(found)
    before = b"\n".join(content_of(root)).lower()
    assert not [name for name, text in found.items() if text.lower().encode() not in before], "never planted"
    done = export(root, tmp_path)
    assert (done.images, done.left, dict(done.behind)) == (len(planted.SYNTAXES), 0, {})
    contents = content_of(tmp_path / "out")
    left = [name for name, text in found.items() for form in forms(text) if any(form in one for one in contents)]
    assert not left


def test_a_name_in_another_character_set_is_not_left_either(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for number, (charset, name) in enumerate(
        (("ISO_IR 100", "Müñoz^Ægir"), ("ISO_IR 144", "Люксeмбург^Роза"), ("\\ISO 2022 IR 87", "Yamada^Taro=山田^太郎"))
    ):
        dataset = planted.base(instance=number + 1)
        dataset.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
        dataset.PatientName = name
        dataset.OtherPatientNames = name
        dataset.SeriesDescription = name
        dataset.save_as(root / str(number), enforce_file_format=True)
    assert export(root, tmp_path).images == 3
    contents = content_of(tmp_path / "out")
    for part in ("Müñoz", "Люксeмбург", "Yamada", "山田", "太郎"):
        assert not any(form in one for form in forms(part) for one in contents)


def cleaned_by_uid(folder: Path) -> dict[str, Dataset]:
    return {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, sorted(folder.rglob("*.dcm")))}


def test_uids_are_the_same_everywhere_and_intervals_stay(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    days = {("A", 1): "20200110", ("A", 2): "20200301", ("B", 3): "20200110"}
    for (patient, number), day in days.items():
        dataset = planted.base(instance=number, day=day)
        dataset.PatientID = patient
        dataset.StudyInstanceUID = f"1.2.3.{number}"
        dataset.AcquisitionDateTime = f"{day}120000.500000+0100"
        with quiet():  # neither is a date of the standard of today
            dataset.AcquisitionDate = f"{day[:4]}.{day[4:6]}.{day[6:]}"
            dataset.ContentDate = day[:6]
        reference = Dataset()
        reference.ReferencedSOPClassUID = dataset.SOPClassUID
        reference.ReferencedSOPInstanceUID = planted.base(instance=1).SOPInstanceUID
        dataset.SourceImageSequence = [reference]
        dataset.save_as(root / f"{number}", enforce_file_format=True)
    export(root, tmp_path)
    found = cleaned_by_uid(tmp_path / "out")
    ones = {number: found[KEY.uid(planted.base(instance=number).SOPInstanceUID)] for number in (1, 2, 3)}
    for (patient, number), day in days.items():
        one = ones[number]
        moved = date.fromisoformat(day) + timedelta(KEY.days(patient))
        assert one.StudyDate == one.AcquisitionDate == f"{moved:%Y%m%d}"
        assert one.AcquisitionDateTime == f"{moved:%Y%m%d}120000.500000+0100"
        assert (one.StudyTime, one.ContentDate) == ("101112", "")
        assert one.PatientID == one.PatientName == KEY.pseudonym("patient", patient)
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.StudyInstanceUID == KEY.uid(f"1.2.3.{number}")
        assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == ones[1].SOPInstanceUID
        assert one.SourceImageSequence[0].ReferencedSOPClassUID == one.SOPClassUID == planted.base().SOPClassUID
        assert (one.PatientIdentityRemoved, one.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
        assert "113100" in [code.CodeValue for code in one.DeidentificationMethodCodeSequence]
    assert ones[1].FrameOfReferenceUID == ones[2].FrameOfReferenceUID
    assert len({Path(str(path.parent.parent.parent)) for path in (tmp_path / "out").rglob("*.dcm")}) == 2
    assert KEY.days("A") != KEY.days("B")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "in"
    make_cohort(folder, SyntheticSettings(patients=48, radiograph_size=32, ct_size=32, ct_slices=4, seed=5))
    return folder


@pytest.fixture(scope="module")
def clean_cohort(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    done = export(cohort, folder)
    assert (done.left, dict(done.behind)) == (0, {})
    assert done.tables is not None
    assert (done.tables.files, done.tables.quarantined) == (4, 0)
    return folder / "out"


def test_tables_name_the_patients_and_studies_of_the_headers(cohort: Path, clean_cohort: Path) -> None:
    raw, clean = (pd.read_csv(root / "studies.csv", dtype=str) for root in (cohort, clean_cohort))
    assert list(clean["patient_id"]) == [KEY.pseudonym("patient", one) for one in raw["patient_id"]]
    headers = {one.StudyInstanceUID: one for one in cleaned_by_uid(clean_cohort).values()}
    seen = 0
    for row in clean.itertuples():
        if (one := headers.get(row.study_uid)) is not None:
            assert (row.patient_id, row.study_id) == (one.PatientID, one.AccessionNumber)
            assert str(row.time)[:10].replace("-", "") == one.StudyDate
            seen += 1
    assert seen > 40
    everybody = {*raw["patient_id"], *raw["study_id"], *raw["study_uid"]}
    for path in clean_cohort.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [one for one in everybody if one.encode() in content], path.suffix


def test_pixels_and_transfer_syntax_are_the_same_to_the_byte(cohort: Path, clean_cohort: Path) -> None:
    found = cleaned_by_uid(clean_cohort)
    syntaxes = set()
    files = [path for path in (cohort / "dicom").rglob("*") if path.is_file()]
    assert len(files) == len(found)
    for path in files:
        one = pydicom.dcmread(path)
        other = found[KEY.uid(one.SOPInstanceUID)]
        syntaxes.add(one.file_meta.TransferSyntaxUID)
        assert other.file_meta.TransferSyntaxUID == one.file_meta.TransferSyntaxUID
        assert other.PixelData == one.PixelData
        for keyword in (
            "ImagePositionPatient",
            "PixelSpacing",
            "RescaleSlope",
            "WindowCenter",
            "PatientAge",
            "BodyPartExamined",
        ):
            assert other.get(keyword) == one.get(keyword), keyword
    assert len(syntaxes) >= 4


def test_a_model_says_the_same_of_the_clean_cohort(cohort: Path, clean_cohort: Path, saved: Path, tmp_path: Path) -> None:
    scores = {}
    for name, root in (("raw", cohort), ("clean", clean_cohort)):
        score_studies(str(saved), root, tmp_path / name / "scores", TrackingSettings(), SCREEN, Manner(Options(workers=0)))
        scores[name] = pd.read_parquet(tmp_path / name / "scores" / "scores.parquet").set_index("study_id")
    assert len(scores["raw"]) == len(pd.read_csv(cohort / "studies.csv"))
    scores["raw"].index = pd.Index([KEY.pseudonym("study", one) for one in scores["raw"].index], name="study_id")
    columns = [name for name in scores["raw"] if name.startswith(("probability", "contribution", "inputs", "abstain"))]
    assert "probability_pneumonia" in columns
    pd.testing.assert_frame_equal(scores["clean"].loc[scores["raw"].index, columns], scores["raw"][columns], check_exact=True)


@pytest.mark.slow
def test_the_clean_cohort_trains_and_scores_the_same(cohort: Path, clean_cohort: Path, tmp_path: Path) -> None:
    roots = {"raw": tmp_path / "raw", "clean": tmp_path / "clean"}
    shutil.copytree(cohort, roots["raw"])
    shutil.copytree(clean_cohort, roots["clean"])
    studies = pd.read_csv(cohort / "studies.csv", dtype=str, keep_default_na=False)
    patients = sorted(set(studies["patient_id"]))
    part = {one: ("train", "train", "validation", "test")[place % 4] for place, one in enumerate(patients)}
    scores, weights = {}, {}
    for name, root in roots.items():
        table = pd.read_csv(root / "studies.csv", dtype=str, keep_default_na=False)
        table["part"] = [part[patient] for patient in studies["patient_id"]]
        table.to_csv(root / "studies.csv", index=False)
        content = run_file(tmp_path / name, root, epochs=2, patience=2)
        content["split"] = {"by": "column", "column": "part"}
        content["model"] = {"width": 16, "fusion": "concat"}
        trained = train(parse_config(content, "small.yaml"), SCREEN)
        weights[name] = json.loads((trained.package / "manifest.json").read_text())["files"]["weights.safetensors"]
        tracking = TrackingSettings(uri=f"sqlite:///{tmp_path / name / 'mlflow.db'}")
        score_studies(str(trained.package), root, tmp_path / name / "scores", tracking, SCREEN, Manner(Options(workers=0)))
        table = pd.read_parquet(tmp_path / name / "scores" / "scores.parquet").set_index("study_id")
        keys = studies["study_id"] if name == "raw" else [KEY.pseudonym("study", one) for one in studies["study_id"]]
        scores[name] = table["probability_pneumonia"].reindex(keys).to_numpy()
    assert np.isfinite(scores["raw"]).all()
    np.testing.assert_array_equal(scores["raw"], scores["clean"])
    assert weights["raw"] == weights["clean"]


def behind(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "quarantine.csv").open() as file:
        return list(csv.DictReader(file))


def changed(**values: object) -> Dataset:
    dataset = planted.base()
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def overlay_within_pixels() -> Dataset:
    dataset = planted.base()
    dataset.add_new(0x60000010, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    return dataset


def with_more_than_pixels() -> Dataset:
    dataset = planted.base()
    dataset.PixelData = dataset.PixelData + b"Zqfam^Zqgiv."
    return dataset


REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
QUARANTINED = {
    "burned in": (changed(BurnedInAnnotation="YES"), "Q_BURNED_IN"),
    "overlay in pixels": (overlay_within_pixels(), "Q_BURNED_IN"),
    "capture": (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), "Q_RISK"),
    "ultrasound": (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", Modality="US"), "Q_RISK"),
    "derived": (changed(ImageType=["DERIVED", "PRIMARY"]), "Q_RISK"),
    "secondary": (changed(ImageType=["ORIGINAL", "SECONDARY"]), "Q_RISK"),
    "converted": (changed(ConversionType="WSD"), "Q_RISK"),
    "dose report": (changed(SeriesDescription="Patient Protocol"), "Q_RISK"),
    "face": (changed(RecognizableVisualFeatures="YES"), "Q_RECOGNIZABLE"),
    "report": (changed(SOPClassUID=REPORT, PixelData=None), "Q_NO_IMAGE"),
    "document": (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1"), "Q_NO_IMAGE"),
    "presentation": (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1"), "Q_NO_IMAGE"),
    "class of a vendor": (changed(SOPClassUID="1.3.12.2.1107.5.9.1"), "Q_NO_IMAGE"),
    "class of nobody": (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.99"), "Q_NO_IMAGE"),
    "nobody": (changed(PatientID=""), "Q_NO_PATIENT"),
    "too many bytes": (with_more_than_pixels(), "Q_PIXELS_TOO_LONG"),
    "geometry": (changed(PixelSpacing=[0.5, 0.5, 0.5]), "E_HEADER"),
}


@pytest.mark.parametrize("name", QUARANTINED)
def test_what_may_show_a_name_stays_behind(name: str, tmp_path: Path) -> None:
    dataset, code = QUARANTINED[name]
    (tmp_path / "in").mkdir()
    dataset.save_as(tmp_path / "in" / "Zqfam.dcm", enforce_file_format=True)
    planted.base(instance=9).save_as(tmp_path / "in" / "good.dcm", enforce_file_format=True)
    done = export(tmp_path / "in", tmp_path, quarantine=tmp_path / "kept")
    assert (done.images, dict(done.behind)) == (1, {code: 1})
    (row,) = behind(tmp_path)
    assert row["code"] == code
    assert row["patient"] == (KEY.pseudonym("patient", planted.PATIENT_NUMBER) if code != "Q_NO_PATIENT" else "")
    kept = tmp_path / "kept" / f"{row['file']}.dcm"
    assert kept.read_bytes() == (tmp_path / "in" / "Zqfam.dcm").read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    assert "Zqfam.dcm" in (tmp_path / "kept" / "quarantine.csv").read_text()
    assert not any(b"Zqfam" in content for content in content_of(tmp_path / "out"))


def test_a_transfer_syntax_that_the_standard_does_not_name_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    planted.base().save_as(tmp_path / "in" / "image", enforce_file_format=True)
    content = (tmp_path / "in" / "image").read_bytes()
    assert content.count(b"1.2.840.10008.1.2.1\0") == 1
    (tmp_path / "in" / "image").write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.Zq"))
    done = export(tmp_path / "in", tmp_path)
    assert done.images == 0
    assert sum(done.behind.values()) == 1


def test_an_image_at_risk_passes_where_it_says_no_or_somebody_has_looked_but_never_where_it_says_yes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, stated in enumerate(("NO", None, "YES"), start=1):
        dataset = planted.base(instance=number)
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        if stated:
            dataset.BurnedInAnnotation = stated
        dataset.save_as(tmp_path / "in" / str(number), enforce_file_format=True)
    for folder, checked, expected in (("one", False, 1), ("two", True, 2)):
        (tmp_path / folder).mkdir()
        assert export(tmp_path / "in", tmp_path / folder, pixels_checked=checked).images == expected


def test_a_bad_file_is_one_row_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    planted.base().save_as(tmp_path / "in" / "good", enforce_file_format=True)
    whole = (tmp_path / "in" / "good").read_bytes()
    (tmp_path / "in" / "cut").write_bytes(whole[:-100])
    (tmp_path / "in" / "broken").write_bytes(whole[:400])
    (tmp_path / "in" / "empty").write_bytes(b"")
    (tmp_path / "in" / "Zqfam.dcm").write_bytes(b"no DICOM at all")
    (tmp_path / "in" / "program.exe").write_bytes(b"MZ")
    done = export(tmp_path / "in", tmp_path)
    assert done.images == 1
    assert dict(done.behind) == {"E_TRUNCATED": 2, "E_EMPTY": 1, "E_MALFORMED": 1, "Q_NOT_COVERED": 1}


def test_a_bad_table_is_one_row_the_others_go_on_and_the_command_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Zqfam.csv").write_bytes(b"patient_id,value\n1,\xff\n")
    (tmp_path / "in" / "labs.csv").write_text("patient_id,value\nAB-4711-1,5\n")
    (tmp_path / "in" / "Zqfam.json").write_text("{}")
    told = ["deidentify", str(tmp_path / "in"), str(tmp_path / "out"), "--key", str(key_in(tmp_path)), "--workers", "1"]
    answer = CliRunner().invoke(app, [*told, "--quarantine", str(tmp_path / "kept")])
    assert answer.exit_code == 1, answer.output
    assert "1 tables written" in answer.output
    assert "2 files stay behind" in answer.output
    assert "(E_MALFORMED: 1, E_UNSUPPORTED: 1)" in " ".join(answer.output.split())
    assert "1 tables stay behind" in answer.output
    assert "Zqfam" not in answer.output
    rows = {row["code"]: row["file"] for row in behind(tmp_path)}
    assert rows["E_MALFORMED"] == KEY.pseudonym("file", "Zqfam.csv")
    assert (tmp_path / "kept" / f"{rows['E_MALFORMED']}.csv").read_bytes() == (tmp_path / "in" / "Zqfam.csv").read_bytes()
    (tmp_path / "in" / "Zqfam.csv").unlink()
    told[2] = str(tmp_path / "again")
    assert CliRunner().invoke(app, told).exit_code == 0


def test_an_empty_table_is_listed_once_and_an_image_that_is_called_like_one_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "labs.csv").touch()
    planted.base().save_as(tmp_path / "in" / "image.csv", enforce_file_format=True)
    done = export(tmp_path / "in", tmp_path)
    assert (done.images, dict(done.behind)) == (1, {"E_EMPTY": 1})
    assert done.tables is not None
    assert done.tables.unread == 1


def test_names_of_files_that_are_no_utf_8_end_nothing(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "in") + b"/Zqf\xfcm"
    Path(os.fsdecode(folder)).mkdir(parents=True)
    planted.base().save_as(tmp_path / "image", enforce_file_format=True)
    contents = {
        b"image": (tmp_path / "image").read_bytes(),
        b"Zqf\xfcm.exe": b"MZ",
        b"Zqf\xfcm.csv": b"patient_id,crp\nAB-4711-1,5\n",
        b"broken\xfc.csv": b"\xff",
        b"Zqf\xfcm.txt": b"cough",
    }
    for name, content in contents.items():
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(content)
    done = export(tmp_path / "in", tmp_path, quarantine=tmp_path / "kept")
    assert (done.images, dict(done.behind)) == (1, {"Q_NOT_COVERED": 1, "E_MALFORMED": 1})
    assert done.tables is not None
    assert (done.tables.files, done.tables.quarantined) == (1, 1)
    assert not [path for path in (tmp_path / "out").rglob("*") if b"Zq" in os.fsencode(path.relative_to(tmp_path))]
    assert b"Zqf\xfcm.exe" in (tmp_path / "kept" / "quarantine.csv").read_bytes()


def test_nothing_appears_where_the_export_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    planted.base().save_as(tmp_path / "in" / "good", enforce_file_format=True)

    def fail(*_: object) -> int:
        raise OSError

    monkeypatch.setattr("medmm.workflows.deidentify._verify", fail)
    with pytest.raises(OSError):  # noqa: PT011 - any
        export(tmp_path / "in", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "key"]


@pytest.mark.parametrize(
    ("key", "out", "quarantine", "message"),
    [
        ("out/key", "out", None, "the key would lie within the export"),
        ("key", "in/out", None, "lies in the other"),
        ("key", "full", None, "not empty"),
        ("key", "out", "out/kept", "stays behind would lie within"),
        ("key", "out", "full", "not empty"),
    ],
)
def test_places_that_would_give_names_away_are_refused(
    key: str, out: str, quarantine: str | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    planted.base().save_as(tmp_path / "in" / "good", enforce_file_format=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match=message):
        deidentify(tmp_path / "in", tmp_path / out, tmp_path / key, SCREEN, quarantine=quarantine and tmp_path / quarantine)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "key").exists()


def test_the_same_key_gives_the_same_export_and_another_key_another(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        planted.base(instance=number).save_as(tmp_path / "in" / str(number), enforce_file_format=True)
    names = []
    for name, key in (("a", "key"), ("b", "key"), ("c", "other")):
        answer = CliRunner().invoke(
            app, ["deidentify", str(tmp_path / "in"), str(tmp_path / name), "--key", str(tmp_path / key), "--workers", "1"]
        )
        assert answer.exit_code == 0, answer.output
        assert "2 images of 1 patients written" in answer.output
        names.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.dcm")})
    assert names[0] == names[1]
    assert set(names[0]).isdisjoint(names[2])
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def nifti(description: bytes) -> bytes:
    import nibabel as nib

    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag((1, 2, 3, 1)))
    image.header["descrip"], image.header["aux_file"] = description, b"zqaux"
    image.header["db_name"], image.header["intent_name"] = b"zqdb", b"zqint"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", description))
    return bytes(image.to_bytes()) + b"zqtail"


def test_images_that_are_no_dicom_lose_their_texts_and_keep_their_pixels(tmp_path: Path) -> None:
    import gzip

    import nibabel as nib

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zqname.nii").write_bytes(nifti(b"zqdescription"))
    (tmp_path / "in" / "zqname.nii.gz").write_bytes(gzip.compress(nifti(b"zqdescription")))
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", "zqtext")
    Image.fromarray(pixels).save(tmp_path / "in" / "zq.png", pnginfo=told)
    exif = Image.Exif()
    exif[0x010E] = "zqexif"
    Image.fromarray(pixels).save(tmp_path / "in" / "zq.jpg", exif=exif, comment=b"zqcomment")
    (tmp_path / "one").mkdir()
    assert dict(export(tmp_path / "in", tmp_path / "one").behind) == {"Q_RISK": 2}
    (tmp_path / "two").mkdir()
    done = export(tmp_path / "in", tmp_path / "two", pixels_checked=True)
    assert (done.images, dict(done.behind)) == (4, {})
    by_suffix = {"".join(path.suffixes): path for path in (tmp_path / "two" / "out" / "images").iterdir()}
    for suffix in (".nii", ".nii.gz"):
        content = by_suffix[suffix].read_bytes()
        assert b"zq" not in (gzip.decompress(content) if suffix.endswith("gz") else content)
        one, other = nib.load(by_suffix[suffix]), nib.load(tmp_path / "in" / f"zqname{suffix}")
        np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
        np.testing.assert_array_equal(one.affine, other.affine)
    for suffix in (".png", ".jpg"):
        assert b"zq" not in by_suffix[suffix].read_bytes()
        np.testing.assert_array_equal(
            np.asarray(Image.open(by_suffix[suffix])), np.asarray(Image.open(tmp_path / "in" / f"zq{suffix}"))
        )


PERSON = KnownValues(
    ("Zqfam^Zqgiv", "Zqfam", "Zqgiv Zqfam", "山田", "Müñoz"),
    ("AB-4711-9", "88173645"),
    ("1931-03-14",),
    ("Main St 12",),
    ("555-1234",),
)


@pytest.mark.parametrize(
    "text",
    [
        b"x Zqfam y",
        b"ZQFAM^Z",
        "山田".encode(),
        "山田".encode("iso2022_jp"),
        "山田".encode("utf-16-le"),
        "MÜÑOZ".encode("latin-1"),
        "Mu\u0308n\u0303oz".encode(),
        "Zqgiv Zqfam".encode("utf-16-be"),
        b"the Munoz of",
        b"AB-4711-9",
        b"id=88173645;",
        b"14.03.1931",
        b"19310314",
        b"main st 12",
        b"555-1234",
        b"1.2.3.77000001.1",
        b"xx" + base64.b64encode(b"a Zqgiv Zqfam"),
        b"xxx" + base64.b64encode(b"of Zqgiv Zqfam b"),
    ],
)
def test_a_known_value_is_found_wherever_it_is_left(text: bytes, tmp_path: Path) -> None:
    written = Written(Path("file"), PERSON, ("1.2.3.77000001.1",))  # type: ignore[arg-type]
    is_clean = verifier(tmp_path, Sought())
    (tmp_path / "file").write_bytes(b"nothing of anybody, 4711, 8817, 1931")
    assert is_clean(written)
    (tmp_path / "file").write_bytes(b"before " + text + b" after")
    assert not is_clean(written)


def test_an_identifier_that_was_left_is_taken_out_again_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number, comment in ((1, "nothing"), (2, "of AB-4711-9")):
        dataset = planted.base(instance=number)
        dataset.PatientID = f"AB-4711-{number}"
        dataset.AccessionNumber = "AB-4711-9"
        dataset.PixelData = comment.encode().ljust(len(dataset.PixelData), b"\0")
        dataset.save_as(tmp_path / "in" / str(number), enforce_file_format=True)
    answer = CliRunner().invoke(
        app, ["deidentify", str(tmp_path / "in"), str(tmp_path / "out"), "--key", str(key_in(tmp_path)), "--workers", "1"]
    )
    assert answer.exit_code == 1, answer.output
    assert "in 1 files an identifier was still found" in answer.output
    assert [row["code"] for row in behind(tmp_path)] == ["Q_IDENTIFIER_LEFT"]
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
    assert not any(b"AB-4711" in content for content in content_of(tmp_path / "out"))


def test_the_command_has_help_that_teaches() -> None:
    answer = CliRunner().invoke(app, ["deidentify", "--help"], env={**os.environ, "COLUMNS": "140"})
    assert answer.exit_code == 0
    assert "--key" in answer.output
    assert "quarantine.csv" in answer.output
