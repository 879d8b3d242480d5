"""The signals of the synthetic cohort: what was promised of ECG and heart sound is measured here."""

import itertools
import shutil
import subprocess
import wave
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pydicom.waveforms import multiplex_array
from sklearn.metrics import roc_auc_score

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.synthetic.ecg import LEADS, draw_ecg, render_ecg
from medmm.cohort.synthetic.ecg_dicom import TRANSFER_SYNTAXES, UNITS_PER_MV, EcgStorage, draw_ecg_storage, ecg_dataset
from medmm.cohort.synthetic.heart import Heart, draw_beats, draw_heart
from medmm.cohort.synthetic.heart_sound import draw_heart_sound, render_heart_sound, write_sound
from medmm.cohort.synthetic.records import note_rows
from medmm.cohort.synthetic.truth import StudyTruth, draw_truth
from medmm.errors import DataError
from medmm.files import digest, digest_file
from medmm.inputs.examples import signal_example
from medmm.types import Array, Evidence

Sound: TypeAlias = tuple[int, Array]
"""Samples a second, and (T, L) numbers as they stand in the file."""

SIGNALS = ("ecg", "heart_sound")
SMALL = {"images": (), "signals": SIGNALS, "ecg_rate_hz": 250, "ecg_seconds": 3, "sound_rate_hz": 1000, "sound_seconds": 3}

BEFORE_SIGNALS = {
    "studies.csv": "1d536848f5f297e56927d12b86dd5fc75de77a0d7accf344ef90659537b5abc9",
    "notes.csv": "ae9faeca7923011d078b79796387429c419925a133b2406f69e5076bfa2155b1",
}
"""SHA-256 of tables of one cohort, made by the version before there were signals."""

ABSENT_BEFORE_SIGNALS = "a2abd9518789f03521bc6afb4c2346dcbbca5aa90ea129d1c7d22bf06d40d72b"
"""Of the column of truth.csv, as JSON."""

CALM = Heart(severity=0.5, beats_per_minute=75, breaths_per_minute=15, unevenness=0.01, noise=1.0)


def small(**knobs: object) -> SyntheticSettings:
    return SyntheticSettings.model_validate({**SMALL, "patients": 12, **knobs})


