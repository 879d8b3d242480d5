"""Draw a chest once, and show it as a radiograph and as a CT.

Body coordinates (x, y, z) point to the patient's left, back and head, the torso fills about -1 to 1 on each axis.
The opacity lies in one lung; its density and size follow the study's image latent and nothing else.
"""

from dataclasses import dataclass

import numpy as np

from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import SITE_SHIFTS, Purpose, StudyTruth, stream
from medmm.types import Array

LUNG_CENTRE = (0.43, 0.0, 0.05)
LUNG_RADII = (0.33, 0.44, 0.66)
HEART_CENTRE = (0.10, -0.18, -0.28)
HEART_RADII = (0.30, 0.30, 0.30)
OPACITY_RADIUS = 0.22
RIB_PAIRS_PER_UNIT = 4.5

RADIOGRAPH_OPACITY = 0.4
RADIOGRAPH_NOISE = 0.025
RADIOGRAPH_TEXTURE = 0.015
CT_OPACITY_HU = 700.0
CT_NOISE_HU = 50.0
CT_TEXTURE_HU = 45.0
CT_RANGE_HU = (-1024.0, 3071.0)
"""What 12 bits hold."""

AIR_HU, LUNG_HU, TISSUE_HU, BONE_HU = -1000.0, -840.0, 40.0, 500.0
MARKER_SHARE = 1 / 12
MARKER_HU = 2000.0


@dataclass(frozen=True)
class Chest:
    """One person's chest at the time of a study; lengths in body coordinates.

    Attributes:
        shift: (3,) of the whole chest.
        scale: (3,) of the whole chest, about 1.
        lean: Shift along x for each unit of z.
        rib_phase: Where the ribs begin, in rib pairs.
        heart: Size of the heart, about 1.
        opacity_centre: (3,) in the lung.
        opacity_density: Share of the densest opacity, from 0.
        opacity_radius: Standard deviation of the opacity's profile.
        brightness: Of this study's images, in standard deviations over chests.
        noise: Of this study's images, relative to the usual.
    """

    shift: Array
    scale: Array
    lean: float
    rib_phase: float
    heart: float
    opacity_centre: Array
    opacity_density: float
    opacity_radius: float
    brightness: float
    noise: float


def draw_chest(study: StudyTruth, settings: SyntheticSettings) -> Chest:
    """Draw the chest of a study; the same for its radiograph and its CT."""
    rng = stream(settings, Purpose.CHEST, study.person.number, study.order)
    site = settings.site_effect * SITE_SHIFTS[study.person.site]
    side = rng.choice([-1, 1])
    within_lung = rng.uniform(-0.55, 0.55, size=3)
    centre = np.array(LUNG_CENTRE) * (side, 1, 1) + within_lung * LUNG_RADII
    return Chest(
        shift=rng.normal(0, 0.03, size=3),
        scale=rng.normal(1, 0.04, size=3),
        lean=rng.normal(0, 0.03),
        rib_phase=rng.uniform(),
        heart=rng.normal(1, 0.08),
        opacity_centre=centre,
        opacity_density=float(np.clip(0.5 + 0.6 * study.image, 0, 1.7)),
        opacity_radius=float(OPACITY_RADIUS * np.clip(1 + 0.25 * study.image, 0.5, 1.5)),
        brightness=rng.normal() + site + settings.drift,
        noise=rng.uniform(0.8, 1.2) * np.exp(0.4 * (site + settings.drift)),
    )


def render_radiograph(study: StudyTruth, settings: SyntheticSettings) -> Array:
    """Render the frontal radiograph of a study.

    Returns:
        (rows, columns) from 0, air, to 1, dense; the patient's left at the viewer's right, the head above.
    """
    chest = draw_chest(study, settings)
    rng = stream(settings, Purpose.RADIOGRAPH_NOISE, study.person.number, study.order)
    size = settings.radiograph_size
    axis = _axis(size)
    x, y, z = _place(chest, axis[None, :], np.zeros((1, 1)), -axis[:, None])
    lungs = _lungs(x, y, z)
    torso = _soft((np.abs(x) - 0.88 + 0.15 * np.maximum(z, 0)) / 0.03)
    density = 0.05 + 0.55 * torso - 0.36 * lungs
    density += 0.22 * _heart(chest, x, y, z) + 0.16 * np.exp(-((x / 0.08) ** 2)) * torso
    density += 0.07 * _ribs(chest, x, z) * torso
    density += RADIOGRAPH_OPACITY * _opacity(chest, x, chest.opacity_centre[1], z) * lungs
    density += RADIOGRAPH_TEXTURE * _texture(rng, (size, size)) * torso
    density += 0.02 * chest.brightness + rng.normal(0, RADIOGRAPH_NOISE * chest.noise, size=(size, size))
    return _marked(np.clip(density, 0, 1), study, settings, 1.0)


