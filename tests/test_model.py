"""What a network may see, what its loss is, and what its logits mean."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Hospital

from medmm.fusion.base import Fused
from medmm.inputs.tabular import TabularSettings
from medmm.losses.classes import balanced_weights
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings, Output, breach
from medmm.package import Package
from medmm.predict import predict, subsets
from medmm.types import Array, Batch, Task

EVERYTHING = frozenset({"chest", "ct", "history", "labs"})


def mixed(hospital: Hospital) -> Batch:
    """Make a batch in which chest, labs and history are each present in some studies and absent in others."""
    lacking = [[s for s in hospital.studies if name not in s.evidence][:2] for name in ("chest", "labs", "history")]
    whole = [s for s in hospital.studies if len(s.evidence) == 3][:2]
    batch = hospital.batch([*whole, *(study for studies in lacking for study in studies)])
    for name in ("chest", "labs", "history"):
        assert 0 < batch.present[name].sum() < len(batch.rows)
    return batch


def with_filler(batch: Batch, filler: float) -> Batch:
    """Put other content where a study lacks an input."""

    def fill(values: torch.Tensor, has: torch.Tensor) -> torch.Tensor:
        wrong = torch.full_like(values, filler if values.is_floating_point() else 77)
        return torch.where(has.view(-1, *[1] * (values.ndim - 1)), values, wrong)

    return replace(
        batch,
        inputs={
            name: {field: fill(values, batch.present[name]) for field, values in fields.items()}
            for name, fields in batch.inputs.items()
        },
    )


def outputs(output: Output) -> list[torch.Tensor]:
    return [output.logits, output.fused.joint, *(output.auxiliary[name] for name in sorted(output.auxiliary))]


@pytest.mark.parametrize("filler", [float("nan"), 1e30, -3.0])
def test_the_filler_of_an_absent_input_changes_no_bit_of_the_output(
    hospital: Hospital, package: Package, filler: float
) -> None:
    batch = mixed(hospital)
    with torch.inference_mode():
        one, other = package.model(batch), package.model(with_filler(batch, filler))
    assert all(torch.equal(a, b) for a, b in zip(outputs(one), outputs(other), strict=True))
    assert one.logits.isfinite().all()


@pytest.mark.parametrize("filler", [float("nan"), 1e30])
def test_the_filler_changes_no_bit_of_a_training_step(hospital: Hospital, package: Package, filler: float) -> None:
    def gradients(batch: Batch) -> list[torch.Tensor | None]:
        torch.manual_seed(0)
        model = DiagnosisModel(package.model_settings, hospital.inputs, CrossEntropy("binary", [2.0])).train()
        torch.manual_seed(1)  # of dropout
        model.loss(model(batch), batch).backward()
        return [p.grad for p in model.parameters()]

    batch = mixed(hospital)
    for one, other in zip(gradients(batch), gradients(with_filler(batch, filler)), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert torch.equal(one, other)
            assert one.isfinite().all()


def test_an_input_that_no_study_of_a_batch_has_takes_no_part(hospital: Hospital, package: Package) -> None:
    batch = mixed(hospital)
    assert not batch.present["ct"].any()
    with torch.inference_mode():
        output = package.model(batch)
    assert not output.has["ct"].any()
    assert output.logits.isfinite().all()


def test_a_batch_in_which_one_study_alone_has_the_image_can_be_learned_from(hospital: Hospital, package: Package) -> None:
    batch = mixed(hospital)
    first = int(batch.present["chest"].nonzero()[0])
    alone = torch.zeros_like(batch.present["chest"])
    alone[first] = True
    batch = replace(batch, present={**batch.present, "chest": alone})
    torch.manual_seed(0)
    model = DiagnosisModel(package.model_settings, hospital.inputs, CrossEntropy("binary", [2.0])).train()
    assert model.loss(model(batch), batch).isfinite()


def test_hiding_an_input_is_the_same_as_a_study_that_lacks_it(hospital: Hospital, package: Package) -> None:
    batch = mixed(hospital)
    asked = subsets(["chest", "history", "labs"])
    logits = predict(package.model, [batch], asked).logits
    for some in asked:
        absent = {name: has if name in some else torch.zeros_like(has) for name, has in batch.present.items()}
        left = torch.stack(list(absent.values())).any(0)
        expected = predict(package.model, [replace(batch, present=absent)], [EVERYTHING]).logits
        # A study is encoded in another batch then, so sums may run in another order.
        np.testing.assert_allclose(logits[some][left], expected[EVERYTHING][left], atol=2e-6)
    assert not np.allclose(logits[frozenset({"labs"})], logits[frozenset({"history", "labs"})], atol=1e-3)


def test_a_study_gets_the_same_logits_whatever_stands_beside_it(hospital: Hospital, package: Package) -> None:
    batch = mixed(hospital)
    together = predict(package.model, [batch], [EVERYTHING]).logits
    for row in range(len(batch.rows)):
        fields = {n: {f: v[row : row + 1] for f, v in fields.items()} for n, fields in batch.inputs.items()}
        one = Batch(fields, {n: has[row : row + 1] for n, has in batch.present.items()}, None, batch.rows[row : row + 1])
        alone = predict(package.model, [one], [EVERYTHING]).logits
        np.testing.assert_allclose(alone[EVERYTHING][0], together[EVERYTHING][row], atol=2e-6)


def test_predict_joins_batches_in_order_and_tells_what_was_there(hospital: Hospital, package: Package) -> None:
    batches = [hospital.batch(hospital.studies[:5]), hospital.batch(hospital.studies[5:8])]
    said = predict(package.model, batches, [EVERYTHING])
    logits, present = said.logits, said.present
    assert logits[EVERYTHING].shape == (8, 1)
    expected = [[name in study.evidence for name in sorted(EVERYTHING)] for study in hospital.studies[:8]]
    assert present.tolist() == expected
    with torch.inference_mode():
        raw = package.model(batches[1]).logits.numpy()
    np.testing.assert_allclose(logits[EVERYTHING][5:], raw - np.log(3.0), rtol=1e-6)  # the weight of the package is 3


def test_every_subset_but_the_empty_one_is_asked_for_the_largest_first() -> None:
    assert subsets(["b", "a", "c"]) == [frozenset(some) for some in ("abc", "ab", "ac", "bc", "a", "b", "c")]


def small_model(
    task: Task, weight: Sequence[float], inputs: Sequence[str] = ("labs",), auxiliary: float = 0.3
) -> DiagnosisModel:
    made = {
        name: TabularSettings.model_validate({"table": "labs.csv", "numeric": {"crp": {}}})
        .open(name)
        .fit([("1", {"crp": "1"}), ("2", {"crp": "3"})])
        for name in inputs
    }
    settings = ModelSettings.model_validate({"width": 8, "fusion": {"name": "concat", "auxiliary_weight": auxiliary}})
    return DiagnosisModel(settings, made, CrossEntropy(task, weight))


def known(target: torch.Tensor, bounds: torch.Tensor | None = None) -> Batch:
    """Give a batch of which nothing but the truth, and what rules allow, is known."""
    return Batch({}, {}, target, torch.arange(len(target)), bounds=bounds)


def fitted_logits(model: DiagnosisModel, target: torch.Tensor) -> torch.Tensor:
    """Minimise the model's own loss over one free row of logits that all studies share: (1, C)."""
    free = torch.zeros(1, target.shape[1], requires_grad=True)
    search = torch.optim.LBFGS([free], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        logits = free.expand(len(target), -1)
        loss = model.loss(Output(logits, {}, {}, Fused(logits)), known(target))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    return free.detach()


def test_weighted_binary_logits_are_brought_back_to_the_prevalence() -> None:
    target = torch.tensor([[1.0]] * 2 + [[0.0]] * 6)
    model = small_model("binary", [3.0])
    logits = fitted_logits(model, target)
    # By hand: with the weight, positives count 2 * 3 = 6 to 6, so the logit is 0; without, log(2 / 6).
    assert logits.item() == pytest.approx(0.0, abs=1e-4)
    assert model.evidence(logits).item() == pytest.approx(np.log(2 / 6), abs=1e-4)


def test_weighted_multiclass_logits_are_brought_back_to_the_prevalence() -> None:
    target = torch.eye(3)[[0] * 6 + [1] * 3 + [2]]
    model = small_model("multiclass", [0.5, 1.0, 4.0])
    probability = model.evidence(fitted_logits(model, target)).softmax(1)
    np.testing.assert_allclose(probability[0], [0.6, 0.3, 0.1], atol=1e-4)


def test_weighted_multilabel_logits_are_brought_back_class_by_class() -> None:
    target = torch.tensor([[1.0, 0.0]] * 2 + [[1.0, 1.0]] + [[0.0, 0.0]] * 7)
    model = small_model("multilabel", [7 / 3, 9.0])
    probability = model.evidence(fitted_logits(model, target)).sigmoid()
    np.testing.assert_allclose(probability[0], [0.3, 0.1], atol=1e-4)


@pytest.mark.parametrize(
    ("task", "target", "expected"),
    [
        ("binary", [[1], [0], [0], [0]], [3.0]),  # 3 negatives to 1 positive
        ("multiclass", [[1, 0, 0]] * 6 + [[0, 1, 0]] * 2 + [[0, 0, 1]], [0.5, 1.5, 3.0]),  # 9 / 3 over 6, 2 and 1
        ("multilabel", [[1, 1], [1, 0], [0, 0], [1, 0], [1, 0]], [1 / 4, 4.0]),  # 1 to 4, 4 to 1
        ("binary", [[1]] + [[0]] * 99, [20.0]),  # 99, but no more than the limit
        ("multilabel", [[0, 1]] * 30, [20.0, 1 / 20]),  # no positive counts as one; no negative, at the limit
    ],
)
def test_balanced_weights_by_hand(task: Task, target: list[list[int]], expected: list[float]) -> None:
    assert balanced_weights(np.array(target, float), task) == pytest.approx(expected)


def binary_by_hand(logits: Array, target: Array, weight: Array) -> Array:
    p = 1 / (1 + np.exp(-logits))
    return -(weight * target * np.log(p) + (1 - target) * np.log(1 - p)).mean(1)


def multiclass_by_hand(logits: Array, target: Array, weight: Array) -> Array:
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -(weight * target * np.log(p)).sum(1)


@pytest.mark.parametrize(
    ("task", "weight", "by_hand"),
    [
        ("binary", [2.5], binary_by_hand),
        ("multilabel", [2.5, 0.5, 1.0], binary_by_hand),
        ("multiclass", [2.5, 0.5, 1.0], multiclass_by_hand),
    ],
)
def test_the_loss_agrees_with_its_formula(
    task: Task, weight: list[float], by_hand: Callable[[Array, Array, Array], Array]
) -> None:
    classes = len(weight)
    rng = np.random.default_rng(0)
    target = (
        (rng.random((6, classes)) < 0.5).astype(np.float32)
        if task != "multiclass"
        else np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 0]]
    )
    joint, a, b = (rng.normal(size=(6, classes)).astype(np.float32) for _ in range(3))
    has = np.array([True, False, True, False, False, False])
    model = small_model(task, weight, inputs=("a", "b"), auxiliary=0.4)
    output = Output(
        logits=torch.from_numpy(joint),
        auxiliary={"a": torch.from_numpy(a), "b": torch.from_numpy(b)},
        has={"a": torch.from_numpy(has), "b": torch.zeros(6, dtype=torch.bool)},
        fused=Fused(torch.zeros(6, 8)),
    )
    w = np.array(weight)
    # Input a stands in studies 0 and 2; b in none and adds nothing; each has the weight 0.4 / 2.
    expected = by_hand(joint, target, w).mean() + 0.4 / 2 * by_hand(a, target, w)[has].mean()
    assert model.loss(output, known(torch.from_numpy(target))).item() == pytest.approx(expected, rel=1e-5)


