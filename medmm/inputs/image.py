"""Images of a study, 2D or 3D: found by the headers, read by our readers, prepared in one fused step, augmented by MONAI."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from medmm.cohort.scan import SeriesFound
from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders import IMAGE_ENCODERS
from medmm.encoders.base import ImageEncoderSettings
from medmm.encoders.convolutional import DenseNet121, ResNet18
from medmm.encoders.several import THERE, Several
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import FEW_PATIENTS, Fields, Found, Input, InputSettings
from medmm.inputs.examples import image_example
from medmm.inputs.perturbation import blank_features
from medmm.inputs.series_choice import Considered, SeriesChoice, choose
from medmm.readers import open_image, open_several
from medmm.readers.formats import files_in
from medmm.readers.reading import AS_STORED, Reading
from medmm.readers.resample import prepare_image
from medmm.readers.slices import Slices
from medmm.settings import Plain, Settings, named_choice
from medmm.types import Array, Evidence, Facts, Study, Volume

if TYPE_CHECKING:
    from monai.transforms.compose import Compose
    from torch import nn


BLANK = 0.3
"""Side of the box that a strong augmentation blanks."""


class AugmentationSettings(Settings):
    """Random changes of a training image; all zero turns them off."""

    shift: float = Field(0.05, ge=0, le=0.5)
    """Largest shift, as a share of each side."""

    rotation_degrees: float = Field(5.0, ge=0, le=180)
    """Largest rotation, in the plane of a 2D image or about the body's axis."""

    scale: float = Field(0.05, ge=0, lt=1)
    """Largest change of size."""

    noise: float = Field(0.01, ge=0)
    """Standard deviation of added noise; the window is 1."""

    contrast: float = Field(0.1, ge=0, lt=1)
    """Largest change of gamma about 1."""

    blank: float = Field(0.0, ge=0, lt=1)
    """Side of a box that is blanked with noise, as a share of each side.

    Source: DeVries and Taylor 2017, Cutout.
    """

    def stronger(self) -> Self:
        """Give changes thrice as large, none below a usual size, and a blanked box."""
        usual = AugmentationSettings()
        return type(self)(
            shift=min(0.3, 3 * max(self.shift, usual.shift)),
            rotation_degrees=min(45.0, 3 * max(self.rotation_degrees, usual.rotation_degrees)),
            scale=min(0.3, 3 * max(self.scale, usual.scale)),
            noise=3 * max(self.noise, usual.noise),
            contrast=min(0.5, 3 * max(self.contrast, usual.contrast)),
            blank=max(self.blank, BLANK),
        )


