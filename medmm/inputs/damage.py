"""What may go wrong with an input between the bedside and the model, in steps of severity: how robust a model is, shows here.

A damage of an image acts on what was prepared; one of a note or of cells on what was found, which is then read and prepared as
any other, so that what must be refused is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature

import numpy as np

from medmm.inputs import damage_image, damage_signal, damage_text
from medmm.inputs.base import Fields, Input
from medmm.inputs.damage_cells import in_another_unit, noisy
from medmm.inputs.damage_image import each_image, lose_images
from medmm.inputs.image import ImageInput
from medmm.inputs.signal import SignalInput
from medmm.inputs.signal_scale import Scale
from medmm.inputs.tabular import TabularInput
from medmm.inputs.text import TextInput
from medmm.tables import Table
from medmm.types import Array, Evidence


@dataclass(frozen=True)
class Damage:
    """One way in which an input is damaged.

    Attributes:
        label: For the eye.
        unit: What the severity counts, for the eye.
        severities: From mild to hard.
        make: (input, evidence, prepared fields, severity, rng) -> damaged fields; raises Rejected where they would be refused.
        suits: Tells whether an input of the kind can be damaged so.
    """

    label: str
    unit: str
    severities: tuple[float, ...]
    make: Callable[[Input[object], Evidence, Mapping[str, Array], float, np.random.Generator], Fields]
    suits: Callable[[Input[object]], bool] = lambda _: True


def damages_of(one: Input[object]) -> dict[str, Damage]:
    """Give the damages that an input can take, by name."""
    return {name: damage for name, damage in DAMAGES[one.settings.kind].items() if damage.suits(one)}


def _image(
    damage: Callable[[Array, float, np.random.Generator], Array],
    one: Input[object],
    evidence: Evidence,
    fields: Mapping[str, Array],
    severity: float,
    rng: np.random.Generator,
) -> Fields:
    return each_image(damage, fields, severity, rng)


def _fewer_images(
    one: Input[object], evidence: Evidence, fields: Mapping[str, Array], severity: float, rng: np.random.Generator
) -> Fields:
    return lose_images(fields, severity, rng)


def _note(
    damage: Callable[[str, float, np.random.Generator], str],
    one: Input[object],
    evidence: Evidence,
    fields: Mapping[str, Array],
    severity: float,
    rng: np.random.Generator,
) -> Fields:
    assert isinstance(one, TextInput)
    return one.prepare(damage(one.read(evidence), severity, rng))


def _cells(
    damage: Callable[[TabularInput, Mapping[str, str], float, np.random.Generator], dict[str, str]],
    one: Input[object],
    evidence: Evidence,
    fields: Mapping[str, Array],
    severity: float,
    rng: np.random.Generator,
) -> Fields:
    assert isinstance(one, TabularInput)
    assert evidence.cells is not None
    return one.prepare(one.read(Evidence(cells=damage(one, evidence.cells, severity, rng))))


def _signal(
    damage: Callable[..., Array],
    one: Input[object],
    evidence: Evidence,
    fields: Mapping[str, Array],
    severity: float,
    rng: np.random.Generator,
) -> Fields:
    """Damage a signal by a function that takes some of what is known of it by name."""
    assert isinstance(one, SignalInput)
    s, scale = one.settings, Scale.of(one.state)
    silent = damage_signal.silence(scale, 0.0 if s.spectrogram is None else s.spectrogram.floor_db)
    known = {
        "rate_hz": s.rate_hz,
        "mains_hz": s.mains_hz or damage_signal.MAINS_HZ,
        "scale": scale,
        "silent": silent,
        "leads": one.state["leads"],
    }
    own = {name: value for name, value in known.items() if name in signature(damage).parameters}
    return damage_signal.each_signal(partial(damage, **own), fields, severity, rng)


def _is_trace(one: Input[object]) -> bool:
    return isinstance(one, SignalInput) and one.settings.spectrogram is None


def _is_spectrogram(one: Input[object]) -> bool:
    return isinstance(one, SignalInput) and one.settings.spectrogram is not None


def _hums(one: Input[object]) -> bool:
    """Tell whether a recorder's rate could show the mains."""
    return _is_trace(one) and isinstance(one, SignalInput) and one.settings.rate_hz > 2 * damage_signal.MAINS_HZ


def _has_leads(one: Input[object]) -> bool:
    return isinstance(one, SignalInput) and len(one.state["leads"]) > 1