def many(**knobs: object) -> list[StudyTruth]:
    return draw_truth(SyntheticSettings.model_validate({"patients": 1500, "signals": SIGNALS, **knobs}))


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def files(folder: Path) -> dict[str, str]:
    """Give the digest of each file by its place."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in found}


def read_sound(path: Path) -> Sound:
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == 2
        numbers = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return file.getframerate(), numbers.reshape(-1, file.getnchannels())


def auroc(studies: Iterable[StudyTruth], scores: Iterable[float]) -> float:
    return float(roc_auc_score([study.diagnosis for study in studies], list(scores)))


def band_power(sound: Array, rate_hz: float, low_hz: float, high_hz: float) -> Array:
    spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / rate_hz)
    return np.asarray(np.fft.irfft(spectrum * ((hertz >= low_hz) & (hertz <= high_hz)), len(sound)) ** 2)


@pytest.fixture(scope="module")
def drawn() -> list[StudyTruth]:
    return many()


@pytest.fixture(scope="module")
def settings() -> SyntheticSettings:
    return small(patients=25, duplicate_patients=2, absent=dict.fromkeys(SIGNALS, 0.2))


@pytest.fixture(scope="module")
def studies(settings: SyntheticSettings) -> list[StudyTruth]:
    return draw_truth(settings)


@pytest.fixture(scope="module")
def cohort(settings: SyntheticSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals") / "export"
    make_cohort(folder, settings)
    return folder


@pytest.fixture(scope="module")
def ecgs(cohort: Path) -> dict[str, Dataset]:
    """By study_uid."""
    read = [pydicom.dcmread(cohort / "ecg" / place) for place in files(cohort / "ecg")]
    found = {str(dataset.StudyInstanceUID): dataset for dataset in read}
    assert len(found) == len(read)
    return found


def test_a_cohort_without_signals_is_what_it_was(tmp_path: Path) -> None:
    make_cohort(tmp_path, SyntheticSettings(patients=30, images=(), absent_by_label={"note": 0.2}))
    assert {name: digest_file(tmp_path / name) for name in BEFORE_SIGNALS} == BEFORE_SIGNALS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dicom", "labs.csv", "notes.csv", "studies.csv", "truth.csv"]
    truth = read_table(tmp_path / "truth.csv")
    assert list(truth)[-4:] == ["probability", "diagnosis", "absent", "broken"]
    assert digest(truth.absent.tolist()) == ABSENT_BEFORE_SIGNALS


def test_signals_leave_the_other_inputs_alone() -> None:
    plain, with_signals = many(patients=200, signals=()), many(patients=200, absent={"ecg": 0.5})
    others = ("person", "time", "image", "laboratory", "laboratory_nuisance", "finding", "study_uid")
    for one, other in zip(plain, many(patients=200), strict=True):
        assert [getattr(one, name) for name in others] == [getattr(other, name) for name in others]
        assert one.absent == other.absent - set(SIGNALS)
    settings = SyntheticSettings()
    for one, other in zip(plain, with_signals, strict=True):
        if "note" not in one.absent:
            assert list(note_rows(one, settings)) == list(note_rows(replace(other, absent=one.absent), settings))


def test_the_latent_is_standard_alike_within_a_patient_and_independent_of_the_others(drawn: list[StudyTruth]) -> None:
    latents = np.array(
        [(study.signal, study.image, study.laboratory, study.laboratory_nuisance, study.note) for study in drawn]
    )
    assert abs(latents[:, 0].mean()) < 0.05
    assert latents[:, 0].std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.corrcoef(latents, rowvar=False)[0, 1:]).max() < 0.06
    pairs = [(a.signal, b.signal) for a, b in itertools.pairwise(drawn) if a.person == b.person]
    assert np.corrcoef(pairs, rowvar=False)[0, 1] == pytest.approx(0.5, abs=0.06)


def test_the_signals_tell_a_part_and_all_together_nearly_everything(drawn: list[StudyTruth]) -> None:
    assert 0.7 < auroc(drawn, (study.signal for study in drawn)) < 0.8
    assert auroc(drawn, (study.probability for study in drawn)) > 0.95


def test_the_prevalence_is_met_whatever_the_signals_say() -> None:
    strong = many(signal_strength=8, prevalence=0.15)
    assert np.mean([study.probability for study in strong]) == pytest.approx(0.15, abs=0.02)
    assert auroc(strong, (study.signal for study in strong)) > 0.9


@pytest.mark.parametrize("knobs", [{"signal_strength": 0}, {"signals": ()}])
def test_without_strength_or_signals_the_latent_says_nothing(knobs: Mapping[str, object]) -> None:
    drawn = many(**knobs)
    assert abs(auroc(drawn, (study.signal for study in drawn)) - 0.5) < 0.03


def test_signals_are_absent_as_often_as_asked() -> None:
    drawn = many(absent={"ecg": 0.3}, absent_by_label={"heart_sound": 0.4})
    expected = {"ecg": (0.3, 0.3), "heart_sound": (0, 0.4), "note": (0, 0)}
    for name, shares in expected.items():
        for diagnosis, wanted in zip((False, True), shares, strict=True):
            measured = np.mean([name in study.absent for study in drawn if study.diagnosis == diagnosis])
            assert measured == pytest.approx(wanted, abs=0.03), (name, diagnosis)
    assert not any("heart_sound" in study.absent for study in many(patients=50, signals=["ecg"], absent={"heart_sound": 1}))


def test_the_tables_say_what_is_true_and_where_each_sound_lies(cohort: Path, studies: list[StudyTruth]) -> None:
    table, truth = read_table(cohort / "studies.csv"), read_table(cohort / "truth.csv")
    assert list(table)[-1] == "heart_sound"
    np.testing.assert_array_equal(truth.signal.astype(float), [study.signal for study in studies])
    assert [cell == "" for cell in table.heart_sound] == ["heart_sound" in study.absent for study in studies]
    named = [cell for cell in table.heart_sound if cell]
    assert sorted(named) == [f"sounds/{place}" for place in files(cohort / "sounds")]
    assert named[0] == "sounds/00/HS000000.wav"
    assert 0 < len(named) < len(studies)


def test_a_study_has_an_ecg_or_lacks_it(ecgs: Mapping[str, Dataset], studies: list[StudyTruth], cohort: Path) -> None:
    assert ecgs.keys() == {study.study_uid for study in studies if "ecg" not in study.absent}
    assert next(iter(files(cohort / "ecg"))) == "00/EC000000"
    assert 0 < len(ecgs) < len(studies)
    for study in studies:
        if dataset := ecgs.get(study.study_uid):
            assert (dataset.PatientID, dataset.AccessionNumber) == (study.patient_id, study.study_id)
            assert str(dataset.PatientName) == study.person.name
            assert dataset.AcquisitionDateTime == f"{study.time:%Y%m%d%H%M%S}"
            assert (dataset.Modality, dataset.SOPClassUID.keyword) == ("ECG", "TwelveLeadECGWaveformStorage")
    instances = {dataset.SOPInstanceUID for dataset in ecgs.values()}
    assert len(instances | {dataset.SeriesInstanceUID for dataset in ecgs.values()}) == 2 * len(ecgs)


def test_einthoven_and_goldberger_hold_exactly(studies: list[StudyTruth], settings: SyntheticSettings) -> None:
    for study in studies[:5]:
        ecg = dict(zip(LEADS, render_ecg(study, settings), strict=True))
        np.testing.assert_array_equal(ecg["III"], ecg["II"] - ecg["I"])
        np.testing.assert_array_equal(ecg["aVR"], -(ecg["I"] + ecg["II"]) / 2)
        np.testing.assert_array_equal(ecg["aVL"], ecg["I"] - ecg["II"] / 2)
        np.testing.assert_array_equal(ecg["aVF"], ecg["II"] - ecg["I"] / 2)
        assert min(lead.std() for lead in ecg.values()) > 0.01


def test_an_ecg_reads_back_exactly(ecgs: Mapping[str, Dataset], studies: list[StudyTruth], settings: SyntheticSettings) -> None:
    ways = set()
    for study in studies:
        if (dataset := ecgs.get(study.study_uid)) is None:
            continue
        storage, values = draw_ecg_storage(study, settings), render_ecg(study, settings)
        (group,) = dataset.WaveformSequence
        assert (group.SamplingFrequency, group.NumberOfWaveformSamples) == (250, 750)
        np.testing.assert_array_equal(multiplex_array(dataset, 0), storage.to_stored(values).T)
        read = multiplex_array(dataset, 0, as_raw=False) / UNITS_PER_MV[storage.unit]
        half_step = storage.sensitivity * storage.correction / UNITS_PER_MV[storage.unit] / 2
        np.testing.assert_allclose(read.T, values, rtol=0, atol=half_step * 1.0001)
        for channel, lead in zip(group.ChannelDefinitionSequence, LEADS, strict=True):
            (source,), (unit,) = channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence
            assert (channel.ChannelLabel, unit.CodeValue, unit.CodingSchemeDesignator) == (lead, storage.unit, "UCUM")
            assert (source.CodingSchemeDesignator, source.CodeMeaning.split(",")[0].removeprefix("Lead ")) == (
                storage.scheme,
                lead,
            )
        ways |= {dataset.file_meta.TransferSyntaxUID, (storage.unit, storage.sensitivity)}
    assert ways == {*TRANSFER_SYNTAXES, ("uV", 2.5), ("uV", 4.88), ("mV", 0.005), ("uV", 1.0)}


@pytest.mark.parametrize("lead", ["I", "II", "V1", "V6", "aVR"])
def test_leads_have_the_codes_of_the_standard(lead: str, ecgs: Mapping[str, Dataset]) -> None:
    # PS3.16, CID 3001: Lead I 2:1, Lead II 2:2, aVR 2:62, Lead V1 2:3, Lead V6 2:8; pydicom's ECG file has the older scheme.
    expected = {"I": "1", "II": "2", "V1": "3", "V6": "8", "aVR": "62"}[lead]
    seen = set()
    for dataset in ecgs.values():
        (source,) = dataset.WaveformSequence[0].ChannelDefinitionSequence[LEADS.index(lead)].ChannelSourceSequence
        seen.add(source.CodeValue)
    assert seen == {f"2:{expected}", f"5.6.3-9-{expected}"}


def test_an_independent_validator_finds_no_error(
    ecgs: Mapping[str, Dataset], studies: list[StudyTruth], settings: SyntheticSettings, tmp_path: Path
) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed: apt install dicom3tools")
    ways: dict[EcgStorage, Dataset] = {}
    for study in studies:
        if study.study_uid in ecgs:
            ways[draw_ecg_storage(study, settings)] = ecgs[study.study_uid]
    assert len(ways) >= 6
    for number, (storage, dataset) in enumerate(ways.items()):
        written = Dataset(dataset)
        written.file_meta = pydicom.dataset.FileMetaDataset(dataset.file_meta)
        if storage.transfer_syntax == DeflatedExplicitVRLittleEndian:  # which the program cannot inflate
            written.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        written.save_as(tmp_path / str(number), enforce_file_format=True)
        done = subprocess.run(
            [program, str(tmp_path / str(number))], capture_output=True, text=True, check=False, errors="replace"
        )
        said = (done.stdout + done.stderr).splitlines()
        assert "TwelveLeadECG" in said
        assert not [line for line in said if "Error" in line], said


def test_a_sound_holds_the_rendered_values(cohort: Path, studies: list[StudyTruth], settings: SyntheticSettings) -> None:
    places = dict(zip(read_table(cohort / "studies.csv").study_id, read_table(cohort / "studies.csv").heart_sound, strict=True))
    for study in studies:
        if place := places[study.study_id]:
            rate_hz, numbers = read_sound(cohort / place)
            values = render_heart_sound(study, settings)
            assert (rate_hz, numbers.shape) == (1000, (3000, 1))
            assert 0.29 < np.abs(values).max() < 0.91
            np.testing.assert_allclose(numbers[:, 0] / 32767, values, rtol=0, atol=0.5001 / 32767)


def test_channels_stand_side_by_side_in_a_sound(tmp_path: Path) -> None:
    write_sound(tmp_path / "two", np.array([[0, 0.5, 1.0], [-1.0, -2.0, 0.25]]), 4000)
    rate_hz, numbers = read_sound(tmp_path / "two")
    # By hand: 32767 times the shares, rounded to even; -2 is cut to -1.
    assert (rate_hz, numbers.tolist()) == (4000, [[0, -32767], [16384, -32767], [32767, 8192]])


def test_a_heart_beats_as_often_as_it_should() -> None:
    for beats_per_minute in (50, 75, 110):
        heart = replace(CALM, beats_per_minute=beats_per_minute)
        beats = draw_beats(np.random.default_rng(0), heart, 60)
        assert ((beats >= 0) & (beats < 60)).sum() == pytest.approx(beats_per_minute, abs=3)
        ecg = draw_ecg(np.random.default_rng(1), heart, 250, 60)[LEADS.index("V5")]
        high = ecg > 0.6 * ecg.max()
        assert (high[1:] & ~high[:-1]).sum() == pytest.approx(beats_per_minute, abs=3)
        distances = np.diff(beats)
        assert 0.01 < distances.std() / distances.mean() < 0.05


def test_hypertrophy_raises_voltages_turns_the_axis_and_lowers_lateral_t_waves() -> None:
    def average_beat(severity: float) -> dict[str, Array]:
        """From 0.1 s before the R peak to 0.5 s after it."""
        heart = replace(CALM, severity=severity, noise=0)
        peaks = [round(beat * 500) for beat in draw_beats(beginning(), heart, 10) if 0.2 < beat < 9.4]
        ecg = draw_ecg(np.random.default_rng(0), heart, 500, 10)
        return {lead: np.mean([ecg[row, at - 50 : at + 250] for at in peaks], axis=0) for row, lead in enumerate(LEADS)}

    def beginning() -> np.random.Generator:
        """Give the random numbers of an ECG after its four draws of heights; those of this seed turn the axis by 2 degrees."""
        rng = np.random.default_rng(0)
        rng.normal(size=4)
        return rng

    mild, severe = average_beat(0), average_beat(1.5)
    for lead in ("V5", "V6", "aVL", "I"):
        assert severe[lead].max() > mild[lead].max() + 0.2
        assert severe[lead][130:200].mean() < mild[lead][130:200].mean() - 0.05
    for lead in ("V1", "V2"):
        assert severe[lead].min() < mild[lead].min() - 0.3
    # Sokolow and Lyon 1949: S in V1 and the higher R of V5 and V6 exceed 3.5 mV.
    sums = [-beat["V1"].min() + max(beat["V5"].max(), beat["V6"].max()) for beat in (mild, severe)]
    assert sums[0] < 3.5 < sums[1]


def test_a_murmur_lies_in_systole_and_is_louder_with_severity() -> None:
    def loudness(severity: float) -> tuple[float, float]:
        """In systole and in diastole, against the loudest of the first sound."""
        heart = replace(CALM, severity=severity, unevenness=0, breaths_per_minute=0, noise=0.2)
        beats = draw_beats(np.random.default_rng(5), heart, 10)
        sound = draw_heart_sound(np.random.default_rng(5), heart, 2000, 10)
        power = band_power(sound, 2000, 180, 400) / np.abs(sound).max() ** 2
        inside = [beat for beat in beats if 0 <= beat < 9]
        systole = [power[round((beat + 0.12) * 2000) : round((beat + 0.24) * 2000)].mean() for beat in inside]
        diastole = [power[round((beat + 0.5) * 2000) : round((beat + 0.7) * 2000)].mean() for beat in inside]
        return float(np.mean(systole)), float(np.mean(diastole))

    (quiet, rest), (medium, _), (loud, rest_too) = (loudness(severity) for severity in (0, 0.8, 1.6))
    # The murmur rises by 15 dB for a severity of 1: by 12 for 0.8.
    assert 10 * np.log10(loud / medium) == pytest.approx(12, abs=1.5)
    assert loud > 100 * quiet
    assert loud > 100 * rest_too
    assert rest_too < 5 * rest


def test_the_sign_follows_the_latent_but_no_single_voltage_tells_it() -> None:
    settings = small(patients=150, ecg_seconds=4, ecg_rate_hz=250)
    drawn = draw_truth(settings)
    assert [draw_heart(study, settings).severity for study in drawn] == pytest.approx(
        [min(max(0.5 + 0.6 * study.signal, 0), 1.7) for study in drawn]
    )
    voltages = []
    for study in drawn:
        ecg = dict(zip(LEADS, render_ecg(study, settings), strict=True))
        voltages.append(max(ecg["V5"].max(), ecg["V6"].max()) - ecg["V1"].min())
    assert 0.4 < np.corrcoef(voltages, [study.signal for study in drawn])[0, 1] < 0.85


def test_broken_signals_have_a_flat_chest_lead_or_an_early_end(tmp_path: Path) -> None:
    knobs = {"broken": 2, "images": ["radiograph"], "radiograph_size": 32, "absent": {"ecg": 0.2, "heart_sound": 0.2}}
    for name, broken in (("whole", 0), ("broken", 4)):
        make_cohort(tmp_path / name, small(broken_signals=broken, **knobs))
    whole, broken = (files(tmp_path / name) for name in ("whole", "broken"))
    truth, table = (read_table(tmp_path / f"broken/{name}.csv") for name in ("truth", "studies"))
    assert list(truth.broken_signal[truth.broken_signal != ""]) == ["flat", "truncated"] * 2
    assert not ((truth.broken != "") & (truth.broken_signal != "")).any()
    assert list(truth.broken) == list(read_table(tmp_path / "whole/truth.csv").broken)
    changed = sorted(place for place in broken if whole[place] != broken[place])
    assert whole.keys() == broken.keys()
    sounds = sorted(table.heart_sound[truth.broken_signal == "truncated"])
    assert [place for place in changed if not place.startswith("ecg/")] == [*sounds, "truth.csv"]
    for place in sounds:
        content = (tmp_path / "broken" / place).read_bytes()
        assert int.from_bytes(content[4:8], "little") + 8 > len(content) > 1000
    flat = [pydicom.dcmread(tmp_path / "broken" / place) for place in changed if place.startswith("ecg/")]
    assert {dataset.AccessionNumber for dataset in flat} == set(truth.study_id[truth.broken_signal == "flat"])
    for dataset in flat:
        still = [lead for lead, moved in zip(LEADS, np.ptp(multiplex_array(dataset, 0), axis=0), strict=True) if moved == 0]
        assert len(still) == 1
        assert still[0].startswith("V")


@pytest.mark.parametrize(("signals", "fault"), [(["ecg"], "flat"), (["heart_sound"], "truncated")])
def test_with_one_signal_every_fault_is_of_it(signals: list[str], fault: str) -> None:
    broken = [study.broken_signal for study in draw_truth(small(signals=signals, broken_signals=3))]
    assert [found for found in broken if found] == [fault] * 3


def test_only_the_asked_kinds_of_signal_are_made(tmp_path: Path) -> None:
    for name in SIGNALS:
        make_cohort(tmp_path / name, small(patients=2, signals=[name], absent={}))
    assert not (tmp_path / "ecg/sounds").exists()
    assert not (tmp_path / "heart_sound/ecg").exists()
    assert "heart_sound" not in read_table(tmp_path / "ecg/studies.csv")
    assert (read_table(tmp_path / "heart_sound/studies.csv").heart_sound != "").all()


def test_an_export_with_signals_is_the_same_every_time_and_never_overwritten(cohort: Path, settings: SyntheticSettings) -> None:
    again = cohort.parent / "again"
    make_cohort(again, settings)
    assert files(again) == files(cohort)
    shutil.rmtree(again / "dicom")
    (again / "studies.csv").unlink()
    with pytest.raises(DataError, match="already"):
        make_cohort(again, settings)


def test_a_second_registration_has_the_same_signals(cohort: Path, ecgs: Mapping[str, Dataset]) -> None:
    truth, table = read_table(cohort / "truth.csv"), read_table(cohort / "studies.csv")
    registrations = [group.unique() for _, group in truth.groupby("person").patient_id if group.nunique() == 2]
    compared = 0
    pairs = [[table[table.patient_id == patient].itertuples() for patient in ids] for ids in registrations]
    for one, other in itertools.chain.from_iterable(zip(*pair, strict=True) for pair in pairs):
        assert (one.heart_sound == "") == (other.heart_sound == "")
        if one.heart_sound:
            assert one.heart_sound != other.heart_sound
            assert digest_file(cohort / one.heart_sound) == digest_file(cohort / other.heart_sound)
            compared += 1
        if one.study_uid in ecgs:
            a, b = ecgs[one.study_uid], ecgs[other.study_uid]
            assert not {a.SOPInstanceUID, a.StudyInstanceUID, a.PatientID} & {b.SOPInstanceUID, b.StudyInstanceUID, b.PatientID}
            np.testing.assert_array_equal(multiplex_array(a, 0), multiplex_array(b, 0))
            compared += 1
    assert compared >= 3


def test_sites_and_drift_change_the_noise_of_signals() -> None:
    def noise(site: str, **knobs: float) -> tuple[float, float]:
        settings = small(patients=60, **knobs)
        chosen = [study for study in draw_truth(settings) if study.person.site == site]
        ecg = np.median([np.abs(np.diff(render_ecg(study, settings), 3)).mean() for study in chosen])
        return float(ecg), float(np.median([draw_heart(study, settings).noise for study in chosen]))

    assert (np.array(noise("B", site_effect=2)) > 1.5 * np.array(noise("B"))).all()
    assert (np.array(noise("A", drift=2)) > 1.5 * np.array(noise("A"))).all()
    assert noise("A", site_effect=2) == noise("A")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"signals": [], "broken_signals": 1}, "broken_signals 1 needs signals"),
        ({"signals": ["eeg"]}, "'ecg' or 'heart_sound'"),
        ({"ecg_rate_hz": 100}, "greater than or equal to 200"),
        ({"sound_rate_hz": 500}, "greater than or equal to 1000"),
    ],
)
def test_impossible_settings_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**knobs)


def example(folder: Path, seed: int = 0, **asked: object) -> Evidence:
    folder.mkdir(parents=True)
    usual: dict[str, object] = {"leads": LEADS, "rate_hz": 500.0, "seconds": 2.0, "unit": "mV"}
    given = {**usual, **asked}
    given["units"] = [given.pop("unit")] * len(given["leads"])  # type: ignore[arg-type]
    return signal_example(np.random.default_rng(seed), folder, **given)  # type: ignore[arg-type]


SOUND: dict[str, object] = {"leads": ["1", "2"], "unit": "1", "rate_hz": 4000.0}
PRESSURE: dict[str, object] = {"leads": ["ABP", "CVP"], "unit": "mm[Hg]", "rate_hz": 125.0}


@pytest.mark.parametrize("asked", [{}, SOUND, PRESSURE], ids=["ecg", "sound", "pressure"])
def test_an_example_depends_on_its_random_numbers_alone(asked: Mapping[str, object], tmp_path: Path) -> None:
    made = [example(tmp_path / name, seed, **asked) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    a, b, c = ([digest_file(file) for file in one.files] for one in made)
    assert a == b != c


@pytest.mark.parametrize(
    ("rate_hz", "seconds", "kind"),
    [
        (200.0, 2.0, "TwelveLeadECGWaveformStorage"),
        (1000.0, 10.0, "TwelveLeadECGWaveformStorage"),
        (1000.0, 16.0, "AmbulatoryECGWaveformStorage"),
        (64.5, 2.0, "AmbulatoryECGWaveformStorage"),
    ],
)
def test_leads_of_an_ecg_become_a_dicom_waveform_of_nobody(rate_hz: float, seconds: float, kind: str, tmp_path: Path) -> None:
    (file,) = example(tmp_path / "ecg", leads=["V5", "II"], rate_hz=rate_hz, seconds=seconds).files
    dataset = pydicom.dcmread(file)
    assert dataset.SOPClassUID.keyword == kind
    assert (dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate) == ("GOLDEN", "GOLDEN", "")
    (group,) = dataset.WaveformSequence
    assert [channel.ChannelLabel for channel in group.ChannelDefinitionSequence] == ["V5", "II"]
    assert group.SamplingFrequency == rate_hz
    assert seconds < group.NumberOfWaveformSamples / rate_hz < 1.1 * seconds + 1 / rate_hz
    values = multiplex_array(dataset, 0, as_raw=False)
    unit = group.ChannelDefinitionSequence[0].ChannelSensitivityUnitsSequence[0].CodeValue
    assert 0.4 < values[:, 0].max() / UNITS_PER_MV[unit] < 5


def test_numbers_of_channels_become_a_sound(tmp_path: Path) -> None:
    (file,) = example(tmp_path / "sound", **SOUND).files
    rate_hz, numbers = read_sound(file)
    assert (rate_hz, numbers.shape) == (4000, (8400, 2))
    assert (np.abs(numbers).max(axis=0) > 0.2 * 32767).all()
    assert not (numbers[:, 0] == numbers[:, 1]).all()
    (file,) = example(tmp_path / "second", **{**SOUND, "leads": ["2"]}).files
    assert read_sound(file)[1].shape[1] == 2


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        (PRESSURE, ["time", "ABP [mm[Hg]]", "CVP [mm[Hg]]"]),
        ({**PRESSURE, "unit": ""}, ["time", "ABP", "CVP"]),
        ({"leads": ["II"], "rate_hz": 125.0, "unit": "1"}, ["time", "II [1]"]),
        ({"leads": ["II"], "rate_hz": 2000.0}, ["time", "II [mV]"]),
        ({"leads": ["1"], "rate_hz": 125.5, "unit": "1"}, ["time", "1 [1]"]),
        ({"leads": ["0"], "rate_hz": 125.0, "unit": "1"}, ["time", "0 [1]"]),
    ],
)
def test_everything_else_becomes_a_table(asked: Mapping[str, object], columns: list[str], tmp_path: Path) -> None:
    (file,) = example(tmp_path / "table", **asked).files
    table = pd.read_parquet(file)
    assert list(table) == columns
    assert 2 < len(table) / float(str(asked["rate_hz"])) < 2.2
    np.testing.assert_allclose(np.diff(table.time), 1 / float(str(asked["rate_hz"])), rtol=1e-9)
    assert table[columns[1:]].std().between(0.3, 3).all()
    assert np.isfinite(table.to_numpy()).all()


def test_a_flat_lead_is_flat_in_the_object_too() -> None:
    settings = small()
    study = replace(draw_truth(settings)[0], broken_signal="flat")
    moved = np.ptp(multiplex_array(ecg_dataset(study, settings), 0), axis=0)
    assert (moved == 0).sum() == 1
