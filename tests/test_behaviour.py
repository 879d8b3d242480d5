"""What the chapters on hidden, exchanged and damaged inputs say of a model of which one input is known to be idle."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Hospital
from rich.console import Console
from test_tasks import make_hospital, run_file

from medmm.config import RunConfig, parse_config
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import sample_and_resamples, tails
from medmm.evaluation.values import r_squared
from medmm.inputs.base import Fields, Input
from medmm.inputs.damage import DAMAGES, Damage
from medmm.package import Package, load_package, save_package
from medmm.predict import encoded, predict, predict_encoded, subsets
from medmm.rules.settings import Rule
from medmm.types import Array, Evidence, Scores
from medmm.workflows.chapters import CHAPTERS
from medmm.workflows.chapters.robustness import robustness
from medmm.workflows.encoded import by_the_model_alone, draw_patients, encode
from medmm.workflows.screen import Screen
from medmm.workflows.subject import Subject, open_subject
from medmm.workflows.train import train

SCREEN = Screen(Console(quiet=True))
NAMES = ("missing_inputs", "importance", "robustness")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("behaviour")
    make_hospital(folder / "export")
    content = run_file(folder, folder / "export", "regression")
    content["evaluation"] = {"resamples": 200, "single_inputs": False}
    for one in content["inputs"].values():  # type: ignore[attr-defined]
        one["numeric"] = {"number": {"range": [-4, 4]}, "noise": {}}
    return parse_config(content, "run.yaml")


@pytest.fixture(scope="module")
def subject(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A model that was trained on two inputs, and then made blind for what stands in the second."""
    package = load_package(train(config, SCREEN).package)
    with torch.no_grad():
        for weight in package.model.encoders["second"].parameters():
            weight.zero_()
    folder = tmp_path_factory.mktemp("blind") / "package"
    save_package(package, folder)
    return open_subject(str(folder), config, SCREEN)


@pytest.fixture(scope="module")
def chapters(subject: Subject) -> Mapping[str, Chapter]:
    return {name: CHAPTERS[name](subject, SCREEN) for name in NAMES}


