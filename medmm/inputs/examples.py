"""Synthetic evidence for the golden samples of a package: files, cells and notes of nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medmm.files import write_bytes
from medmm.types import Array, Evidence

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from medmm.cohort.synthetic.settings import SyntheticSettings
    from medmm.cohort.synthetic.truth import StudyTruth

NOBODY = "GOLDEN"
RADIOGRAPH_SIZE, CT_SIZE, CT_SLICES = 64, 32, 8
"""Small, since they travel in the package and run before every scoring; JPEG 2000 needs 32 rows and columns."""

FLAT_MODALITIES = frozenset({"CT", "MR", "PT", "NM"})
"""Whose single images are slices; the others are radiographs of a kind."""

LONGER = 1.05
"""How much longer a recording is than what is asked of it."""

ECG_RATES_HZ = (50.0, 1000.0)
"""What PS3.3, section A.34.5, allows in an ambulatory ECG."""

TWELVE_LEAD_LOWEST_HZ, TWELVE_LEAD_SAMPLES = 200.0, 16384
"""Lowest rate and most samples in a 12-lead ECG: section A.34.3."""

MOST_CHANNELS = 16
SMOOTHED = 8
"""Samples of noise in one value of a table."""

EMPTY_SHARE = 0.2
SPREAD_OF_A_CONSTANT = 1.0
WORDS = 12


def image_example(rng: np.random.Generator, folder: Path, *, flat: bool, modality: Sequence[str], images: int) -> Evidence:
    """Write DICOM files of synthetic chests: a radiograph, or slices of a CT.

    They are stored in one of the ways that hospitals use, lossless, so that the decoders of a machine are tried too. The
    Modality is one of those asked for, where its images are of this kind; nothing else about them is of that modality.

    Args:
        rng: Fixes what is made.
        folder: Where the files are written.
        flat: Whether an image has two sides.
        modality: Those that the input takes; any where empty.
        images: Most images of a study.
    """
    from medmm.cohort.synthetic.dicom import ct_datasets, radiograph_dataset

    sliced = not flat or (bool(modality) and set(modality) <= FLAT_MODALITIES)
    sides = {"radiograph_size": RADIOGRAPH_SIZE, "ct_size": CT_SIZE, "ct_slices": CT_SLICES}
    count = min(images, 2)
    found = []
    for _ in range(count):
        study, settings = _study_of_nobody(rng, **sides)
        made = ct_datasets(study, settings) if sliced else [radiograph_dataset(study, settings)]
        found.append(made[:1] if flat else made)
    files, counts = [], []
    for number, made in enumerate(found):
        for place, dataset in enumerate(made):
            files.append(folder / f"{number}-{place}")
            _save_as_nobody(dataset, files[-1])
        counts.append(len(made))
    return Evidence(files=tuple(files), counts=tuple(counts) if images > 1 and not flat else ())


def signal_example(
    rng: np.random.Generator, folder: Path, *, leads: Sequence[str], rate_hz: float, seconds: float, units: Sequence[str]
) -> Evidence:
    """Write a synthetic recording in the format that such recordings come in.

    Leads of an ECG become a DICOM waveform, and numbers of channels a WAV file of heart sounds, where these can hold the rate
    and the unit. Everything else becomes a table of smooth noise: a column `time` in seconds and one for each lead, named
    `NAME [unit]`.

    Args:
        rng: Fixes what is made.
        folder: Where the file is written.
        leads: (L,) at least one.
        rate_hz: Samples a second.
        seconds: What the recording exceeds a little.
        units: (L,) UCUM code of each; `mV` or `uV` for an ECG, `1` for a sound.
    """
    from medmm.cohort.synthetic.ecg import LEADS
    from medmm.cohort.synthetic.heart_sound import write_sound

    assert leads, "a recording has a lead"
    file = folder / "0"
    longer = float(np.ceil(seconds * LONGER * rate_hz)) / rate_hz
    if set(leads) <= set(LEADS) and set(units) <= {"mV", "uV"} and ECG_RATES_HZ[0] <= rate_hz <= ECG_RATES_HZ[1]:
        _write_ecg(rng, file, leads, rate_hz, longer)
    elif set(units) == {"1"} and float(rate_hz).is_integer() and all(_is_channel(lead) for lead in leads):
        write_sound(file, _draw_sounds(rng, max(map(int, leads)), rate_hz, longer), int(rate_hz))
    else:
        _write_waveform_table(
            rng, file, [f"{lead} [{unit}]" if unit else lead for lead, unit in zip(leads, units, strict=True)], rate_hz, longer
        )
    return Evidence(files=(file,))


def cells_example(
    rng: np.random.Generator,
    scale: Mapping[str, Sequence[float]],
    within: Mapping[str, tuple[float, float] | None],
    categories: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Draw cells as they were in training, some of them empty, never all.

    Args:
        rng: Fixes what is drawn.
        scale: Number -> its centre and standard deviation.
        within: Number -> its plausible range, where it has one.
        categories: Category -> what it may be; none where training knew none.
    """
    cells: dict[str, str] = {}
    for name, (centre, spread) in scale.items():
        value = rng.normal(centre, spread or SPREAD_OF_A_CONSTANT)
        limits = within.get(name)
        cells[name] = f"{value if limits is None else np.clip(value, *limits):.6g}"
        if limits is not None and not limits[0] <= float(cells[name]) <= limits[1]:  # by rounding
            cells[name] = repr(float(limits[0]))
    for name, known in categories.items():
        cells[name] = str(rng.choice(list(known))) if known else ""
    filled = [name for name, cell in cells.items() if cell]
    kept = str(rng.choice(filled)) if filled else ""
    return {name: "" if name != kept and rng.random() < EMPTY_SHARE else cell for name, cell in cells.items()}