class ImageSettings(InputSettings):
    """Images in DICOM, NIfTI, PNG or JPEG."""

    kind: Literal["image"] = "image"
    """Which kind."""

    path: str
    """Folder with the images, inside the export; its inner order is of no matter."""

    match: Literal["study_uid", "accession", "file"] = "study_uid"
    """What joins image and study: StudyInstanceUID, AccessionNumber, or the path of a file or folder below `path`."""

    column: str | None = None
    """Column of the studies table that holds it; the study's identifier where left out."""

    check_patient: bool = True
    """Reject an image whose header names another patient than the studies table."""

    modality: tuple[str, ...] = ()
    """DICOM Modality of the series to take, such as CT, or CR and DX; any where left out."""

    series: SeriesChoice = SeriesChoice()
    """Which series to take where a study has several."""

    images: int = Field(1, ge=1, le=64)
    """Most images of a study that are read. With more than one, each is encoded by itself and attention weighs them. An input
    of 2D size then takes slices, evenly spaced through the body in all series that pass; one of 3D size takes as many of the
    series that pass, by preference; with `match: file` each file of a folder is an image."""

    reading: Reading = AS_STORED
    """Whether tilted stacks, PET units and screen windows of DICOM are turned into something else."""

    size: tuple[int, ...] = (224, 224)
    """Rows and columns of a 2D image; right, anterior and superior side of a 3D one."""

    spacing_mm: tuple[float, ...] | None = None
    """Resample to this spacing, then crop or pad to `size`; where left out, the whole field of view becomes `size`."""

    window: tuple[float, float] | None = None
    """Values that become 0 and 1, in real units; where left out, the 0.5 and 99.5 percentile of each image, or 0 and 1 for
    values of presentation."""

    channels: Literal[1, 3] = 1
    """1 for grey images, 3 to keep colour."""

    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes in training."""

    encoder: Annotated[SerializeAsAny[ImageEncoderSettings], BeforeValidator(named_choice("name", lambda: IMAGE_ENCODERS))] = (
        DenseNet121()
    )
    """The network; where left out, densenet121, or below 1,000 training patients a resnet18 of 16 channels."""

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if len(self.size) not in {2, 3} or min(self.size) < 8:
            raise ValueError("size has 2 or 3 sides of at least 8")
        if self.spacing_mm is not None and (len(self.spacing_mm) != len(self.size) or min(self.spacing_mm) <= 0):
            raise ValueError("spacing_mm has a positive number for each side of size")
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("window goes from a lower to a higher value")
        if self.match == "file" and self.series != SeriesChoice():
            raise ValueError("rules of series choose by headers, so they cannot act with match: file")
        return self

    def suited(self, patients: int) -> ImageEncoderSettings:
        """Give the encoder for a run that does not name one."""
        return ResNet18(channels=16) if patients < FEW_PATIENTS else DenseNet121()

    def stands_in(self, sources: Sources) -> bool:
        """Tell whether an export has the folder."""
        return sources.has(self.path)

    def meaning(self) -> Mapping[str, Plain]:
        """Tell what the prepared images are."""
        return self.model_dump(mode="json", include={"kind", "size", "spacing_mm", "window", "channels", "images", "reading"})

    def open(self, name: str, state: Plain = None) -> Input[object]:
        """Make the input."""
        return ImageInput(name, self, state)  # type: ignore[return-value]


Image: TypeAlias = Volume | Slices | tuple[Slices, ...]
"""What is read of a study: its image, or its images where an input takes several."""

STACKING = frozenset({Code.GAP, Code.DUPLICATE, Code.TILT, Code.MIXED_SERIES})
"""What speaks against slices as one volume, but not against each of them as an image."""


class ImageInput(Input[Image]):
    """Images of a study. Nothing about it is learned from the training studies."""

    meanings: ClassVar[Mapping[str, str]] = {
        "image": "decoded, oriented, resampled and windowed as `settings` say: float in [0, 1], channels first",
        THERE: "1 for each image that the study has",
    }
    decodes: ClassVar[bool] = True

    def __init__(self, name: str, settings: ImageSettings, state: Plain = None) -> None:
        super().__init__(name, state)
        self._settings = settings

    @property
    def settings(self) -> ImageSettings:
        """The settings, as the run file gave them."""
        return self._settings

    def study_columns(self, cohort: CohortSettings) -> Sequence[str]:
        """Name the column that joins study and image."""
        return (self.settings.column or cohort.study,)

    def gather(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        """Find the series of every study by its header, or its file by its path."""
        if self.settings.match == "file":
            return [self._file(sources, key) for key in self._keys(sources, studies)]
        weighed = self.weigh(sources, studies)
        return [self._found(study, considered) for study, considered in zip(studies, weighed, strict=True)]

    def weigh(self, sources: Sources, studies: Sequence[Study]) -> list[tuple[Considered, ...]]:
        """Give the series of every study, taken or left; none where images are joined by their files."""
        if self.settings.match == "file":
            return [()] * len(studies)
        series: dict[str, list[SeriesFound]] = {}
        for found in sources.scan(self.settings.path).series:
            series.setdefault(getattr(found, self.settings.match), []).append(found)
        rules, modalities, flat = self.settings.series, self.settings.modality, self._flat
        most = None if flat and self.settings.images > 1 else self.settings.images
        own = (series.get(key, []) if key else [] for key in self._keys(sources, studies))
        return [choose(found, rules, modalities, flat, most) for found in own]

    def cells_of(self, series: SeriesFound, cohort: CohortSettings) -> Mapping[str, str]:
        """Give the cells of the studies table that join a series to its study.

        Raises:
            DataError: Images are joined by file names, which no header tells.
        """
        if self.settings.match == "file":
            raise DataError(f"input {self.name!r} finds its images by file names: give a studies table that holds them")
        (column,) = self.study_columns(cohort)
        return {column: getattr(series, self.settings.match)}

    def read(self, evidence: Evidence) -> Image:
        """Check the headers of the one volume of the files, or of each image; `prepare` decodes slices as it goes."""
        reading, most = self.settings.reading, self.settings.images
        if most == 1:
            return open_image(evidence.files, reading)
        if not evidence.counts:
            return tuple(open_several(evidence.files, reading, most))
        return tuple(open_image(files, reading) for files in evidence.images())

    def fit(self, raws: Iterable[tuple[str, Image]]) -> Self:
        """Give the same input: preparation is fixed by the settings."""
        return self

    def prepare(self, raw: Image) -> Fields:
        """Decode, orient, resample and window: {"image": (K, *size) float16 in [0, 1]}.

        An input of several images gives {"image": (P, K, *size), "there": (P,)}, P its `images`.

        Raises:
            Rejected: The image must not be used.
        """
        s = self.settings
        shown = (0.0, 1.0) if s.reading.values == "presentation" else None
        if not isinstance(raw, tuple):
            return {"image": prepare_image(raw, s.size, s.window or shown, s.spacing_mm, s.channels)}
        images = np.zeros((s.images, s.channels, *s.size), np.float16)
        for place, one in enumerate(raw):
            images[place] = prepare_image(one, s.size, s.window or shown, s.spacing_mm, s.channels)
        return {"image": images, THERE: (np.arange(s.images) < len(raw)).astype(np.uint8)}

    def augment(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Shift, rotate, scale, change contrast and add noise."""
        if self._random is None or self.is_still(fields):
            return fields
        return _varied(fields, self._random, rng)

    def is_still(self, fields: Collection[str]) -> bool:
        """Tell whether nothing varies: augmentation is off, or these are the kept features of a frozen backbone."""
        return self._random is None or "image" not in fields

    def perturb(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Do the same thrice as far, and blank a box; of a frozen backbone blank some of the kept features."""
        if "image" not in fields:
            return blank_features(fields, rng)
        assert self._strong is not None
        return _varied(fields, self._strong, rng)

    def example(self, rng: np.random.Generator, folder: Path) -> Evidence:
        """Write DICOM files of synthetic chests: a radiograph, or slices."""
        s = self.settings
        return image_example(rng, folder, flat=self._flat, modality=s.modality, images=s.images)

    def made_up(self, rng: np.random.Generator) -> Fields:
        """Make noise, of as many images as come up."""
        s = self.settings
        image = rng.random((s.images, s.channels, *s.size)).astype(np.float16)
        if s.images == 1:
            return {"image": image[0]}
        return {"image": image, THERE: (np.arange(s.images) < rng.integers(1, s.images + 1)).astype(np.uint8)}

    def encoder(self, width: int) -> "nn.Module":
        """Build the network."""
        network = self.settings.encoder.build(width, self.settings.channels, self.settings.size)
        return network if self.settings.images == 1 else Several(network, width)

    def initialise(self, network: "nn.Module") -> str:
        """Load pretrained weights into what `encoder` built, and give a line about them; "" where there are none."""
        return self.settings.encoder.initialise(network.network if isinstance(network, Several) else network)

    @cached_property
    def _random(self) -> "Compose | None":
        return random_transforms(self.settings.augmentation, self.settings.size)

    @cached_property
    def _strong(self) -> "Compose | None":
        return random_transforms(self.settings.augmentation.stronger(), self.settings.size)

    def _keys(self, sources: Sources, studies: Sequence[Study]) -> list[str]:
        """Give the cell of every study that joins it to its image."""
        (column,) = self.study_columns(sources.settings)
        sources.table(sources.settings.studies, [column])
        return [study.cells[column] for study in studies]

    def _found(self, study: Study, considered: Sequence[Considered]) -> Found:
        """Give the series taken; a rejection where it, or whose it is, is in doubt: the next best is never taken instead."""
        asked = [one for one in considered if one.passed]
        if self.settings.check_patient and any(one.series.patient_id != study.patient_id for one in asked):
            return Rejected(
                Code.MIXED_PATIENTS,
                f"{study.key}, input {self.name}",
                "another patient's identifier in the image header",
                "that of the studies table",
                "correct the export, or set check_patient: false where images carry other identifiers on purpose",
            )
        taken = [one for one in asked if one.reason is None]
        if not taken:
            return None
        for one in taken:
            if one.unclear is not None:
                return one.unclear.at(f"{study.key}, input {self.name}")
            if one.problem is not None and not self._is_mended(one.problem):
                return one.problem.at(f"{study.key}, input {self.name}")
        files = [one.series.files for one in taken]
        apart = self.settings.images > 1 and not self._flat
        return Evidence(
            files=tuple(chain.from_iterable(files)),
            counts=tuple(map(len, files)) if apart else (),
            facts=facts_of([one.series for one in taken]),
        )

    @property
    def _flat(self) -> bool:
        return len(self.settings.size) == 2

    def _is_mended(self, problem: Rejected) -> bool:
        """Tell whether what headers say against a series is put right when it is read, or is of no matter."""
        if self.settings.images > 1 and self._flat and problem.code in STACKING:
            return True
        return problem.code is Code.TILT and self.settings.reading.tilt == "resample"

    def _file(self, sources: Sources, key: str) -> Found:
        if not key:
            return None
        path = sources.path(f"{self.settings.path}/{key}")
        if path.is_dir():
            files = tuple(files_in(path))
            return Evidence(files=files) if files else None
        return Evidence(files=(path,)) if path.is_file() else None


def facts_of(series: Sequence[SeriesFound]) -> Facts:
    """Give what the headers of series say together."""
    parts = {" ".join(traits.body_part.upper().split()) for one in series for traits in one.traits}
    thickness = [traits.thickness_mm for one in series for traits in one.traits if traits.thickness_mm is not None]
    pixels = [edge for one in series for edge in one.pixel_mm or ()]
    steps = [one.slice_mm for one in series if one.slice_mm is not None]
    return Facts(
        modalities=tuple(sorted({one.modality for one in series} - {""})),
        body_parts=tuple(sorted(parts - {""})),
        pixel_mm=_ends(pixels),
        slice_mm=_ends(steps),
        thickness_mm=_ends(thickness),
        age_years=next((one.age_years for one in series if one.age_years is not None), None),
    )


def _ends(values: Sequence[float]) -> tuple[float, float] | None:
    return (min(values), max(values)) if values else None


def random_transforms(settings: AugmentationSettings, size: Sequence[int]) -> "Compose | None":
    """Make the random part of the MONAI pipeline, which follows the deterministic one; None where nothing is random."""
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.array import RandAdjustContrast, RandCoarseDropout, RandGaussianNoise
    from monai.transforms.spatial.array import RandAffine

    radians = float(np.deg2rad(settings.rotation_degrees))
    steps: list[Callable[[Array], Array]] = []
    if settings.shift or radians or settings.scale:
        steps.append(
            RandAffine(
                prob=1.0,
                rotate_range=radians if len(size) == 2 else (0.0, 0.0, radians),
                translate_range=[settings.shift * side for side in size],
                scale_range=settings.scale,
                padding_mode="border",
            )
        )
    if settings.contrast:
        steps.append(RandAdjustContrast(prob=1.0, gamma=(1 - settings.contrast, 1 + settings.contrast)))
    if settings.noise:
        steps.append(RandGaussianNoise(prob=1.0, std=settings.noise))
    if settings.blank:
        box = [max(1, round(settings.blank * side)) for side in size]
        steps.append(RandCoarseDropout(holes=1, spatial_size=box, prob=1.0))
    return Compose(steps) if steps else None


def _varied(fields: Mapping[str, Array], chance: "Compose", rng: np.random.Generator) -> dict[str, Array]:
    chance.set_random_state(seed=int(rng.integers(2**31)))
    image = fields["image"].astype(np.float32)
    if THERE not in fields:
        return {**fields, "image": np.asarray(chance(image))}
    for place in np.flatnonzero(fields[THERE]):
        image[place] = chance(image[place])
    return {**fields, "image": image}