def _shows_arms(one: Input[object]) -> bool:
    return _is_trace(one) and isinstance(one, SignalInput) and damage_signal.has_arms(one.state["leads"])


def _is_volume(one: Input[object]) -> bool:
    return isinstance(one, ImageInput) and len(one.settings.size) == 3


def _has_several(one: Input[object]) -> bool:
    return isinstance(one, ImageInput) and one.settings.images > 1


def _has_numbers(one: Input[object]) -> bool:
    return isinstance(one, TabularInput) and bool(one.settings.numeric)


DAMAGES: Table[Mapping[str, Damage]] = Table(
    "damage of kind",
    {
        "image": {
            "noise": Damage(
                "noise", "deviation, share of the window", (0.02, 0.05, 0.1, 0.2), partial(_image, damage_image.noise)
            ),
            "blur": Damage("blur", "deviation, pixels", (0.5, 1, 2, 4), partial(_image, damage_image.blur)),
            "gamma": Damage("gamma", "exponent, or one by it", (1.2, 1.5, 2, 3), partial(_image, damage_image.gamma)),
            "rotation": Damage("rotation", "degrees", (5, 10, 20, 45), partial(_image, damage_image.rotation)),
            "window_shift": Damage(
                "shifted window", "share of the window", (0.05, 0.1, 0.2, 0.4), partial(_image, damage_image.window_shift)
            ),
            "lost_slices": Damage(
                "dropped slices",
                "share of the slices",
                (0.1, 0.25, 0.5, 0.75),
                partial(_image, damage_image.lost_slices),
                _is_volume,
            ),
            "lost_images": Damage("dropped images", "share of the images", (0.25, 0.5, 0.75), _fewer_images, _has_several),
        },
        "tabular": {
            "noise": Damage(
                "noise",
                "share of the deviation, or the value",
                (0.1, 0.2, 0.35, 0.5),
                partial(_cells, noisy),
                _has_numbers,
            ),
            "wrong_unit": Damage(
                "wrong unit", "share of the numbers", (0.1, 0.25, 0.5, 1), partial(_cells, in_another_unit), _has_numbers
            ),
        },
        "text": {
            "typos": Damage("typos", "share of the words", (0.05, 0.1, 0.2, 0.4), partial(_note, damage_text.typos)),
            "lost_sections": Damage(
                "dropped sections", "share of the sections", (0.25, 0.5, 0.75), partial(_note, damage_text.lost_sections)
            ),
            "lost_sentences": Damage(
                "dropped sentences",
                "share of the sentences",
                (0.1, 0.25, 0.5, 0.75),
                partial(_note, damage_text.lost_sentences),
            ),
        },
        "signal": {
            "noise": Damage(
                "noise", "deviation, spreads of the lead", (0.1, 0.2, 0.5, 1), partial(_signal, damage_signal.noise)
            ),
            "hum": Damage("mains hum", "height, spreads", (0.1, 0.2, 0.5, 1), partial(_signal, damage_signal.hum), _hums),
            "wander": Damage(
                "wandering baseline", "height, spreads", (0.5, 1, 2, 4), partial(_signal, damage_signal.wander), _is_trace
            ),
            "gain": Damage("wrong gain", "factor, or one by it", (1.1, 1.25, 1.5, 2), partial(_signal, damage_signal.gain)),
            "clipped": Damage(
                "overdriven", "share of the height", (0.1, 0.25, 0.5, 0.75), partial(_signal, damage_signal.clipped), _is_trace
            ),
            "lost_leads": Damage(
                "lost leads",
                "share of the leads",
                (0.1, 0.25, 0.5, 0.75),
                partial(_signal, damage_signal.lost_leads),
                _has_leads,
            ),
            "lost_stretch": Damage(
                "lost contact", "share of the time", (0.1, 0.25, 0.5, 0.75), partial(_signal, damage_signal.lost_stretch)
            ),
            "muffled": Damage(
                "muffled", "share of the bands", (0.1, 0.25, 0.5), partial(_signal, damage_signal.muffled), _is_spectrogram
            ),
            "swapped_arms": Damage(
                "exchanged arm leads",
                "share of the studies",
                (0.25, 0.5, 1),
                partial(_signal, damage_signal.swapped_arms),
                _shows_arms,
            ),
        },
    },
)
"""Kind of input -> name of the damage -> the damage; every kind has some."""