def test_tokens_kept_give_what_the_model_says_of_the_studies_themselves(subject: Subject) -> None:
    places = np.array([7, 0, 3, 4, 31])
    own = encode(subject, places)
    rows = subject.test.rows[places]
    np.testing.assert_array_equal(own.rows, rows)
    again = own.with_input("first", own.tokens["first"])
    np.testing.assert_allclose(again.predicted, subject.ask(rows), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(again.predicted, own.scores.predicted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(own.has("second"), subject.test.present[places, 1])
    part = own.some(np.array([2, 0]))
    np.testing.assert_allclose(part.with_input("first", part.tokens["first"]).predicted, again.predicted[[2, 0]], atol=1e-5)


def test_batches_with_and_without_an_input_are_encoded_as_one(hospital: Hospital, package: Package) -> None:
    lacking = [one for one in hospital.studies if "history" not in one.evidence and "labs" in one.evidence][:3]
    having = [one for one in hospital.studies if {"history", "labs", "chest"} <= set(one.evidence)][:4]
    batches = [hospital.batch(lacking), hospital.batch(having)]
    tokens = {name: encoded(package.model, name, batches) for name in hospital.inputs}
    assert tokens["history"].mask.any(1).tolist() == [False] * 3 + [True] * 4
    everything = frozenset(hospital.inputs)
    told = predict(package.model, batches, [everything]).logits[everything]
    np.testing.assert_allclose(predict_encoded(package.model, tokens, 5), told, rtol=1e-4, atol=1e-5)


def test_a_subset_of_several_inputs_is_told_on_the_studies_that_have_all_of_it(subject: Subject) -> None:
    test, rng = subject.test, np.random.default_rng(0)
    present = rng.random((len(test.rows), 3)) < 0.8
    noisy = {some: replace(test.raw, predicted=test.raw.predicted + 3 / len(some)) for some in subsets("abc")}
    inputs = dict.fromkeys("abc", subject.package.inputs["first"])
    three = replace(
        subject,
        package=replace(subject.package, inputs=inputs),
        parts={"test": replace(test, only=noisy, present=present)},
    )
    table = CHAPTERS["missing_inputs"](three, SCREEN).tables["subsets"].set_index("inputs")
    assert len(table) == 7
    assert table.loc["a + b + c", "studies"] == len(test.rows)
    assert table.loc["a + c", "studies"] == (present[:, 0] & present[:, 2]).sum()
    assert table.loc["b", "studies"] == present[:, 1].sum()


def test_patients_are_drawn_whole_and_by_seed() -> None:
    patient = np.repeat(np.arange(30), 3)
    places = draw_patients(patient, 20, 1)
    drawn, counts = np.unique(patient[places], return_counts=True)
    assert len(drawn) == 6
    assert set(counts) == {3}
    np.testing.assert_array_equal(places, draw_patients(patient, 20, 1))
    assert set(places) != set(draw_patients(patient, 20, 2))
    np.testing.assert_array_equal(draw_patients(patient, 90), np.arange(90))
    assert len(draw_patients(patient, 1)) == 3


def test_an_idle_input_loses_nothing_when_it_is_another_patients_and_the_other_does(chapters: Mapping[str, Chapter]) -> None:
    measures = chapters["importance"].measures
    idle = measures["exchanged_second"]
    assert max(abs(number) for number in (idle.value, idle.low, idle.high)) < 1e-6
    assert measures["exchanged_first"].low > 0.1
    assert measures["exchanged_first"].value > 0.4


def test_shares_tell_studies_apart_by_the_input_that_is_used_alone(subject: Subject, chapters: Mapping[str, Chapter]) -> None:
    table = chapters["importance"].tables["contributions"]
    assert list(table["row"]) == [subject.studies[i].row for i in subject.test.rows]
    np.testing.assert_allclose(table["nothing known"] + table["first"] + table["second"], table["all inputs"])
    np.testing.assert_allclose(table["all inputs"], subject.test.raw.predicted[:, 0])
    has = subject.test.present
    both, second = has.all(axis=1), table["second"].to_numpy()
    assert second[both].std() < 0.3 * table["first"].to_numpy()[both].std()
    assert (table["first"][~has[:, 0]] == 0).all()
    assert (table["second"][~has[:, 1]] == 0).all()
    size = chapters["importance"].measures["shapley_first"]
    assert size.value == pytest.approx(table["first"][has[:, 0]].abs().mean())
    assert size.studies == has[:, 0].sum()


def test_the_prior_is_that_of_the_training_studies_with_or_without_the_fact(subject: Subject) -> None:
    told = CHAPTERS["importance"](subject, SCREEN).tables["contributions"]["nothing known"]
    facts = {name: fact for name, fact in subject.package.facts.items() if name != "prior"}
    older = replace(subject, package=replace(subject.package, facts=facts))
    mean = subject.parts["train"].scores.target.mean()
    assert told.to_numpy() == pytest.approx(mean)
    assert CHAPTERS["importance"](older, SCREEN).tables["contributions"]["nothing known"].to_numpy() == pytest.approx(mean)
    elsewhere = replace(older, own=False, parts={"test": older.test})
    chapter = CHAPTERS["importance"](elsewhere, SCREEN)
    assert not [name for name in chapter.measures if name.startswith("shapley")]
    assert "train it anew" in " ".join(chapter.says)


def test_hiding_inputs_is_told_on_the_studies_that_have_what_is_left(subject: Subject, chapters: Mapping[str, Chapter]) -> None:
    chapter = chapters["missing_inputs"]
    table = chapter.tables["subsets"].set_index("inputs")
    assert list(table.index) == ["first + second", "first", "second"]
    has = subject.test.present
    assert list(table["studies"]) == [len(has), has[:, 0].sum(), has[:, 1].sum()]
    alone, whole = subject.test.only[frozenset(["second"])], subject.test.raw
    own, everything = ((one.predicted[has[:, 1], 0], one.target[has[:, 1], 0]) for one in (alone, whole))
    weights = sample_and_resamples(whole.patient[has[:, 1]], 200, 0)
    lost = r_squared(*everything, weights) - r_squared(*own, weights)
    measure = chapter.measures["lost_second"]
    assert measure.value == pytest.approx(lost[0])
    assert (measure.low, measure.high) == pytest.approx(tuple(np.quantile(lost[1:], tails(0.95, measure.patients))))
    assert measure.low > 0.2
    assert "inputs" in chapter.figures


def test_noise_lowers_the_headline_step_by_step_but_not_of_an_idle_input(chapters: Mapping[str, Chapter]) -> None:
    table = chapters["robustness"].tables["damages"]
    falls = {key: own["drop"].to_numpy() for key, own in table.groupby(["input", "damage"])}
    assert (np.diff(falls["first", "noise"]) > 0).all()
    assert falls["first", "noise"][-1] > 0.02
    assert np.abs(falls["second", "noise"]).max() < 1e-6
    measures = chapters["robustness"].measures
    assert measures["worst"].value == measures["worst_first"].value >= falls["first", "noise"].max()
    assert measures["first_noise"].value == falls["first", "noise"][-1]


def test_a_wrong_unit_out_of_range_is_refused_and_counted(subject: Subject, chapters: Mapping[str, Chapter]) -> None:
    table = chapters["robustness"].tables["damages"]
    own = table[(table["input"] == "first") & (table["damage"] == "wrong_unit")]
    assert own["refused"].iloc[0] == 0
    assert (np.diff(own["refused"]) > 0).all()
    cells = [subject.studies[i].evidence["first"].cells for i in subject.test.rows[subject.test.present[:, 0]]]
    beyond = np.mean([abs(float(one["number"])) > 0.4 for one in cells if one])  # ten times as much is out of range
    assert own["refused"].iloc[-1] == pytest.approx(beyond / 2, abs=0.15)  # the other half is a tenth
    assert (own["studies"] == np.round(own["damaged_studies"] * (1 - own["refused"]))).all()
    assert any("are refused, which is the right answer" in one for one in chapters["robustness"].says)


def test_a_planted_damage_costs_more_with_every_step(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def garble(
        one: Input[object], evidence: Evidence, fields: Mapping[str, Array], share: float, rng: np.random.Generator
    ) -> Fields:
        garbled = rng.random() < share
        return {**fields, "number": rng.normal(size=2).astype(np.float32) if garbled else fields["number"]}

    planted = Damage("garbled", "share", (0.2, 0.5, 1.0), garble)
    monkeypatch.setitem(DAMAGES._entries, "tabular", {"garbled": planted})  # type: ignore[attr-defined]
    chapter = robustness(subject, SCREEN)
    first = chapter.tables["damages"].query("input == 'first'")
    assert (np.diff(first["drop"]) > 0).all()
    assert first["drop"].iloc[-1] == pytest.approx(chapter.measures["worst"].value)
    assert first["drop"].iloc[-1] > 0.4
    assert "garbled of first at 1 (share)" in chapter.says[0]


def test_a_small_cohort_gets_no_number_but_why(subject: Subject) -> None:
    few = np.arange(6)
    test = subject.test

    def cut(scores: Scores) -> Scores:
        return scores.some(few)

    small = replace(
        test,
        rows=test.rows[few],
        scores=cut(test.scores),
        only={some: cut(one) for some, one in test.only.items()},
        present=test.present[few],
    )
    tiny = replace(subject, parts={**subject.parts, "test": small})
    for name in NAMES:
        chapter = CHAPTERS[name](tiny, SCREEN)
        assert "ot enough data" in " ".join(chapter.says)
        assert not chapter.measures


def test_where_rules_move_answers_the_chapters_say_that_these_are_left_aside(subject: Subject) -> None:
    rule = {"name": "high", "when": "first.number > 3", "then": {"floor": {"probability": 0.9}}, "why": "x"}
    binary = subject.package.target.model_copy(update={"task": "binary", "column": "sign", "positive": "yes"})
    ruled = replace(subject.package, rules=(Rule.model_validate(rule),), target=binary)
    (said,) = by_the_model_alone(replace(subject, package=ruled))
    assert "before the rules" in said
    assert by_the_model_alone(subject) == ()


def test_only_as_many_studies_are_damaged_as_the_run_file_allows(subject: Subject) -> None:
    evaluation = subject.config.evaluation.model_copy(update={"robustness_studies": 30})
    less = replace(subject, config=subject.config.model_copy(update={"evaluation": evaluation}))
    table = robustness(less, SCREEN).tables["damages"]
    assert table["damaged_studies"].max() <= 30


def test_no_chapter_holds_an_identifier(subject: Subject, chapters: Mapping[str, Chapter]) -> None:
    known = {one.patient_id for one in subject.studies} | {one.study_id for one in subject.studies}
    for chapter in chapters.values():
        text = " ".join([*chapter.says, *(table.to_csv() for table in chapter.tables.values())])
        assert not [one for one in known if one in text]
        assert chapter.figures
        assert all(one.patients > 0 for one in chapter.measures.values())