def test_a_single_input_has_no_loss_of_its_own() -> None:
    model = small_model("binary", [1.0])
    zero = torch.zeros(2, 1)
    output = Output(zero, {"labs": zero + 50}, {"labs": torch.tensor([True, True])}, Fused(torch.zeros(2, 8)))
    assert model.loss(output, known(zero)).item() == pytest.approx(np.log(2))


def test_a_penalty_of_the_fusion_counts_in_training_and_not_in_the_choice_of_a_checkpoint() -> None:
    model = small_model("binary", [1.0])
    zero = torch.zeros(2, 1)
    output = Output(
        zero, {"labs": zero}, {"labs": torch.tensor([True, True])}, Fused(torch.zeros(2, 8), penalty=torch.tensor(0.5))
    )
    assert model.loss(output, known(zero)).item() == pytest.approx(np.log(2) + 0.5)
    assert model.joint_loss(output, known(zero)).item() == pytest.approx(np.log(2))


def test_a_study_without_a_label_weighs_nothing() -> None:
    model = small_model("binary", [3.0], inputs=("a", "b"), auxiliary=0.4)
    logits = torch.tensor([[1.0], [-2.0], [50.0]], requires_grad=True)
    has = {"a": torch.tensor([True, False, True]), "b": torch.tensor([False, False, True])}
    output = Output(logits, dict.fromkeys("ab", logits), has, Fused(torch.zeros(3, 8)))
    loss = model.loss(output, known(torch.tensor([[1.0], [0.0], [np.nan]])))
    # By hand: 3 log(1 + e^-1) and log(1 + e^-2); of the labelled, input a stands in the first alone, b in none.
    first, second = 3 * np.log1p(np.exp(-1)), np.log1p(np.exp(-2))
    assert loss.item() == pytest.approx((first + second) / 2 + 0.4 / 2 * first, rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[2].item() == 0
    assert model.loss(output, known(torch.full((3, 1), np.nan))).item() == 0


def test_a_breach_of_a_bound_costs_its_distance_in_log_odds() -> None:
    model = small_model("binary", [2.0])
    logits = torch.tensor([[0.0], [0.0], [3.0]]) + np.log(2)  # the weight of the loss adds log 2
    bounds = torch.tensor([[[0.8, 1, 2.0]], [[0, 0.5, 5.0]], [[0, 0.9, 1.0]]])
    output = Output(logits, {}, {}, Fused(logits))
    plain = model.loss(output, known(torch.ones(3, 1)))
    ruled = model.loss(output, known(torch.ones(3, 1), bounds))
    # By hand: log odds 0, 0 and 3; log 4 - 0 twice, nothing, 3 - log 9 once.
    assert (ruled - plain).item() == pytest.approx((2 * np.log(4) + 3 - np.log(9)) / 3, rel=1e-5)


def test_log_odds_of_a_class_are_against_all_others() -> None:
    model = small_model("multiclass", [1.0, 1.0, 1.0])
    logits = torch.tensor([[1.0, -2.0, 0.5], [30.0, 0.0, -30.0]])
    p = logits.double().softmax(1)
    torch.testing.assert_close(model.log_odds(logits)[0].double(), (p / (1 - p)).log()[0], rtol=1e-5, atol=1e-5)
    assert model.log_odds(logits)[1].tolist() == pytest.approx([30, -30, -60], rel=1e-5)


def test_a_fusion_that_tells_of_conflict_is_heard_and_another_is_not(hospital: Hospital, package: Package) -> None:
    batch = mixed(hospital)
    assert predict(package.model, [batch], [EVERYTHING]).conflict is None
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": "evidential"})
    model = DiagnosisModel(settings, hospital.inputs, CrossEntropy("binary", [3.0]))
    conflict = predict(model, [batch, batch], [EVERYTHING, frozenset({"labs"})]).conflict
    assert conflict is not None
    assert conflict.shape == (2 * len(batch.rows),)
    several = torch.stack(list(batch.present.values())).sum(0).numpy() > 1
    assert (conflict[: len(several)][several] > 0).all()
    alone = predict(model, [batch], [frozenset({"labs"})]).conflict
    assert alone is not None
    assert (alone == 0).all()


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_what_is_said_of_classes_that_are_asked_one_by_one_by_hand(task: Task) -> None:
    weight = [3.0] if task == "binary" else [3.0, 0.5]
    model = small_model(task, weight)
    logits = torch.tensor([[0.4, -1.0][: len(weight)]])
    # By hand: odds are those of the logit over the weight.
    odds = np.exp(logits.numpy()) / np.array(weight)
    np.testing.assert_allclose(model.said(logits), odds / (1 + odds), rtol=1e-5)


def test_what_is_said_of_several_classes_by_hand() -> None:
    model = small_model("multiclass", [2.0, 1.0, 0.5])
    raw = np.exp([0.4, -1.0, 2.0]) / np.array([2.0, 1.0, 0.5])
    np.testing.assert_allclose(model.said(torch.tensor([[0.4, -1.0, 2.0]]))[0], raw / raw.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "weight", "by_hand"),
    [("multilabel", [2.5, 0.5], binary_by_hand), ("multiclass", [2.5, 0.5, 1.0], multiclass_by_hand)],
)
def test_the_loss_of_each_study_by_hand_and_none_where_a_class_is_not_known(
    task: Task, weight: list[float], by_hand: Callable[[Array, Array, Array], Array]
) -> None:
    model, classes = small_model(task, weight), len(weight)
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(4, classes)), np.eye(classes)[[0, 1, 0, 1]]
    expected = by_hand(logits, target, np.array(weight))
    target[1, 0], target[3] = np.nan, np.nan
    expected[[1, 3]] = 0
    said = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    losses = model.study_losses(said, torch.tensor(target, dtype=torch.float32))
    np.testing.assert_allclose(losses.detach(), expected, rtol=1e-5)
    losses.sum().backward()
    assert said.grad is not None
    assert not said.grad[[1, 3]].any()
    batch = known(torch.tensor(target, dtype=torch.float32))
    output = Output(said, {}, {}, Fused(said))
    assert model.joint_loss(output, batch).item() == pytest.approx(expected.sum() / 2, rel=1e-5)


def test_bounds_of_nothing_and_of_certainty_ask_for_nothing_and_pull_no_gradient() -> None:
    log_odds = torch.tensor([[-40.0], [40.0], [0.0]], requires_grad=True)
    free = torch.tensor([[[0.0, 1.0, 5.0]], [[0.0, 1.0, 5.0]], [[0.9, 1.0, 0.0]]])
    cost = breach(log_odds, free)
    assert cost.item() == 0
    cost.backward()
    assert log_odds.grad is not None
    assert not log_odds.grad.any()
    far = torch.tensor([[-40.0], [40.0]], requires_grad=True)
    breach(far, torch.tensor([[[0.2, 1.0, 3.0]], [[0.0, 0.2, 1.0]]])).backward()
    # By hand: the same pull however far, of the weight over two studies.
    assert far.grad is not None
    assert far.grad.flatten().tolist() == pytest.approx([-1.5, 0.5])


def test_breaches_of_several_classes_add_up() -> None:
    bounds = torch.tensor([[[0.5, 1.0, 1.0], [0.0, 0.5, 2.0]]])
    assert breach(torch.tensor([[-1.0, 3.0]]), bounds).item() == pytest.approx(1 * 1 + 2 * 3)
