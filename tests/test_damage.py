"""Damages of inputs: by hand, by seed, harder with severity, and refused where what comes out cannot be."""

import numpy as np
import pytest
from conftest import Hospital

from medmm.encoders.several import THERE
from medmm.errors import Code, Rejected
from medmm.inputs import INPUTS
from medmm.inputs.base import Fields, Input
from medmm.inputs.damage import DAMAGES, damages_of
from medmm.inputs.damage_cells import OTHER_UNITS, in_another_unit, mistakes_of, noisy
from medmm.inputs.damage_image import blur, each_image, gamma, lose_images, lost_slices, noise, rotation, window_shift
from medmm.inputs.damage_text import SENTENCE_END, lost_sections, lost_sentences, typos
from medmm.inputs.image import ImageSettings
from medmm.inputs.tabular import NumericColumn, TabularInput, TabularSettings
from medmm.readers.note_sections import split_sections
from medmm.readers.units import read_unit
from medmm.types import Array, Evidence

SEEDS = range(5)
NOTE = "History: cough for three days. No fever.\nExamination: lungs clear. Heart quiet.\nRequest: please exclude pneumonia.\n"


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def labs(numeric: dict[str, object], **settings: object) -> TabularInput:
    """Give an input whose training studies had a standard deviation of 2 in every number."""
    chosen = TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "numeric": numeric, **settings})
    return TabularInput("labs", chosen, {"scale": {name: [10.0, 2.0] for name in chosen.numbers}, "categories": {}})


def volume() -> Input[object]:
    return ImageSettings(path="dicom", size=(16, 16, 8), encoder={"name": "resnet18"}).open("ct")


def blob(*size: int) -> Array:
    """Give an image that is smooth, off its centre, and far from the ends of its window."""
    steps = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    distance = sum((step - 0.3 * place) ** 2 for place, step in enumerate(steps, 1))
    return np.asarray(0.25 + 0.5 * np.exp(-2 * distance), np.float16)[np.newaxis]


def examples(hospital: Hospital) -> list[tuple[Input[object], Evidence, Fields]]:
    study = next(one for one in hospital.studies if {"chest", "labs", "history"} <= set(one.evidence))
    found = []
    for name in ("chest", "labs", "history"):
        one, evidence = hospital.inputs[name], study.evidence[name]
        found.append((one, evidence, one.prepare(one.read(evidence))))
    ct = volume()
    found.append((ct, Evidence(), {"image": blob(16, 16, 8)}))
    several = ImageSettings(path="x", size=(16, 16), images=4, encoder={"name": "resnet18"}).open("slices")
    images = np.stack([blob(16, 16)] * 4)
    found.append((several, Evidence(), {"image": images, THERE: np.array([1, 1, 1, 0], np.uint8)}))
    return found


def test_every_kind_of_input_can_be_damaged_from_mild_to_hard() -> None:
    assert set(DAMAGES) == set(INPUTS)
    for damages in DAMAGES.values():
        assert damages
        for one in damages.values():
            assert 3 <= len(one.severities) <= 5
            assert list(one.severities) == sorted(set(one.severities))


def test_only_volumes_lose_slices_only_several_images_lose_images_and_only_numbers_are_mistaken(hospital: Hospital) -> None:
    of = {one.name: set(damages_of(one)) for one, _, _ in examples(hospital)}
    assert of["ct"] - of["chest"] == {"lost_slices"}
    assert of["slices"] - of["chest"] == {"lost_images"}
    assert not damages_of(labs({}, categorical=["sex"]))  # type: ignore[arg-type]
    assert of["labs"] == {"noise", "wrong_unit"}


def test_a_damage_keeps_shapes_and_types_leaves_its_source_alone_and_is_that_of_its_seed(hospital: Hospital) -> None:
    changed: set[tuple[str, str]] = set()
    for one, evidence, fields in examples(hospital):
        before = {name: values.copy() for name, values in fields.items()}
        for key, damage in damages_of(one).items():
            for severity in damage.severities:
                made = [damage.make(one, evidence, fields, severity, rng_of(seed)) for seed in (3, 3)]
                for name, values in made[0].items():
                    np.testing.assert_array_equal(values, made[1][name])
                    assert (values.dtype, values.shape) == (before[name].dtype, before[name].shape), (key, name)
                    np.testing.assert_array_equal(fields[name], before[name])
                    assert name != "image" or (values.min() >= 0 and values.max() <= 1)
                if any(not np.array_equal(values, before[name]) for name, values in made[0].items()):
                    changed.add((one.name, key))
        assert {(one.name, key) for key in damages_of(one)} <= changed


