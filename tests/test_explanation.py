"""An explanation finds what was planted, says openly when it is no better than chance, and names nobody."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Hospital
from PIL import Image
from typer.testing import CliRunner

from medmm.cohort.studies import CohortSettings
from medmm.cohort.synthetic import SyntheticSettings
from medmm.cohort.synthetic.images import render_radiograph
from medmm.cohort.synthetic.truth import draw_truth
from medmm.cohort.target import TargetSettings
from medmm.dataset.batches import stack
from medmm.dataset.decode import prepare_study
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError, DataError
from medmm.evaluation.shapley import shapley
from medmm.explanation.cells import shares
from medmm.explanation.deletion import EVERY_ORDER, deletion
from medmm.explanation.images import IMAGE_METHODS, ImageMethod, explain_image
from medmm.explanation.neighbours import Neighbour, nearest
from medmm.explanation.page import study_page
from medmm.explanation.pictures import draw, panels, png
from medmm.explanation.record import plain
from medmm.explanation.study import Explanation, explain
from medmm.explanation.voice import Voice
from medmm.explanation.words import STRUCK, is_fit, is_named, names_of
from medmm.inputs import INPUTS, Inputs
from medmm.inputs.base import Input
from medmm.losses import make_loss
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package
from medmm.readers.slices import HeldSlices
from medmm.rules.settings import Rule
from medmm.types import Array, Batch, Evidence, Firing, Study, Volume
from medmm.workflows.cli import app
from medmm.workflows.explain import Asked, explain_study, label_in_words

SIDE = 32
TELLING = "purulent"
FILLER = tuple(f"{one}{two}" for one in ("cal", "dry", "mil", "war", "slo", "bri") for two in ("ma", "ne", "ro", "si", "tu"))
COLUMNS = ("age", "crp", "height", "pulse", "sodium", "weight")
PERSON = "Zylphia Quorrowitz"
FOUND: dict[str, dict[str, object]] = {
    "chest": {
        "kind": "image",
        "path": "png",
        "match": "file",
        "size": [SIDE, SIDE],
        "window": [0, 255],
        "encoder": {"name": "resnet18", "channels": 8},
    },
    "labs": {
        "kind": "tabular",
        "table": "labs.csv",
        "numeric": {name: {"unit": "mg/L"} for name in COLUMNS},
        "encoder": {"name": "mlp"},
    },
    "note": {"kind": "text", "table": "notes.csv", "max_tokens": 40, "encoder": {"name": "bag_of_words", "pairs": 0}},
}


@dataclass(frozen=True)
class Planted:
    """A model of three inputs that has learned nothing, and one of each input alone that has learned the sign planted in it."""

    package: Package
    alone: dict[str, Package]
    studies: tuple[Study, ...]
    signs: Array


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A white corner on the radiograph, a high crp, and one word of the note: of independent studies; the first has all."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    settings = SyntheticSettings(patients=80, leak="marker", radiograph_size=SIDE, image_strength=0)
    truths = draw_truth(settings)
    signs = rng.random((len(truths), 3)) < 0.5
    signs[0] = True
    studies = []
    for row, (truth, (corner, high, word)) in enumerate(zip(truths, signs.tolist(), strict=True)):
        file = folder / f"{row}.png"
        Image.fromarray((255 * render_radiograph(replace(truth, label=corner), settings)).astype(np.uint8)).save(file)
        cells = {name: f"{rng.normal(50, 10):.1f}" for name in COLUMNS}
        cells["crp"] = f"{rng.normal(90 if high else 30, 8):.1f}"
        words = [*rng.permutation(FILLER)[:24], *([TELLING] if word else [])]
        note = f"{' '.join(rng.permutation(words))} {PERSON if row == 0 else ''}"
        evidence = {"chest": Evidence(files=(file,)), "labs": Evidence(cells=cells), "note": Evidence(text=note)}
        studies.append(Study(row + 1, f"P{row}", f"S{row}", cells={"name": PERSON}, evidence=evidence))
    inputs: dict[str, Input[object]] = {}
    for name, one in FOUND.items():
        opened = INPUTS.pick(str(one["kind"])).model_validate(one).open(name)
        inputs[name] = opened.fit((study.patient_id, opened.read(study.evidence[name])) for study in studies)
    prepared = [prepare_study(study, inputs) for study in studies]
    fields = {name: stack([one[name] for one in prepared]) for name in inputs}  # type: ignore[index]
    package = fresh(folder, inputs)
    alone = {}
    for column, name in enumerate(("chest", "labs", "note")):
        alone[name] = fresh(folder, {name: inputs[name]})
        learn(alone[name].model, name, fields[name], torch.from_numpy(signs[:, [column]].astype(np.float32)))
    return Planted(package, alone, tuple(studies), signs)


def fresh(folder: Path, inputs: Inputs) -> Package:
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat"}})
    model = DiagnosisModel(settings, inputs, CrossEntropy("binary", [1.0])).eval()
    cohort = CohortSettings(root=folder, person=("name",))
    target = TargetSettings(column="diagnosis", positive="pneumonia")
    return Package("planted", cohort, target, inputs, settings, model, 1.0, (0.5,))


def learn(model: DiagnosisModel, name: str, fields: dict[str, torch.Tensor], target: torch.Tensor) -> None:
    optimiser = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for step in range(40):
        rows = torch.from_numpy(np.random.default_rng(step).choice(len(target), 24, replace=False))
        taken = {field: values[rows] for field, values in fields.items()}
        batch = Batch({name: taken}, {name: torch.ones(24, dtype=torch.bool)}, target[rows], rows)
        optimiser.zero_grad()
        model.loss(model(batch), batch).backward()
        optimiser.step()
    model.eval()


@pytest.fixture(scope="module")
def explained(planted: Planted) -> Explanation:
    return explain(planted.package, planted.studies[0])


def of_alone(planted: Planted, name: str, method: ImageMethod = "occlusion", row: int = 0) -> Explanation:
    study = replace(planted.studies[row], evidence={name: planted.studies[row].evidence[name]})
    return explain(planted.alone[name], study, image_method=method)


# what an explanation must find


@pytest.mark.parametrize("name", ["chest", "labs", "note"])
def test_an_input_with_the_sign_speaks_for_and_one_without_it_against(planted: Planted, name: str) -> None:
    column = ("chest", "labs", "note").index(name)
    without = int(np.flatnonzero(~planted.signs[:, column])[0])
    one, other = of_alone(planted, name), of_alone(planted, name, row=without)
    assert (one.answer.side, other.answer.side) == (1, -1)
    assert (one.answer.explained.decided, other.answer.explained.decided) == (True, False)
    assert (one.inputs[0].adds or 0) > (other.inputs[0].adds or 0) + 1


def test_what_inputs_add_leads_from_nothing_to_the_answer(planted: Planted, explained: Explanation) -> None:
    end = explained.start + sum(share.adds or 0.0 for share in explained.inputs)
    assert 1 / (1 + np.exp(-end)) == pytest.approx(explained.answer.explained.model, abs=1e-6)
    voice = Voice(planted.package, prepare_study(planted.studies[0], planted.package.inputs), 0)  # type: ignore[arg-type]
    assert voice.answers()[0] == pytest.approx(explained.answer.explained.model)


def test_what_is_explained_is_calibrated(planted: Planted) -> None:
    study = planted.studies[0].without_input("chest")
    one, cooler = explain(planted.package, study), explain(replace(planted.package, temperature=2.0), study)
    odds = [np.log(e.answer.explained.model / (1 - e.answer.explained.model)) for e in (one, cooler)]
    assert odds[0] == pytest.approx(2 * odds[1])
    assert cooler.inputs[0].adds == pytest.approx((one.inputs[0].adds or 0.0) / 2)


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
def test_the_map_lies_on_the_planted_corner(planted: Planted, method: ImageMethod) -> None:
    (share,) = of_alone(planted, "chest", method).images
    near = np.zeros((SIDE, SIDE), bool)
    near[: SIDE // 4, : SIDE // 4] = True  # the marker and a window about it
    speaks = np.maximum(share.map[0], 0)
    assert near.ravel()[speaks.argmax()]
    assert speaks[near].sum() / speaks.sum() > 3 * near.mean()
    assert share.deletion.passed


def test_the_telling_column_ranks_first(planted: Planted) -> None:
    (table,) = of_alone(planted, "labs").tables
    assert table.cells[0].column == "crp"
    assert table.cells[0].adds is not None
    assert table.cells[0].adds > 2 * abs(table.cells[1].adds or 0.0)
    assert table.cells[0].value == planted.studies[0].evidence["labs"].cells["crp"]  # type: ignore[index]
    assert table.cells[0].unit == "mg/L"
    assert table.deletion.passed


def test_the_telling_word_ranks_first(planted: Planted) -> None:
    (note,) = of_alone(planted, "note").notes
    assert note.telling[0].text == TELLING
    assert note.telling[0].adds > 2 * abs(note.telling[1].adds)
    assert note.deletion.passed


def test_an_absent_input_adds_nothing_and_is_named(planted: Planted) -> None:
    one = explain(planted.package, planted.studies[0].without_input("note"))
    assert [share.name for share in one.inputs if share.adds is None] == ["note"]
    assert not one.notes
    assert "absent" in study_page(one, {"chest": b""})


def test_rules_are_listed_and_what_inputs_add_is_of_the_model_alone(planted: Planted) -> None:
    rule = Rule.model_validate({"name": "low", "when": "labs.crp >= 1 mg/L", "then": {"ceiling": {"probability": 0.01}}})
    plainly = of_alone(planted, "labs")
    one = explain(
        replace(planted.alone["labs"], rules=(rule,)),
        replace(planted.studies[0], evidence={"labs": planted.studies[0].evidence["labs"]}),
    )
    assert one.answer.explained.value == pytest.approx(0.01)
    assert one.answer.explained.model == pytest.approx(plainly.answer.explained.model)
    assert [fired.rule for fired in one.fired] == ["low"]
    assert one.inputs == plainly.inputs
    assert "Rules that fired" in study_page(one, {})


def test_the_same_study_is_explained_alike_twice(planted: Planted, explained: Explanation) -> None:
    assert plain(explain(planted.package, planted.studies[0])) == plain(explained)


# the deletion test


def additive(weight: Array) -> Callable[[Array], Array]:
    return lambda gone: ((~gone) * weight).sum(axis=1)


@pytest.mark.parametrize("parts", [4, 5, 12, 64])
def test_the_true_weights_pass_the_deletion_test(parts: int) -> None:
    weight = np.random.default_rng(parts).permutation(parts) + 1.0
    tested = deletion(additive(weight), weight, np.random.default_rng(0))
    assert tested.passed
    assert tested.drop > tested.random_drop
    assert tested.curve[0] == pytest.approx(weight.sum())
    assert tested.curve[-1] == pytest.approx(0)


def test_a_random_explanation_fails_the_deletion_test() -> None:
    rng = np.random.default_rng(0)
    passed = [deletion(additive(rng.normal(size=20)), rng.normal(size=20), rng).passed for _ in range(200)]
    assert np.mean(passed) < 0.1  # 5 % is meant; 200 tries give at most 8.6 % in 99 of 100 cases
    wrong = rng.normal(size=20)
    text = deletion(additive(wrong), -wrong, rng).says("words", "probability of pneumonia")
    assert "did not pass" in text


def test_the_p_value_of_few_parts_is_exact() -> None:
    weight = np.array([4.0, 3.0, 2.0, 1.0])
    assert deletion(additive(weight), weight, np.random.default_rng(0)).p == pytest.approx(1 / 24)
    second = deletion(additive(weight), np.array([3.0, 4.0, 2.0, 1.0]), np.random.default_rng(0))
    # By hand: 3 4 2 1 loses 3 + 7 + 9 + 10; as much or more: 4 3 2 1, 4 3 1 2 (4+7+8+10) and 4 2 3 1 (4+6+9+10).
    assert second.p == pytest.approx(4 / 24)
    assert second.passed is False


def test_too_few_parts_are_not_tested() -> None:
    tested = deletion(additive(np.ones(3)), np.ones(3), np.random.default_rng(0))
    assert tested.passed is None
    assert "too few cells (3)" in tested.says("cells", "risk")
    assert EVERY_ORDER < 6  # more orders than that are drawn


# shares


def test_shapley_values_of_a_game_are_those_by_hand() -> None:
    # Two together are worth 10, a alone 4, b alone 2: a gets (4 + 8) / 2, b (2 + 6) / 2.
    worth = {frozenset[str](): 0.0, frozenset("a"): 4.0, frozenset("b"): 2.0, frozenset("ab"): 10.0}
    assert shapley({some: np.array(value) for some, value in worth.items()}) == {"a": 6.0, "b": 4.0}


def test_of_three_gloves_the_rare_one_gets_the_most() -> None:
    # One left glove a, two right ones b and c; a pair is worth 1 (Shapley's own example): 2/3, 1/6, 1/6.
    worth = {frozenset(some): np.array(float("a" in some and len(some) > 1)) for some in ("", *"abc", "ab", "ac", "bc", "abc")}
    assert {part: float(share) for part, share in shapley(worth).items()} == pytest.approx({"a": 2 / 3, "b": 1 / 6, "c": 1 / 6})


def test_sampled_shares_come_near_the_exact_ones() -> None:
    rng = np.random.default_rng(0)
    weight, both = rng.normal(size=9), 3.0

    def said(gone: Array) -> Array:
        return ((~gone) * weight).sum(axis=1) + both * (~gone[:, 0] & ~gone[:, 1])

    exact = weight + np.array([both / 2, both / 2, *[0.0] * 7])
    np.testing.assert_allclose(shares(said, 9, rng), exact, atol=0.5)
    np.testing.assert_allclose(shares(lambda gone: said(np.hstack([gone, np.ones((len(gone), 1), bool)])), 8, rng), exact[:8])


def test_the_nearest_training_studies_come_first() -> None:
    known = np.array([[0.0, 1.0], [2.0, 0.1], [1.0, 1.0], [0.0, 0.0]], np.float16)
    found = nearest(np.array([1.0, 0.0]), known, np.array([11, 12, 13, 14]), 2, ["a", "b", "c", "d"])
    assert [(one.row, one.label) for one in found] == [(12, "b"), (13, "c")]
    assert found[1].likeness == pytest.approx(2**-0.5, abs=1e-3)
    assert nearest(np.ones(2), np.empty((0, 2)), np.empty(0)) == ()


# names


def test_a_name_in_a_note_is_withheld_and_struck_from_the_whole_note_too(planted: Planted, explained: Explanation) -> None:
    whole = explain(planted.package, planted.studies[0], show_text=True)
    for one in (explained, whole):
        text = study_page(one, {"chest": b""}) + json.dumps(plain(one))
        assert not [part for part in PERSON.split() if part.lower() in text.lower()]
    first = str(planted.studies[0].evidence["note"].text).split()[0]
    assert f">{first}</mark>" in study_page(whole, {"chest": b""}) or f">{first} " in study_page(whole, {"chest": b""})
    assert STRUCK in study_page(whole, {"chest": b""})


def test_identifiers_are_found_in_parts_and_inside_words() -> None:
    study = Study(1, "PAT-0042", "ACC77", cells={"name": "O'Brien, Siobhán"})
    names = names_of(study, CohortSettings(root=Path(), person=("name",)))
    assert all(is_named(word, names) for word in ("PAT-0042", "pat-0042x", "Brien", "SIOBHÁN", "0042", "ACC77"))
    assert not is_named("pneumonia", names)


def test_a_word_that_the_vocabulary_lacks_is_withheld(planted: Planted) -> None:
    state = planted.package.inputs["note"].state
    assert is_fit(TELLING, (), state)
    assert not is_fit("Quorrowitz", (), state)
    assert not is_fit(TELLING, {TELLING}, state)
    assert not is_fit(TELLING.capitalize(), (), {**state, "config": {}})  # a pretrained vocabulary may hold names


# images of every kind


def image_package(settings: dict[str, object], fusion: str = "concat") -> Package:
    one = INPUTS.pick("image").model_validate({"kind": "image", "path": "x", **settings}).open("scan")
    model_settings = ModelSettings.model_validate({"width": 8, "fusion": {"name": fusion}})
    torch.manual_seed(0)
    model = DiagnosisModel(model_settings, {"scan": one}, CrossEntropy("binary", [1.0])).eval()
    target = TargetSettings(column="diagnosis", positive="pneumonia")
    return Package("x", CohortSettings(root=Path()), target, {"scan": one}, model_settings, model, 1.0, (0.5,))


def volume(*shape: int, affine: bool = True) -> Volume:
    values = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    return Volume(values, np.diag([1.0, 1.0, 1.0, 1.0]) if affine else None, (1.0, 1.0, 1.0))


SMALL = {"name": "resnet18", "channels": 8}
KINDS: dict[str, tuple[dict[str, object], int, tuple[int, ...]]] = {
    "2D": ({"size": [48, 32]}, 1, (1, 48, 32)),
    "several 2D": ({"size": [16, 16], "images": 3}, 2, (2, 16, 16)),
    "several 3D": ({"size": [16, 12, 8], "images": 2}, 2, (2, 16, 12, 8)),
    "colour": ({"size": [16, 16], "channels": 3}, 1, (1, 16, 16)),
}


@pytest.mark.parametrize("method", IMAGE_METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_has_a_map_of_its_own_shape(kind: str, method: ImageMethod) -> None:
    settings, images, shape = KINDS[kind]
    package = image_package({**settings, "encoder": SMALL})
    one = package.inputs["scan"]
    flat = len(shape) == 3
    raw = tuple(HeldSlices(volume(32, 32, 1 if flat else 32)) for _ in range(images))
    found = raw if "images" in settings else raw[0]
    voice = Voice(package, {"scan": one.prepare(found)}, 0)
    share = explain_image(voice, one, found, method, 1.0, np.random.default_rng(0))  # type: ignore[arg-type]
    assert share.map.shape == shape
    assert share.pixels.shape == (images, 3 if kind == "colour" else 1, *shape[1:])
    assert np.isfinite(share.map).all()
    assert share.map.any()
    assert png(draw(share, "a warning")).startswith(b"\x89PNG")


def test_slices_stand_as_radiologists_read_them() -> None:
    package = image_package({"size": [8, 8, 8], "window": [0, 1], "encoder": SMALL})
    one = package.inputs["scan"]
    values = np.zeros((8, 8, 8), np.float32)
    values[0, 7, 4] = 1  # the lowest R, so the patient's left, and in front
    raw = Volume(values, np.eye(4), (1.0, 1.0, 1.0))
    voice = Voice(package, {"scan": one.prepare(raw)}, 0)
    share = explain_image(voice, one, raw, "occlusion", 1.0, np.random.default_rng(0))  # type: ignore[arg-type]
    (panel,) = [panel for panel in panels(replace(share, map=share.pixels[:, 0])) if "strongest" in panel.caption]
    assert "slice 5 of 8" in panel.caption
    assert np.unravel_index(panel.pixels.argmax(), panel.pixels.shape) == (0, 7)  # above, and at the reader's right
    assert np.unravel_index(panel.map.argmax(), panel.map.shape) == (0, 7)
    assert panel.sides == ("R", "L", "A", "P")


def test_gradients_reach_an_image_through_a_frozen_backbone_which_stays_frozen() -> None:
    package = image_package({"size": [32, 32], "encoder": SMALL})
    encoder = package.model.encoders["scan"]
    encoder.tuning = Tuning(learn="none")  # type: ignore[assignment]
    one, raw = package.inputs["scan"], volume(32, 32, 1)
    voice = Voice(package, {"scan": one.prepare(raw)}, 0)
    share = explain_image(voice, one, raw, "integrated_gradients", 1.0, np.random.default_rng(0))  # type: ignore[arg-type]
    assert share.map.any()
    assert encoder.frozen


def test_grad_cam_of_a_transformer_is_refused_with_what_to_take() -> None:
    package = image_package({"size": [32, 32], "encoder": {"name": "vit", "hidden": 12, "layers": 1}})
    one, raw = package.inputs["scan"], volume(32, 32, 1)
    voice = Voice(package, {"scan": one.prepare(raw)}, 0)
    with pytest.raises(ConfigError, match="occlusion or integrated_gradients"):
        explain_image(voice, one, raw, "grad_cam", 1.0, np.random.default_rng(0))  # type: ignore[arg-type]


# tasks

TARGETS: dict[str, dict[str, object]] = {
    "binary": {"column": "sign", "positive": "yes"},
    "multiclass": {"column": "kind", "classes": ["a", "b", "c"]},
    "multilabel": {"column": "signs", "classes": ["x", "y"]},
    "ordinal": {"column": "grade", "classes": ["none", "mild", "severe"]},
    "regression": {"column": "value", "unit": "%", "range": [-100, 200]},
    "survival": {"time": "days", "event": "died", "unit": "days", "horizons": [30, 120]},
}


@pytest.mark.parametrize("task", TARGETS)
def test_every_task_is_explained_and_its_shares_add_up(task: str, planted: Planted) -> None:
    target = TargetSettings.model_validate({"task": task, **TARGETS[task]})
    inputs = {name: planted.package.inputs[name] for name in ("labs", "note")}
    torch.manual_seed(1)
    criterion = make_loss(None, target, None)
    if task == "survival":
        criterion.settle(np.random.default_rng(0).normal(size=(40, 1)), np.c_[np.arange(40) * 5.0, np.ones(40)])
    model = DiagnosisModel(planted.package.model_settings, inputs, criterion).eval()
    thresholds = (0.5,) * len(target.names) if task in {"binary", "multilabel", "ordinal"} else ()
    package = replace(planted.package, target=target, inputs=inputs, model=model, thresholds=thresholds)
    study = planted.studies[0].without_input("chest")
    for name in (None, target.names[0]):
        one = explain(package, study, class_name=name)
        end = one.start + sum(share.adds or 0.0 for share in one.inputs)
        value = end if task == "regression" else 1 / (1 + np.exp(-end))
        assert value == pytest.approx(one.answer.explained.model, abs=1e-6)
        assert one.answer.explained.name in study_page(one, {})
        json.dumps(plain(one), allow_nan=False)
    with pytest.raises(ConfigError, match="no answer"):
        explain(package, study, class_name="unheard of")


# the page

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</mark><iframe src=//evil.example></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "<body onload=alert(1)>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<base href=//evil.example>",
    "<form action=//evil.example><input type=submit>",
    "<object data=//evil.example>",
    "<embed src=//evil.example>",
    "<math><mtext><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "{{7*7}} {% raw %} ${7*7}",
    "$\\frac{1}{2}$ \\input{/etc/passwd}",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "a\x00b\x1b[31m",
    "\u202egnp.exe",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "x" * 3000,
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def everywhere(one: Explanation, text: str) -> Explanation:
    """Put a text into every place that can hold one of a run file, a table, a note or a rule."""
    answer = replace(one.answer, unit=text, lines=tuple(replace(line, name=text) for line in one.answer.lines))
    return replace(
        one,
        model=text,
        digest=text,
        answer=answer,
        inputs=tuple(replace(share, name=text, kind=text) for share in one.inputs),
        images=tuple(replace(share, name=text) for share in one.images),
        tables=tuple(
            replace(s, name=text, cells=tuple(replace(c, column=text, value=text, unit=text, usual=text) for c in s.cells))
            for s in one.tables
        ),
        notes=tuple(
            replace(
                share,
                name=text,
                telling=tuple(replace(word, text=text) for word in share.telling),
                whole=((text, None), (text, 1.0), (text, -0.4)),
            )
            for share in one.notes
        ),
        fired=(Firing(text, text, text),),
        neighbours=(Neighbour(3, text, 0.9),),
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(explained: Explanation, text: str) -> None:
    usual = tags(study_page(everywhere(explained, "usual"), {"usual": b"png"}))
    found = tags(study_page(everywhere(explained, text), {text: b"png"}))
    assert found.tags == usual.tags
    assert not found.tags & {"script", "iframe", "object", "embed", "form", "link", "base", "a"}
    assert {name for name, _ in found.attributes} == {name for name, _ in usual.attributes}
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/png;base64,") for name, value in found.attributes if name in {"src", "href"})
    assert {value for name, value in found.attributes if name == "style"} == {v for n, v in usual.attributes if n == "style"}
    assert "".join(found.texts).count(text) >= 10
    json.dumps(plain(everywhere(explained, text)))


def test_a_failed_deletion_test_stands_on_the_page_and_in_the_picture(explained: Explanation) -> None:
    failed = replace(explained.images[0].deletion, p=0.6)
    one = replace(explained, images=(replace(explained.images[0], deletion=failed),))
    page = study_page(one, {"chest": b""})
    assert "did not pass" in page
    assert 'class="test fails"' in page
    plainly, warned = draw(one.images[0]), draw(one.images[0], "no better than chance")
    assert warned.get_figheight() > plainly.get_figheight()


def test_the_page_of_a_passed_test_carries_no_warning(planted: Planted) -> None:
    page = study_page(of_alone(planted, "chest"), {"chest": b""})
    assert "Deletion test passed" in page
    assert "did not pass" not in page


# the command


def test_the_command_writes_pages_that_name_nobody(saved: Path, hospital: Hospital, tmp_path: Path) -> None:
    out = tmp_path / "why"
    rows = [study.row for study in hospital.studies if {"chest", "labs", "history"} <= study.evidence.keys()][:1]
    arguments = [item for row in rows for item in ("--study", str(row))]
    done = CliRunner().invoke(app, ["explain", str(saved), str(hospital.cohort.root), *arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(
        name for row in rows for name in (f"study_{row}.html", f"study_{row}.json", f"study_{row}_chest.png")
    )
    studies = [study for study in hospital.studies if study.row in rows]
    secrets = {s for study in studies for s in (study.patient_id, study.study_id, study.cells["study_uid"])}
    secrets |= {str(path) for study in studies for one in study.evidence.values() for path in one.files}
    secrets |= {str(hospital.cohort.root), hospital.cohort.root.name}
    for path in out.iterdir():
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path.name
    whole = json.loads((out / f"study_{rows[0]}.json").read_text())
    assert whole["row"] == rows[0]
    assert sum(share["adds"] or 0 for share in whole["inputs"]) != 0
    again = tmp_path / "again"
    CliRunner().invoke(app, ["explain", str(saved), str(hospital.cohort.root), *arguments, "--out", str(again)])
    assert all((again / name).read_bytes() == (out / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--study", "9999"], "no row 9999"), (["--study", "1", "--class", "flu"], "no answer 'flu'")],
)
def test_what_cannot_be_explained_is_said(
    saved: Path, hospital: Hospital, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = CliRunner().invoke(app, ["explain", str(saved), str(hospital.cohort.root), *arguments, "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert said in done.stderr


def test_neighbours_are_looked_up_in_what_a_package_keeps_of_its_training(planted: Planted) -> None:
    known = SimpleNamespace(joint=np.eye(16)[:2], rows=np.array([8, 9]), labels=np.array([[1.0], [0.0]]))
    package = replace(planted.alone["labs"])
    object.__setattr__(package, "references", SimpleNamespace(neighbours=known))
    study = replace(planted.studies[0], evidence={"labs": planted.studies[0].evidence["labs"]})
    one = explain_study(package, study, Asked([1]))
    assert {(near.row, near.label) for near in one.neighbours} == {(8, "pneumonia"), (9, "no pneumonia")}
    assert "Nearest training studies" in study_page(one, {})


@pytest.mark.parametrize(
    ("target", "label", "words"),
    [
        ({"column": "sign", "positive": "yes"}, [np.nan], ""),
        ({"task": "multilabel", "column": "signs", "classes": ["x", "y"]}, [1, 1], "x, y"),
        ({"task": "multilabel", "column": "signs", "classes": ["x", "y"]}, [0, 0], "none of x, y"),
        ({"task": "regression", "column": "value", "unit": "%"}, [12.5], "12.5 %"),
        ({"task": "survival", "time": "t", "event": "died", "unit": "days", "horizons": [30]}, [40, 0], "no event by 40 days"),
    ],
)
def test_a_recorded_target_is_said_in_words(target: dict[str, object], label: list[float], words: str) -> None:
    assert label_in_words(TargetSettings.model_validate(target), np.array(label, float)) == words


def test_a_study_without_any_input_is_refused(planted: Planted) -> None:
    with pytest.raises(DataError, match="none of the inputs"):
        explain(planted.package, replace(planted.studies[0], evidence={}))


def test_neighbouring_curves_fall_from_left_to_right(explained: Explanation) -> None:
    removed = explained.images[0].deletion.removed
    assert removed[0] == 0
    assert removed[-1] == 1
    assert all(one < two for one, two in pairwise(removed))