def note_example(rng: np.random.Generator, known: Sequence[str]) -> str:
    """Write a synthetic note, with headings and negations, that also holds some words which the tokenizer knows.

    Args:
        rng: Fixes what is written.
        known: Entries of a vocabulary; only those that are whole words are taken.
    """
    from medmm.cohort.synthetic.records import note_rows

    (row, *_) = note_rows(*_study_of_nobody(rng))
    words = sorted(word for word in known if word.isalpha() and word.islower())
    taken = rng.choice(words, min(WORDS, len(words)), replace=False).tolist() if words else []
    return f"{' '.join(taken)}.\n{row['text']}" if taken else row["text"]


def _study_of_nobody(rng: np.random.Generator, **sides: int) -> tuple[StudyTruth, SyntheticSettings]:
    """Draw a study that lacks nothing, whose identifiers say that it is nobody's."""
    from pydicom.uid import generate_uid

    from medmm.cohort.synthetic.settings import SyntheticSettings
    from medmm.cohort.synthetic.truth import draw_truth

    settings = SyntheticSettings.model_validate({"patients": 1, "absent": {}, "seed": int(rng.integers(2**32)), **sides})
    uid = str(generate_uid(entropy_srcs=[NOBODY, str(settings.seed)]))
    return replace(draw_truth(settings)[0], patient_id=NOBODY, study_id=NOBODY, study_uid=uid), settings


def _save_as_nobody(dataset: Dataset, file: Path) -> None:
    dataset.PatientName, dataset.PatientBirthDate, dataset.InstitutionName = NOBODY, "", NOBODY
    dataset.save_as(file, enforce_file_format=True)


def _write_ecg(rng: np.random.Generator, file: Path, leads: Sequence[str], rate_hz: float, seconds: float) -> None:
    """Write a 12-lead ECG, or an ambulatory one where the former may not have this rate or length."""
    from pydicom.uid import AmbulatoryECGWaveformStorage, TwelveLeadECGWaveformStorage

    from medmm.cohort.synthetic.ecg import LEADS, draw_ecg
    from medmm.cohort.synthetic.ecg_dicom import draw_ecg_storage, waveform_dataset
    from medmm.cohort.synthetic.heart import draw_heart

    study, settings = _study_of_nobody(rng)
    values = draw_ecg(rng, draw_heart(study, settings), rate_hz, seconds)[[LEADS.index(lead) for lead in leads]]  # (L, T)
    usual = rate_hz >= TWELVE_LEAD_LOWEST_HZ and values.shape[1] <= TWELVE_LEAD_SAMPLES
    kind = TwelveLeadECGWaveformStorage if usual else AmbulatoryECGWaveformStorage
    _save_as_nobody(waveform_dataset(study, kind, draw_ecg_storage(study, settings), leads, values, rate_hz), file)


def _is_channel(lead: str) -> bool:
    return lead.isascii() and lead.isdecimal() and 1 <= int(lead) <= MOST_CHANNELS


def _draw_sounds(rng: np.random.Generator, channels: int, rate_hz: float, seconds: float) -> Array:
    """Draw heart sounds of one heart, each recorded by itself: (channels, T)."""
    from medmm.cohort.synthetic.heart import draw_heart
    from medmm.cohort.synthetic.heart_sound import draw_heart_sound

    heart = draw_heart(*_study_of_nobody(rng))
    return np.stack([draw_heart_sound(rng, heart, rate_hz, seconds) for _ in range(channels)])


def _write_waveform_table(rng: np.random.Generator, file: Path, columns: Sequence[str], rate_hz: float, seconds: float) -> None:
    """Write a parquet file of noise that is slow against the samples, with a standard deviation near 1."""
    import pyarrow as pa
    from pyarrow import parquet

    count = round(seconds * rate_hz)
    steps = rng.normal(size=(len(columns), count + SMOOTHED - 1))
    kernel = np.ones(SMOOTHED) / np.sqrt(SMOOTHED)
    values = [np.convolve(one, kernel, "valid").round(6) for one in steps]
    content = pa.BufferOutputStream()
    parquet.write_table(pa.table([np.arange(count) / rate_hz, *values], names=["time", *columns]), content)
    write_bytes(file, content.getvalue().to_pybytes())
