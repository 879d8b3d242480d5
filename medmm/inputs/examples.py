"""Synthetic evidence for the golden samples of a package: files, cells and notes of nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medmm.types import Evidence

NOBODY = "GOLDEN"
RADIOGRAPH_SIZE, CT_SIZE, CT_SLICES = 64, 32, 8
"""Small, since they travel in the package and run before every scoring; JPEG 2000 needs 32 rows and columns."""

FLAT_MODALITIES = frozenset({"CT", "MR", "PT", "NM"})
"""Whose single images are slices; the others are radiographs of a kind."""

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
    from pydicom.uid import generate_uid

    from medmm.cohort.synthetic.dicom import ct_datasets, radiograph_dataset
    from medmm.cohort.synthetic.settings import SyntheticSettings
    from medmm.cohort.synthetic.truth import draw_truth

    sliced = not flat or (bool(modality) and set(modality) <= FLAT_MODALITIES)
    sides = {"radiograph_size": RADIOGRAPH_SIZE, "ct_size": CT_SIZE, "ct_slices": CT_SLICES}
    count = min(images, 2)
    found = []
    for _ in range(count):
        settings = SyntheticSettings(patients=1, absent={}, seed=int(rng.integers(2**32)), **sides)
        uid = str(generate_uid(entropy_srcs=[NOBODY, str(settings.seed)]))
        study = replace(draw_truth(settings)[0], patient_id=NOBODY, study_id=NOBODY, study_uid=uid)
        made = ct_datasets(study, settings) if sliced else [radiograph_dataset(study, settings)]
        found.append(made[:1] if flat else made)
    files, counts = [], []
    for number, made in enumerate(found):
        for place, dataset in enumerate(made):
            dataset.PatientName, dataset.PatientBirthDate, dataset.InstitutionName = NOBODY, "", NOBODY
            files.append(folder / f"{number}-{place}")
            dataset.save_as(files[-1], enforce_file_format=True)
        counts.append(len(made))
    return Evidence(files=tuple(files), counts=tuple(counts) if images > 1 and not flat else ())


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
    from medmm.cohort.synthetic.settings import SyntheticSettings
    from medmm.cohort.synthetic.truth import draw_truth

    settings = SyntheticSettings(patients=1, absent={}, seed=int(rng.integers(2**32)))
    (row, *_) = note_rows(draw_truth(settings)[0], settings)
    words = sorted(word for word in known if word.isalpha() and word.islower())
    taken = rng.choice(words, min(WORDS, len(words)), replace=False).tolist() if words else []
    return f"{' '.join(taken)}.\n{row['text']}" if taken else row["text"]