@pytest.mark.parametrize("name", ["noise", "blur", "gamma", "rotation", "window_shift", "lost_slices"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_harder_damage_leads_an_image_further_from_itself(name: str, seed: int) -> None:
    damage, image = DAMAGES["image"][name], blob(16, 16, 8)
    made = [damage.make(volume(), Evidence(), {"image": image}, one, rng_of(seed))["image"] for one in damage.severities]
    far = [float(np.abs(one.astype(float) - image).mean()) for one in made]
    assert far[0] > 0.001
    assert far == sorted(far)


def test_image_damages_by_hand() -> None:
    image = np.array([[[0.0, 0.25, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]], np.float32)
    up = next(seed for seed in range(9) if rng_of(seed).random() < 0.5)
    down = next(seed for seed in range(9) if rng_of(seed).random() >= 0.5)
    np.testing.assert_allclose(gamma(image, 2, rng_of(up))[0, 0], [0, 0.0625, 0.25])
    np.testing.assert_allclose(gamma(image, 2, rng_of(down))[0, 0], [0, 0.5, np.sqrt(0.5)])
    shifted = each_image(window_shift, {"image": image}, 0.3, rng_of(down))["image"]
    np.testing.assert_allclose(shifted[0, 0], [0, 0, 0.2], atol=1e-6)
    turned = rotation(image, 90, rng_of(up))
    np.testing.assert_allclose(turned[0], np.rot90(image[0]), atol=1e-5)
    assert noise(np.zeros((1, 200, 200), np.float32), 0.1, rng_of()).std() == pytest.approx(0.1, rel=0.02)
    spread = blur(np.eye(21)[[10]][:, :, np.newaxis] * np.eye(21)[10], 2, rng_of())[0]
    assert spread.sum() == pytest.approx(1, abs=1e-3)
    assert np.average(np.arange(-10, 11) ** 2, weights=spread.sum(1)) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize(("share", "left"), [(0.1, 9), (0.5, 5), (1.0, 1)])
def test_as_many_slices_are_blank_as_were_asked_for_and_one_stays(share: float, left: int) -> None:
    whole = np.ones((1, 3, 3, 10), np.float32)
    kept = lost_slices(whole, share, rng_of())
    assert whole.min() == 1
    assert sorted({float(value) for value in kept.reshape(-1, 10).T.flatten()}) == [0, 1] if left < 10 else [1]
    assert (kept.reshape(-1, 10).min(0) == kept.reshape(-1, 10).max(0)).all()
    assert int(kept[0, 0, 0].sum()) == left


def test_images_are_lost_among_those_that_are_there_and_one_stays() -> None:
    fields: Fields = {"image": np.zeros((5, 1, 8, 8)), THERE: np.array([1, 1, 1, 1, 0], np.uint8)}
    for share, left in ((0.25, 3), (0.5, 2), (1.0, 1)):
        there = lose_images(fields, share, rng_of())[THERE]
        assert there.sum() == left
        assert there[4] == 0


def test_an_image_that_is_not_there_stays_blank() -> None:
    fields: Fields = {"image": np.zeros((2, 1, 8, 8), np.float16), THERE: np.array([1, 0], np.uint8)}
    made = each_image(noise, fields, 0.2, rng_of())["image"]
    assert made[0].max() > 0
    assert made[1].max() == 0


def test_a_slip_swaps_loses_doubles_or_changes_one_letter_of_words_and_leaves_numbers() -> None:
    note = "Temperature 38.5, saturation 93 % on 2 L. " * 20
    slipped = typos(note, 1.0, rng_of())
    pairs = list(zip(note.split(), slipped.split(), strict=True))
    for before, after in pairs:
        long = sum(letter.isalpha() for letter in before) >= 3
        assert (before != after) or not long or len(set(before)) < len(before)  # two equal letters swapped are the same
        assert abs(len(before) - len(after)) <= 1
        assert long or before == after
    lengths = {len(after) - len(before) for before, after in pairs}
    assert lengths == {-1, 0, 1}


def test_a_larger_share_of_slips_holds_those_of_a_smaller_one() -> None:
    words = (NOTE * 10).split()
    some, more = (
        {i for i, word in enumerate(typos(NOTE * 10, share, rng_of()).split()) if word != words[i]} for share in (0.1, 0.4)
    )
    assert some < more
    long = sum(sum(letter.isalpha() for letter in word) >= 3 for word in words)
    assert len(more) == pytest.approx(0.4 * long, rel=0.25)
    assert typos(NOTE, 0, rng_of()) == NOTE


@pytest.mark.parametrize("seed", SEEDS)
def test_whole_sections_go_and_one_stays(seed: int) -> None:
    for share, left in ((0.25, 2), (0.5, 1), (1.0, 1)):
        kept = split_sections(lost_sections(NOTE, share, rng_of(seed)))
        assert len(kept) == left
        assert all(one in split_sections(NOTE) for one in kept)
    assert lost_sections("cough and fever", 1.0, rng_of(seed)) == "cough and fever"


@pytest.mark.parametrize("seed", SEEDS)
def test_whole_sentences_go_and_one_stays(seed: int) -> None:
    sentences = [part for part in SENTENCE_END.split(NOTE) if part]
    assert len(sentences) == 5
    for share, left in ((0.2, 4), (0.6, 2), (1.0, 1)):
        kept = [part for part in SENTENCE_END.split(lost_sentences(NOTE, share, rng_of(seed))) if part]
        assert len(kept) == left
        assert all(one in sentences for one in kept)
    assert lost_sentences("cough", 1.0, rng_of(seed)) == "cough"


def test_noise_is_a_share_of_the_spread_or_of_a_smaller_value_and_turns_no_sign() -> None:
    one = labs({"crp": {}})
    made = np.array([float(noisy(one, {"crp": "100"}, 0.25, rng_of(seed))["crp"]) for seed in range(2000)])
    assert made.std() == pytest.approx(0.25 * 2, rel=0.1)
    assert np.abs(made - 100).max() <= 1.0
    small = np.array([float(noisy(one, {"crp": "0.4"}, 0.5, rng_of(seed))["crp"]) for seed in range(2000)])
    assert small.std() == pytest.approx(0.5 * 0.4, rel=0.1)
    assert small.min() >= 0
    assert noisy(one, {"crp": ""}, 0.5, rng_of()) == {"crp": ""}


@pytest.mark.parametrize("code", OTHER_UNITS)
def test_every_unit_that_one_may_be_mistaken_for_is_a_unit(code: str) -> None:
    assert code in ("Cel", "[degF]", "K") or read_unit(code) is not None


def test_a_value_in_another_unit_by_hand() -> None:
    def mistaken(**column: object) -> set[float]:
        return {round(change(10.0), 6) for change in mistakes_of(NumericColumn.model_validate(column))}

    assert mistaken() == {100.0, 1.0}
    assert mistaken(unit="mg/L") == {0.01, 1.0, 10_000.0, 1000.0}  # g/L, mg/dL, ug/L, ug/dL
    assert 884.016973 in mistaken(unit="mg/dL", molar_mass=113.12)  # creatinine in umol/L
    assert 884.016973 not in mistaken(unit="mg/dL")
    assert 50.0 in mistaken(unit="Cel")  # 10 degrees Celsius as Fahrenheit
    assert mistaken(unit="{no such unit}") == {100.0, 1.0}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_value_out_of_its_range_is_refused_and_one_within_is_not(seed: int) -> None:
    one = labs({"crp": {"unit": "mg/L", "range": [0.5, 5]}, "free": {}})
    damage = DAMAGES["tabular"]["wrong_unit"]
    with pytest.raises(Rejected) as refused:
        damage.make(one, Evidence(cells={"crp": "0.7", "free": ""}), {}, 1.0, rng_of(seed))  # type: ignore[arg-type]
    assert refused.value.code is Code.RANGE
    fields = damage.make(one, Evidence(cells={"crp": "", "free": "30"}), {}, 1.0, rng_of(seed))  # type: ignore[arg-type]
    assert fields["number"][1].item() in ((300 - 10) / 2, (3 - 10) / 2)
    assert fields["known"].tolist() == [0, 1]


def test_all_statistics_of_a_number_change_together_and_counts_stay() -> None:
    one = labs({"crp": {"statistics": ["min", "mean", "count", "time_since"], "range": [0, 500]}}, time="time")
    cells = {"crp.min": "10", "crp.mean": "20", "crp.count": "3", "crp.time_since": "1.5"}
    made = {seed: in_another_unit(one, cells, 1.0, rng_of(seed)) for seed in range(12)}
    by_ten, tenth = {**cells, "crp.min": "100.0", "crp.mean": "200.0"}, {**cells, "crp.min": "1.0", "crp.mean": "2.0"}
    assert all(one in (by_ten, tenth) for one in made.values())
    assert by_ten in made.values()
    assert tenth in made.values()
    with pytest.raises(Rejected, match="E_RANGE"):
        for seed in range(12):
            in_another_unit(one, {**cells, "crp.mean": "60"}, 1.0, rng_of(seed))


def test_a_share_of_the_numbers_is_mistaken_and_a_larger_share_holds_it() -> None:
    one = labs({f"n{i}": {} for i in range(400)})
    cells = {f"n{i}": "10" for i in range(400)}
    some, more = (
        {n for n, cell in in_another_unit(one, cells, share, rng_of()).items() if cell != "10"} for share in (0.1, 0.5)
    )
    assert len(some) == pytest.approx(40, abs=18)
    assert len(more) == pytest.approx(200, abs=40)
    assert some < more
