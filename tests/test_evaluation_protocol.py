"""Acceptance criteria that were fixed beforehand: what is met, what is not, and what cannot be judged and so is not met."""

from pathlib import Path

import numpy as np
import pytest

from medmm.errors import ConfigError, DataError
from medmm.evaluation.intervals import difference, interval
from medmm.evaluation.metrics import auroc
from medmm.evaluation.protocol import Criterion, Judged, Protocol, judge_protocol, read_protocol
from medmm.evaluation.yardstick import AUROC
from medmm.types import Array, Scores, Task

RESAMPLES = 300
HALF = (0.5,)


def scores_of(predicted: Array, target: Array, patient: Array | None = None) -> Scores:
    patient = np.arange(len(target)) if patient is None else patient
    sex = np.where(np.arange(len(target)) % 3 == 0, "F", "M")
    return Scores(("ill",), predicted[:, None], target[:, None].astype(float), patient, {"sex": sex})


def two_models(patients: int = 120, *, gain: float = 0.0, seed: int = 0) -> tuple[Scores, Scores]:
    """Give a champion, and a challenger that is a little other, of two studies a patient."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    target = np.repeat(rng.random(patients) < 0.4, 2).astype(int)
    first = target * 1.2 + rng.normal(size=2 * patients)
    second = first + gain * target + rng.normal(scale=0.2, size=2 * patients)
    squeezed = [1 / (1 + np.exp(-(one - 0.6))) for one in (first, second)]
    return scores_of(squeezed[0], target, patient), scores_of(squeezed[1], target, patient)


def judge(champion: Scores, challenger: Scores, task: Task = "binary", least: int = 10, **asked: object) -> Judged:
    criterion = Criterion.model_validate({"name": "one", **asked})
    protocol = Protocol(criteria=(criterion,), least_patients=least)
    thresholds = (HALF, HALF) if task == "binary" else ((), ())
    (judged,) = judge_protocol(protocol, champion, challenger, task, thresholds, RESAMPLES)
    return judged


def test_numbers_and_gain_are_those_of_the_bootstrap_by_patient() -> None:
    champion, challenger = two_models(gain=0.5)
    judged = judge(champion, challenger, metric="auroc", kind="better_by", value=0.0)

    def area(scores: Scores, weights: Array) -> Array:
        return auroc(scores.predicted[:, 0], scores.target[:, 0], weights)

    few = AUROC.rests_on(champion)
    for found, scores in ((judged.champion, champion), (judged.challenger, challenger)):
        expected = interval(lambda w, own=scores: area(own, w), scores.patient, RESAMPLES, rests_on=few)
        assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    expected = difference(area, challenger, champion, RESAMPLES, rests_on=few)
    assert (judged.gain.value, judged.gain.low) == pytest.approx((expected.value, expected.low))
    assert judged.gain.studies == 240
    assert judged.gain.patients == 120


def test_at_least_goes_by_the_lower_limit_and_not_by_the_number() -> None:
    champion, challenger = two_models()
    found = judge(champion, challenger, metric="auroc", kind="at_least", value=0.5).challenger
    assert found.low < found.value
    assert judge(champion, challenger, metric="auroc", kind="at_least", value=found.low - 0.001).met
    missed = judge(champion, challenger, metric="auroc", kind="at_least", value=(found.low + found.value) / 2)
    assert not missed.met
    assert "does not reach" in missed.why


def test_no_worse_by_goes_by_the_lower_limit_of_the_paired_gain() -> None:
    champion, challenger = two_models()
    gain = judge(champion, challenger, metric="auroc", kind="no_worse_by", value=0.0).gain
    assert gain.low < 0
    assert judge(champion, challenger, metric="auroc", kind="no_worse_by", value=-gain.low + 0.001).met
    assert not judge(champion, challenger, metric="auroc", kind="no_worse_by", value=-gain.low - 0.001).met


def test_better_by_needs_more_than_the_margin() -> None:
    champion, challenger = two_models(gain=1.5)
    gain = judge(champion, challenger, metric="auroc", kind="better_by", value=0.0).gain
    assert gain.low > 0
    assert judge(champion, challenger, metric="auroc", kind="better_by", value=gain.low - 0.001).met
    assert not judge(champion, challenger, metric="auroc", kind="better_by", value=gain.low + 0.001).met
    assert not judge(challenger, champion, metric="auroc", kind="better_by", value=0.0).met


def test_of_a_metric_of_which_less_is_better_less_is_a_gain() -> None:
    champion, _ = two_models()
    worse = scores_of(np.full(240, 0.5) + 0.001 * champion.predicted[:, 0], champion.target[:, 0], champion.patient)
    gain = judge(worse, champion, metric="brier", kind="better_by", value=0.0)
    assert gain.challenger.value < gain.champion.value
    assert gain.gain.value == pytest.approx(gain.champion.value - gain.challenger.value)
    assert gain.met
    found = judge(worse, champion, metric="brier", kind="at_least", value=1.0).challenger
    assert judge(worse, champion, metric="brier", kind="at_least", value=found.high + 0.001).met
    assert not judge(worse, champion, metric="brier", kind="at_least", value=(found.value + found.high) / 2).met


def test_sensitivity_counts_the_positives_at_the_threshold_of_each_model() -> None:
    target = np.array([1] * 20 + [0] * 20)
    champion = scores_of(np.where(np.arange(40) % 4 == 0, 0.4, 0.6), target)
    challenger = scores_of(np.where(np.arange(40) % 2 == 0, 0.4, 0.6), target)
    protocol = Protocol(criteria=(Criterion(name="one", metric="sensitivity", kind="at_least", value=0.1),))
    (judged,) = judge_protocol(protocol, champion, challenger, "binary", (HALF, (0.3,)), RESAMPLES)
    assert judged.champion.value == 0.75  # 15 of 20 reach 0.5
    assert judged.challenger.value == 1.0  # all reach 0.3
    assert judged.challenger.studies == 20
    assert not judged.met  # 20 of 20: the interval has no width
    assert "says nothing about the uncertainty" in judged.why


def test_a_subgroup_is_judged_on_its_studies_alone() -> None:
    champion, challenger = two_models()
    judged = judge(champion, challenger, metric="auroc", kind="at_least", value=0.1, subgroup={"column": "sex", "value": "F"})
    keep = champion.groups["sex"] == "F"
    own = challenger.some(keep)
    expected = auroc(own.predicted[:, 0], own.target[:, 0], np.ones((1, keep.sum())))[0]
    assert judged.challenger.value == pytest.approx(expected)
    assert judged.gain.studies == keep.sum()


@pytest.mark.parametrize(
    ("patients", "group", "why"),
    [(8, None, "not enough data: "), (120, {"column": "sex", "value": "X"}, "no test study has sex = X")],
)
def test_what_cannot_be_judged_counts_as_failed(patients: int, group: object, why: str) -> None:
    judged = judge(*two_models(patients), metric="auroc", kind="at_least", value=0.0, subgroup=group)
    assert not judged.met
    assert "counts as failed" in judged.why
    assert why in judged.why
    assert np.isnan(judged.challenger.value)


def test_a_model_is_no_worse_than_itself_and_not_better() -> None:
    champion, _ = two_models()
    assert judge(champion, champion, metric="auroc", kind="no_worse_by", value=0.0).met
    assert not judge(champion, champion, metric="auroc", kind="better_by", value=0.0).met


def test_two_perfect_models_that_differ_cannot_be_told_apart_by_an_interval_without_width() -> None:
    target = np.array([1, 0] * 15)
    champion, challenger = scores_of(target * 0.8 + 0.1, target), scores_of(target * 0.6 + 0.2, target)
    judged = judge(champion, challenger, metric="auroc", kind="no_worse_by", value=0.05)
    assert judged.gain.value == 0
    assert not judged.met


def test_values_and_survival_have_criteria_of_their_own() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=60)
    said = [Scores(("value",), (truth + rng.normal(scale=0.3, size=60))[:, None], truth[:, None], np.arange(60)) for _ in "ab"]
    assert judge(*said, task="regression", metric="r2", kind="at_least", value=0.5).met
    assert judge(*said, task="regression", metric="mae", kind="at_least", value=0.4).met
    risk = np.clip(0.5 - truth / 8, 0, 1)[:, None]
    ends = np.stack([np.exp(truth), np.ones(60)], axis=1)
    dead = [Scores(("by 1",), risk + shift, ends, np.arange(60)) for shift in (0.0, 0.001)]
    found = judge(*dead, task="survival", metric="c_index", kind="at_least", value=0.9)
    assert found.challenger.value == 1.0


def test_of_several_classes_the_mean_or_one_is_judged() -> None:
    rng = np.random.default_rng(2)
    target = np.eye(3)[rng.integers(3, size=150)]
    said = rng.dirichlet((1, 1, 1), 150) + target
    predicted = said / said.sum(axis=1, keepdims=True)
    scores = Scores(("a", "b", "c"), predicted, target, np.arange(150))
    ones = np.ones((1, 150))
    areas = [auroc(predicted[:, c], target[:, c], ones)[0] for c in range(3)]
    asked = {"metric": "auroc", "kind": "at_least", "value": 0.1}
    assert judge(scores, scores, task="multiclass", **asked).challenger.value == pytest.approx(np.mean(areas))
    assert judge(scores, scores, task="multiclass", **asked, **{"class": "b"}).challenger.value == pytest.approx(areas[1])


def test_other_studies_are_refused() -> None:
    with pytest.raises(DataError, match="champion and challenger"):
        judge(two_models(40)[0], two_models(41)[0], metric="auroc", kind="at_least", value=0.5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "auroch", "kind": "at_least", "value": 0.5}, "not of a binary task"),
        ({"metric": "r2", "kind": "at_least", "value": 0.5}, "not of a binary task"),
        ({"metric": "auroc", "kind": "at_least", "value": 0.5, "class": "well"}, "no class 'well'"),
        ({"metric": "auroc", "kind": "at_least", "value": 0.5, "subgroup": {"column": "age", "value": "1"}}, "'age' is no"),
    ],
)
def test_a_criterion_that_no_model_of_the_run_can_meet_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge(*two_models(40), **asked)


ONE = "{name: one, metric: auroc, kind: at_least, value: 0.7}"


def test_a_protocol_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(f"title: renewed\ncriteria:\n  - {ONE}\n  - {{name: two, metric: brier, kind: better_by, value: 0}}\n")
    protocol = read_protocol(path)
    assert protocol.title == "renewed"
    assert [one.kind for one in protocol.criteria] == ["at_least", "better_by"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"criteria:\n  - {ONE}\n  - {ONE}", "two criteria are called 'one'"),
        ("criteria: []", "line 1: criteria"),
        (f"criteria:\n  - {ONE}\n  - {{name: two, metric: auroc, kind: atleast, value: 1}}", "line 3: criteria.1.kind"),
        ("criteria:\n  - {name: two, metric: auroc, kind: no_worse_by, value: -0.1}", "below zero"),
        ("criteria:\n  - {name: a b, metric: auroc, kind: at_least, value: 0.1}", "letters, digits"),
        ("criteria:\n  - {name: a, metric: auroc, kind: at_least, value: 0.1, subgrup: {}}", "unknown key 'subgrup'"),
        ("criteria:\n  - {name: a, metric: auroc, kind: at_least, value: .nan}", "finite"),
        ("- just\n- a list", "holds no protocol"),
        ("", "holds no protocol"),
        ("criteria: 1\ncriteria: 2", "stands twice"),
    ],
)
def test_a_wrong_protocol_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_protocol(path)


def test_a_protocol_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no protocol"):
        read_protocol(tmp_path / "none.yaml")
