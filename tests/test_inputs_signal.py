"""The input signal: where recordings are found, whose they are, what is learned of them, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.encoders.several import THERE, Several
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import Found
from medmm.inputs.signal import SignalInput, SignalSettings
from medmm.types import Array, Evidence, Study, Waveform

RATE = 500.0
TRACE: dict[str, object] = {"path": "ecg", "rate_hz": 250, "seconds": 2}


def signal_input(**given: object) -> SignalInput:
    one = SignalSettings.model_validate({**TRACE, **given}).open("ecg")
    assert isinstance(one, SignalInput)
    return one


def ecg(seed: int, leads: Sequence[str] = ("I", "II"), seconds: float = 10, units: str = "mV", height: float = 1.0) -> Waveform:
    rng = np.random.default_rng(seed)
    beats = np.sin(2 * np.pi * np.arange(round(seconds * RATE)) / RATE)
    values: Array = height * (beats + 0.1 * rng.normal(size=(len(leads), len(beats)))).astype(np.float32)
    return Waveform(values, RATE, tuple(leads), (units,) * len(leads))


def fitted(one: SignalInput, raws: Sequence[Waveform] | None = None) -> SignalInput:
    return one.fit((str(i), raw) for i, raw in enumerate(raws or [ecg(i) for i in range(4)]))


def refused(one: SignalInput, raw: Waveform) -> Rejected:
    with pytest.raises(Rejected) as caught:
        one.prepare(raw)
    return caught.value


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("signals")
    settings = SyntheticSettings(
        patients=12,
        images=(),
        signals=("ecg", "heart_sound"),
        ecg_rate_hz=250,
        ecg_seconds=3,
        sound_rate_hz=1000,
        sound_seconds=3,
        absent={"ecg": 0.2, "heart_sound": 0.2},
    )
    make_cohort(root, settings)
    return root


def gathered(root: Path, one: SignalInput) -> dict[str, Found]:
    sources = Sources.open(CohortSettings(root=root))
    studies = read_studies(sources, None)
    return {study.study_id: found for study, found in zip(studies, one.gather(sources, studies), strict=True)}


def truth(root: Path, name: str) -> dict[str, bool]:
    table = pd.read_csv(root / "truth.csv", dtype=str, keep_default_na=False)
    return {row["study_id"]: name not in row["absent"].split() for row in table.to_dict("records")}


class TestWhereItLies:
    def test_dicom_waveforms_are_found_by_their_headers(self, export: Path) -> None:
        one = signal_input(match="study_uid", column="study_uid", modality=["ECG"])
        found = gathered(export, one)
        assert {key: what is not None for key, what in found.items()} == truth(export, "ecg")
        assert set(truth(export, "ecg").values()) == {True, False}
        evidence = next(what for what in found.values() if what is not None)
        assert isinstance(evidence, Evidence)
        assert one.read(evidence).leads[:3] == ("I", "II", "III")

    def test_another_modality_is_absent(self, export: Path) -> None:
        assert set(gathered(export, signal_input(match="study_uid", column="study_uid", modality=["AU"])).values()) == {None}

    def test_sounds_are_found_by_their_paths(self, export: Path) -> None:
        one = signal_input(path=".", column="heart_sound", rate_hz=1000)
        found = gathered(export, one)
        assert {key: what is not None for key, what in found.items()} == truth(export, "heart_sound")
        evidence = next(what for what in found.values() if what is not None)
        assert isinstance(evidence, Evidence)
        assert one.read(evidence).rate_hz == 1000

    def test_a_waveform_of_another_patient_is_refused_unless_that_is_meant(self, export: Path) -> None:
        sources = Sources.open(CohortSettings(root=export))
        strangers = [replace(study, patient_id="another") for study in read_studies(sources, None)]
        one = signal_input(match="study_uid", column="study_uid")
        codes = {found.code for found in one.gather(sources, strangers) if isinstance(found, Rejected)}
        assert codes == {Code.MIXED_PATIENTS}
        lenient = signal_input(match="study_uid", column="study_uid", check_patient=False)
        assert not any(isinstance(found, Rejected) for found in lenient.gather(sources, strangers))

    def test_two_waveforms_of_a_study_are_not_chosen_from(self, export: Path, tmp_path: Path) -> None:
        for table in export.glob("*.csv"):
            (tmp_path / table.name).write_bytes(table.read_bytes())
        for copy in ("a", "b"):
            (tmp_path / "ecg" / copy).mkdir(parents=True)
            for file in (export / "ecg").rglob("EC*"):
                (tmp_path / "ecg" / copy / file.name).write_bytes(file.read_bytes())
        found = gathered(tmp_path, signal_input(match="study_uid", column="study_uid"))
        assert {what.code for what in found.values() if isinstance(what, Rejected)} == {Code.AMBIGUOUS}

    def test_a_wfdb_record_is_its_header_and_the_files_that_it_names(self, tmp_path: Path) -> None:
        folder = tmp_path / "ecg"
        folder.mkdir()
        for name, content in {
            "7.hea": b"7 1 500 4\n7.dat 16 200/mV 16 0 0 0 0 I\n",
            "7.dat": bytes(8),
            "7.atr": b"annotations",
            "70.dat": bytes(8),
        }.items():
            (folder / name).write_bytes(content)
        (tmp_path / "studies.csv").write_text("patient_id,study_id,ecg\n1,1,7\n2,2,7.hea\n3,3,\n4,4,8\n5,5,7.dat\n")
        found = gathered(tmp_path, signal_input(column="ecg"))
        whole = Evidence(files=(folder / "7.hea", folder / "7.dat"))
        assert list(found.values()) == [whole, whole, None, None, Evidence(files=(folder / "7.dat",))]

    def test_a_path_out_of_the_export_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "studies.csv").write_text("patient_id,study_id,ecg\n1,1,../../x\n")
        with pytest.raises(DataError, match="leads out"):
            gathered(tmp_path, signal_input(column="ecg"))


class TestWhatIsLearned:
    def test_leads_and_units_are_those_of_the_first_recording(self) -> None:
        one = fitted(signal_input(), [ecg(0, ("II", "V1")), *(ecg(i, ("V1", "I", "II")) for i in range(1, 4))])
        assert one.state["leads"] == ["II", "V1"]
        assert one.state["units"] == ["mV", "mV"]

    def test_leads_of_the_run_go_before(self) -> None:
        one = fitted(signal_input(leads=["II"], unit="uV"))
        assert one.state["leads"] == ["II"]
        assert one.state["units"] == ["uV"]
        assert one.state["spread"][0] == pytest.approx(1000 * fitted(signal_input(leads=["II"])).state["spread"][0], rel=1e-4)

    def test_a_lead_of_the_run_is_known_by_any_of_its_names(self) -> None:
        assert fitted(signal_input(leads=["lead ii", "i"])).state["leads"] == ["II", "I"]

    def test_a_prepared_lead_has_centre_0_and_spread_1(self) -> None:
        one = fitted(signal_input(), [ecg(i, height=5) for i in range(4)])
        signal = np.stack([one.prepare(ecg(i, height=5))["signal"] for i in range(4)]).astype(np.float32)
        assert signal.shape == (4, 2, 500)
        np.testing.assert_allclose(signal.mean((0, 2)), 0, atol=0.02)
        np.testing.assert_allclose(signal.std((0, 2)), 1, atol=0.02)

    def test_a_recording_that_must_not_be_used_teaches_nothing(self) -> None:
        flat = replace(ecg(9), values=np.zeros((2, 5000), np.float32))
        assert fitted(signal_input(), [*(ecg(i) for i in range(4)), flat]).state == fitted(signal_input()).state

    def test_names_of_leads_that_are_free_text_are_kept_only_where_the_run_has_them(self) -> None:
        raws = [ecg(i, ("Jane Doe", "ABP"), units="mm[Hg]") for i in range(4)]
        with pytest.raises(DataError, match="list those to take under `leads`") as caught:
            fitted(signal_input(), raws)
        assert "Jane" not in str(caught.value)
        assert fitted(signal_input(leads=["ABP"]), raws).state["leads"] == ["ABP"]

    def test_recordings_of_other_leads_than_the_first_end_the_run(self) -> None:
        with pytest.raises(DataError, match="of 5 training recordings of the input 'ecg' only 1"):
            fitted(signal_input(), [ecg(0, ("V1",)), *(ecg(i) for i in range(4))])

    def test_no_recording_ends_the_run(self) -> None:
        with pytest.raises(DataError, match="no training study"):
            fitted(signal_input(), [replace(ecg(0), values=np.zeros((2, 5000), np.float32))])


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (ecg(0, ("I", "V1")), Code.LEADS),
            (ecg(0, units="kPa"), Code.UNIT),
            (ecg(0, units=""), Code.UNIT),
            (ecg(0, seconds=1.5), Code.SHORT),
            (replace(ecg(0), rate_hz=100.0), Code.RATE),
            (replace(ecg(0), values=np.zeros((2, 5000), np.float32)), Code.FLAT),
            (replace(ecg(0), values=np.full((2, 5000), np.nan, np.float32)), Code.NOT_FINITE),
            (replace(ecg(0), values=np.clip(ecg(0).values, -0.3, 0.3)), Code.CLIPPED),
        ],
        ids=lambda one: one.value if isinstance(one, Code) else "",
    )
    def test_a_recording_that_would_mislead(self, raw: Waveform, code: Code) -> None:
        assert refused(fitted(signal_input()), raw).code is code

    def test_a_flat_lead_that_the_run_does_not_take_is_of_no_matter(self) -> None:
        values = ecg(0).values.copy()
        values[1] = 0
        raw = replace(ecg(0), values=values)
        assert fitted(signal_input(leads=["I"])).prepare(raw)["signal"].shape == (1, 500)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"encoder": "spectrogram_cnn"}, "does not take traces: take one of"),
            ({"encoder": "rocket", "spectrogram": {"mels": 16, "window_seconds": 0.2}}, "does not take spectrograms"),
            ({"band_hz": [0.5, 125]}, "half the rate"),
            ({"leads": ["I", "I"]}, "one twice"),
            ({"seconds": 0.001}, "no signal"),
            ({"spectrogram": {"window_seconds": 3}}, "longer than the signal"),
        ],
    )
    def test_settings_that_cannot_act(self, given: dict[str, object], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            signal_input(**given)


class TestWhatTheModelSees:
    def test_segments_lie_evenly_and_absent_ones_are_marked(self) -> None:
        one = fitted(signal_input(segments=3, encoder="rocket"))
        whole, short = one.prepare(ecg(0)), one.prepare(ecg(0, seconds=5))
        assert whole["signal"].shape == (3, 2, 500)
        assert whole[THERE].tolist() == [1, 1, 1]
        assert short[THERE].tolist() == [1, 1, 0]
        assert not short["signal"][2].any()
        assert isinstance(one.encoder(16), Several)

    def test_a_spectrogram_has_bands_and_frames(self) -> None:
        one = fitted(signal_input(spectrogram={"mels": 16, "window_seconds": 0.2, "hop_seconds": 0.1, "range_hz": [5, 100]}))
        assert one.prepare(ecg(0))["signal"].shape == (2, *one.settings.size) == (2, 16, 19)

    def test_the_mains_are_taken_out(self) -> None:
        hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(5000) / RATE).astype(np.float32)
        raw = replace(ecg(0), values=ecg(0).values + hum)
        quiet, loud = (fitted(signal_input(mains_hz=mains)).prepare(raw)["signal"].astype(np.float32) for mains in (50, None))
        spectrum = [np.abs(np.fft.rfft(signal[0]))[100] for signal in (quiet, loud)]  # 50 Hz of 2 s
        assert spectrum[0] < 0.05 * spectrum[1]

    def test_few_patients_get_fixed_kernels_and_sounds_a_network_of_spectrograms(self) -> None:
        assert signal_input().settings.suited(200).name == "rocket"
        assert signal_input().settings.suited(5000).name == "resnet1d"
        assert signal_input(spectrogram={"mels": 16, "window_seconds": 0.2}).settings.suited(200).name == "spectrogram_cnn"

    def test_kept_features_and_an_augmentation_that_is_off_stay_as_they_are(self) -> None:
        rng = np.random.default_rng(0)
        off = {
            name: {"chance": 0} for name in ("noise", "gain", "shift", "wander", "lead_dropout", "time_mask", "frequency_mask")
        }
        still = fitted(signal_input(augmentation=off))
        fields = still.prepare(ecg(0))
        assert still.is_still(fields)
        assert still.augment(fields, rng) is fields
        moving = fitted(signal_input())
        assert not moving.is_still(fields)
        assert not np.array_equal(moving.augment(fields, rng)["signal"], fields["signal"])
        features = {"features": np.ones(64, np.float32)}
        assert moving.is_still(features)
        assert moving.augment(features, rng) is features

    def test_segments_that_are_not_there_stay_empty_in_training(self) -> None:
        one = fitted(signal_input(segments=3))
        fields = one.prepare(ecg(0, seconds=5))
        varied = [one.perturb(fields, np.random.default_rng(seed))["signal"] for seed in range(20)]
        assert not any(signal[2].any() for signal in varied)
        assert sum(not np.array_equal(signal[:2], fields["signal"][:2]) for signal in varied) > 15


def test_the_key_of_the_cache_knows_what_changes_the_signal() -> None:
    keys = {str(signal_input(**given).key()) for given in ({}, {"seconds": 3}, {"mains_hz": 50}, {"band_hz": [0.5, 40]})}
    assert len(keys) == 4
    same = {
        str(signal_input(**given).key()) for given in ({}, {"encoder": "cnn_lstm"}, {"augmentation": {"noise": {"chance": 0}}})
    }
    assert len(same) == 1


def test_a_study_of_another_row_says_so(export: Path) -> None:
    sources = Sources.open(CohortSettings(root=export))
    stranger = Study(row=7, patient_id="another", study_id="x", cells={"study_uid": _known_uid(export)})
    (found,) = signal_input(match="study_uid", column="study_uid").gather(sources, [stranger])
    assert isinstance(found, Rejected)
    assert "row 7, input ecg" in str(found)
    assert "another" not in str(found).replace("another patient", "")


def _known_uid(root: Path) -> str:
    table = pd.read_csv(root / "studies.csv", dtype=str)
    present = truth(root, "ecg")
    return str(next(row["study_uid"] for row in table.to_dict("records") if present[row["study_id"]]))
