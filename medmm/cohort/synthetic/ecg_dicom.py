"""Turn a drawn ECG into a DICOM object: 12-lead ECG Waveform Storage (PS3.3, sections A.34.3, C.10.8 and C.10.9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    TwelveLeadECGWaveformStorage,
)

from medmm.cohort.synthetic.ecg import CHEST_LEADS, LEADS, render_ecg
from medmm.cohort.synthetic.header import code, study_dataset
from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import Purpose, StudyTruth, stream
from medmm.types import Array

SERIES_NUMBER = 3
TRANSFER_SYNTAXES: tuple[UID, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
"""Without the retired big endian, whose waveforms pydicom reads wrongly."""

LEAD_TERMS = dict(zip(LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
"""Term codes of PS3.16, CID 3001, which the older and the newer scheme share."""

CODE_STARTS = {"MDC": "2:", "SCPECG": "5.6.3-9-"}
SCHEME_VERSIONS = {"MDC": "", "SCPECG": "1.3"}
LEAD_MEANINGS = {
    "aVR": "aVR, augmented voltage, right",
    "aVL": "aVL, augmented voltage, left",
    "aVF": "aVF, augmented voltage, foot",
}
UNIT_MEANINGS = {"mV": "millivolt", "uV": "microvolt"}
UNITS_PER_MV = {"mV": 1.0, "uV": 1000.0}


@dataclass(frozen=True)
class EcgStorage:
    """How voltages become stored numbers: value = number * sensitivity * correction + baseline, in the unit.

    Attributes:
        transfer_syntax: How the file is written.
        unit: UCUM code.
        sensitivity: Units for one step, as the recorder was built.
        correction: Factor that its calibration found.
        baseline: Value of the stored number 0.
        scheme: Coding scheme of the leads; SCPECG stands in older files.
    """

    transfer_syntax: UID = ExplicitVRLittleEndian
    unit: Literal["mV", "uV"] = "uV"
    sensitivity: float = 2.5
    correction: float = 1.0
    baseline: float = 0.0
    scheme: Literal["MDC", "SCPECG"] = "MDC"

    def to_stored(self, millivolts: Array) -> Array:
        """Give the numbers that stand in the file, 16 bits each."""
        values = millivolts * UNITS_PER_MV[self.unit]
        numbers = np.rint((values - self.baseline) / (self.sensitivity * self.correction))
        limits = np.iinfo(np.int16)
        return np.asarray(np.clip(numbers, limits.min, limits.max).astype(np.int16))


def draw_ecg_storage(study: StudyTruth, settings: SyntheticSettings) -> EcgStorage:
    """Choose how this study's ECG is stored; each way holds 30 mV and more."""
    rng = stream(settings, Purpose.ECG_STORAGE, study.person.number, study.order)
    syntax = TRANSFER_SYNTAXES[int(rng.integers(len(TRANSFER_SYNTAXES)))]
    ways = (
        EcgStorage(syntax),
        EcgStorage(syntax, "uV", sensitivity=4.88, scheme="SCPECG"),
        EcgStorage(syntax, "mV", sensitivity=0.005, correction=0.98),
        EcgStorage(syntax, "uV", sensitivity=1.0, correction=1.02, baseline=12.0),
    )
    return ways[int(rng.integers(len(ways)))]


def ecg_dataset(study: StudyTruth, settings: SyntheticSettings) -> Dataset:
    """Give the ECG of a study, ready to be saved; a chest lead is flat where truth says so."""
    storage = draw_ecg_storage(study, settings)
    values = render_ecg(study, settings)
    if study.broken_signal == "flat":
        values[LEADS.index(CHEST_LEADS[study.person.number % len(CHEST_LEADS)])] = 0
    return waveform_dataset(study, TwelveLeadECGWaveformStorage, storage, LEADS, values, settings.ecg_rate_hz)


def waveform_dataset(
    study: StudyTruth, sop_class: UID, storage: EcgStorage, leads: Sequence[str], millivolts: Array, rate_hz: float
) -> Dataset:
    """Give an ECG as a DICOM object.

    Args:
        study: Whose it is.
        sop_class: One of those for an ECG.
        storage: How it is stored.
        leads: (L,) among LEADS.
        millivolts: (L, T)
        rate_hz: Samples a second.
    """
    dataset = study_dataset(study, "ECG", sop_class, storage.transfer_syntax, "1")
    dataset.SeriesNumber, dataset.InstanceNumber = SERIES_NUMBER, 1
    dataset.AcquisitionDateTime = f"{study.time:%Y%m%d%H%M%S}"
    dataset.AcquisitionContextSequence = []
    stored = storage.to_stored(millivolts)  # (L, T)
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = stored.shape
    group.SamplingFrequency = f"{rate_hz:.10g}"
    group.ChannelDefinitionSequence = [_channel(lead, storage) for lead in leads]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new("WaveformData", "OW", stored.T.astype("<i2").tobytes())
    dataset.WaveformSequence = [group]
    return dataset


def _channel(lead: str, storage: EcgStorage) -> Dataset:
    channel = Dataset()
    channel.ChannelLabel = lead
    value, version = f"{CODE_STARTS[storage.scheme]}{LEAD_TERMS[lead]}", SCHEME_VERSIONS[storage.scheme]
    channel.ChannelSourceSequence = [code(value, storage.scheme, LEAD_MEANINGS.get(lead, f"Lead {lead}"), version)]
    channel.ChannelSensitivity = storage.sensitivity
    channel.ChannelSensitivityUnitsSequence = [code(storage.unit, "UCUM", UNIT_MEANINGS[storage.unit])]
    channel.ChannelSensitivityCorrectionFactor = storage.correction
    channel.ChannelBaseline = storage.baseline
    channel.ChannelSampleSkew = 0
    channel.WaveformBitsStored = 16
    return channel