def render_ct(study: StudyTruth, settings: SyntheticSettings) -> Array:
    """Render the CT of a study.

    Returns:
        (slices, rows, columns) in Hounsfield units, -1024 to 3071; slices from the feet to the head, rows to the back,
        columns to the patient's left.
    """
    chest = draw_chest(study, settings)
    rng = stream(settings, Purpose.CT_NOISE, study.person.number, study.order)
    shape = (settings.ct_slices, settings.ct_size, settings.ct_size)
    slices, rows, columns = (_axis(length) for length in shape)
    x, y, z = _place(chest, columns[None, None, :], rows[None, :, None], slices[:, None, None])
    lungs = _lungs(x, y, z) * (1 - _heart(chest, x, y, z))
    skin = np.hypot(x / 0.92, y / 0.68)
    body = _soft((skin - 1) / 0.03)
    values = AIR_HU + (TISSUE_HU - AIR_HU) * body + (LUNG_HU - TISSUE_HU) * lungs
    values += CT_OPACITY_HU * _opacity(chest, x, y, z) * lungs
    values += (BONE_HU - TISSUE_HU) * _soft((np.hypot(x, y - 0.46) - 0.11) / 0.02)
    values += (BONE_HU - TISSUE_HU) * _ribs(chest, x, z) * np.exp(-(((skin - 0.85) / 0.05) ** 2))
    values += CT_TEXTURE_HU * _texture(rng, shape) * body
    values += 15 * chest.brightness + rng.normal(0, CT_NOISE_HU * chest.noise, size=shape)
    return _marked(np.clip(values, *CT_RANGE_HU), study, settings, MARKER_HU)


def _axis(length: int) -> Array:
    """Give the coordinates of pixel centres from -1 to 1."""
    return (np.arange(length) + 0.5) / length * 2 - 1


def _place(chest: Chest, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Undo where and how this chest stands, so that all chests are drawn in the same coordinates."""
    x = (x - chest.shift[0] - chest.lean * z) / chest.scale[0]
    return x, (y - chest.shift[1]) / chest.scale[1], (z - chest.shift[2]) / chest.scale[2]


def _soft(distance: Array) -> Array:
    """Go from 1 inside to 0 outside, over a distance of a few units."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance, -30, 30))))


def _ellipsoid(place: tuple[Array, Array, Array], centre: tuple[float, ...], radii: tuple[float, ...]) -> Array:
    squares = (((axis - middle) / radius) ** 2 for axis, middle, radius in zip(place, centre, radii, strict=True))
    return _soft((np.sqrt(sum(squares)) - 1) / 0.06)


def _lungs(x: Array, y: Array, z: Array) -> Array:
    return _ellipsoid((np.abs(x), y, z), LUNG_CENTRE, LUNG_RADII) * _soft((-0.52 - 0.12 * np.cos(7 * x) - z) / 0.03)


def _heart(chest: Chest, x: Array, y: Array, z: Array) -> Array:
    radii = tuple(chest.heart * radius for radius in HEART_RADII)
    return _ellipsoid((x, y, z), HEART_CENTRE, radii)


def _ribs(chest: Chest, x: Array, z: Array) -> Array:
    """Give thin bands, falling to the sides."""
    turns = RIB_PAIRS_PER_UNIT * (z + 0.5 * (np.abs(x) - 0.3) ** 2) + chest.rib_phase
    return np.exp(-((np.sin(np.pi * turns) / 0.4) ** 2)) * _soft((np.abs(x) - 0.8) / 0.03) * _soft((0.05 - np.abs(x)) / 0.03)


def _opacity(chest: Chest, x: Array, y: Array, z: Array) -> Array:
    squares = sum((axis - middle) ** 2 for axis, middle in zip((x, y, z), chest.opacity_centre, strict=True))
    return np.asarray(chest.opacity_density * np.exp(-squares / (2 * chest.opacity_radius**2)))


def _texture(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Give smooth noise about as coarse as the opacity, standard normal at its knots, as vessels and fat make it."""
    knots = 10
    texture = rng.normal(size=(knots,) * len(shape))
    for length in shape:
        places = np.linspace(0, knots - 1, length)
        weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(knots)))  # (length, knots)
        texture = np.tensordot(texture, weights, axes=(0, 1))
    return texture


def _marked(values: Array, study: StudyTruth, settings: SyntheticSettings, bright: float) -> Array:
    if settings.leak == "marker" and study.label:
        width = max(2, round(values.shape[-1] * MARKER_SHARE))
        values[..., 1 : 1 + width, 1 : 1 + width] = bright
    return values
