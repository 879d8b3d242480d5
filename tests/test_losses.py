"""Every loss against its formula worked out a second way, and one contract over all of them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit
from statsmodels.duration.hazard_regression import PHReg

from medmm.cohort.target import TargetSettings
from medmm.errors import ConfigError, DataError
from medmm.evaluation.survival import kaplan_meier
from medmm.inputs.tabular import TabularSettings
from medmm.losses import LOSSES, SUITED, make_loss
from medmm.losses.asymmetric import Asymmetric, AsymmetricSettings
from medmm.losses.base import Loss
from medmm.losses.classes import ordered
from medmm.losses.cox import Cox, Ties, baseline_hazard, partial_likelihood
from medmm.losses.cross_entropy import CrossEntropy
from medmm.losses.discrete_time import DiscreteTime
from medmm.losses.focal import Focal
from medmm.losses.logit_adjusted import LogitAdjusted
from medmm.losses.value import Value
from medmm.model import DiagnosisModel, ModelSettings
from medmm.types import Array, Task

TARGETS: dict[Task, TargetSettings] = {
    "binary": TargetSettings(column="x", positive="sick"),
    "multiclass": TargetSettings(column="x", task="multiclass", classes=("a", "b", "c")),
    "multilabel": TargetSettings(column="x", task="multilabel", classes=("a", "b", "c")),
    "ordinal": TargetSettings(column="x", task="ordinal", classes=("none", "mild", "moderate", "severe")),
    "regression": TargetSettings(column="x", task="regression", unit="%"),
    "survival": TargetSettings(task="survival", time="days", event="died", unit="days", horizons=(3, 8)),
}
LABS = (
    TabularSettings.model_validate({"table": "labs.csv", "numeric": {"crp": {}}})
    .open("labs")
    .fit([("1", {"crp": "1"}), ("2", {"crp": "3"})])
)
PAIRS = [(name, task) for name, one in LOSSES.items() for task in one.tasks]


def labels(task: Task, studies: int = 60, seed: int = 0) -> Array:
    """Draw labels (S, T); times with ties, two thirds of them of an event."""
    rng = np.random.default_rng(seed)
    if task == "survival":
        return np.stack([rng.integers(0, 15, studies), rng.random(studies) < 0.67], axis=1).astype(float)
    if task == "regression":
        return rng.normal(50, 10, (studies, 1))
    if task == "multiclass":
        return np.eye(3)[rng.choice(3, studies, p=(0.6, 0.3, 0.1))]
    if task == "ordinal":
        return (rng.integers(0, 4, (studies, 1)) > np.arange(3)).astype(float)
    return (rng.random((studies, len(TARGETS[task].names))) < 0.3).astype(float)


def fitted(name: str, task: Task) -> Loss:
    one = make_loss(LOSSES[name].model_validate({"name": name}), TARGETS[task])
    one.fit(labels(task))
    return one


def heads(one: Loss, studies: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Give what a head might say: (B, K)."""
    return scale * torch.randn(studies, one.outputs, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "task"), PAIRS)
class TestLoss:
    def test_it_gives_a_number_a_study_and_falls(self, name: str, task: Task) -> None:
        one, target = fitted(name, task), torch.from_numpy(labels(task)).float()
        raw = heads(one, 60).requires_grad_()
        optimizer = torch.optim.Adam([raw], 0.1)
        losses = []
        for _ in range(30):
            loss = one(one.link(raw), target)
            assert loss.shape == (60,)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            losses.append(float(loss.detach().sum()))
        assert losses[-1] < 0.8 * losses[0]

    @pytest.mark.parametrize("scale", [30.0, 1e3, 1e6])
    def test_its_gradient_is_finite_at_extreme_logits(self, name: str, task: Task, scale: float) -> None:
        one, target = fitted(name, task), torch.from_numpy(labels(task)).float()
        raw = heads(one, 60, scale=scale).requires_grad_()
        one(one.link(raw), target).sum().backward()
        assert raw.grad is not None
        assert raw.grad.isfinite().all()
        evidence = one.evidence(one.link(raw.detach()))
        assert evidence.isfinite().all()
        assert one.answer(evidence).isfinite().all() or task == "regression"

    def test_the_order_of_the_studies_is_of_no_matter(self, name: str, task: Task) -> None:
        one, target, raw = fitted(name, task), torch.from_numpy(labels(task)).float(), heads(fitted(name, task), 60)
        order = torch.from_numpy(np.random.default_rng(1).permutation(60))
        torch.testing.assert_close(one(one.link(raw), target)[order], one(one.link(raw[order]), target[order]))

    def test_a_study_without_a_label_never_reaches_it(self, name: str, task: Task) -> None:
        one, target = fitted(name, task), torch.from_numpy(labels(task)).float()
        model = DiagnosisModel(ModelSettings.model_validate({"width": 8, "fusion": "concat"}), {"labs": LABS}, one)
        known = torch.arange(60) % 3 > 0
        some = torch.where(known[:, None], target, torch.nan)
        found = []
        for filler in (0.0, 50.0):
            raw = torch.where(known[:, None], heads(one, 60), filler).requires_grad_()
            losses = model.study_losses(one.link(raw), some)
            losses.sum().backward()
            assert raw.grad is not None
            assert (raw.grad[~known] == 0).all()
            assert (losses[~known] == 0).all()
            found.append((losses.detach(), raw.grad[known]))
        for a, b in zip(*found, strict=True):
            assert torch.equal(a, b)
        alone = one(one.link(heads(one, 60)[known]), target[known])
        torch.testing.assert_close(found[0][0][known], alone)
        assert (model.study_losses(one.link(heads(one, 60)), torch.full_like(target, torch.nan)) == 0).all()

    def test_what_is_freed_can_be_bound_again(self, name: str, task: Task) -> None:
        one = fitted(name, task)
        logits = one.link(heads(one, 20))
        torch.testing.assert_close(one.bind(one.free(logits)), logits)

    def test_answers_are_possible_ones(self, name: str, task: Task) -> None:
        one, target = fitted(name, task), labels(task)
        raw = heads(one, 60, scale=4)
        if one.settles:
            one.settle(raw.numpy(), target)
        said = one.answer(one.evidence(one.link(raw))).double()
        assert said.shape == (60, len(TARGETS[task].names))
        if task != "regression":
            assert ((said >= 0) & (said <= 1)).all()
        if task == "ordinal":
            assert (said.diff(dim=1) <= 0).all()
        if task == "survival":
            assert (said.diff(dim=1) >= 0).all()
            assert said.std() > 0.01
        if task == "multiclass":
            torch.testing.assert_close(said.sum(1), torch.ones(60).double(), atol=1e-6, rtol=0)

    def test_what_it_learned_survives_a_round_trip(self, name: str, task: Task) -> None:
        one, raw = fitted(name, task), heads(fitted(name, task), 60)
        if one.settles:
            one.settle(raw.numpy(), labels(task))
        other = make_loss(LOSSES[name].model_validate({"name": name}), TARGETS[task])
        other.load_state_dict(one.state_dict())
        target = torch.from_numpy(labels(task)).float()
        for loss in (one, other):
            assert torch.equal(loss(loss.link(raw), target), one(one.link(raw), target))
            assert torch.equal(loss.answer(loss.evidence(loss.link(raw))), one.answer(one.evidence(one.link(raw))))


def least(one: Loss, target: Array, steps: int = 4000) -> torch.Tensor:
    """Give the logits (1, K) that all studies share, at which a loss is least."""
    free = torch.zeros(1, one.outputs, dtype=torch.float64, requires_grad=True)
    truth = torch.from_numpy(target)
    search = torch.optim.LBFGS(
        [free], max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        search.zero_grad()
        loss: torch.Tensor = one(free.expand(len(truth), -1), truth).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    return free.detach()


BINARY = np.array([[1.0]] * 3 + [[0.0]] * 17)
SEVERAL = np.eye(3)[[0] * 12 + [1] * 6 + [2] * 2]
LABELS = np.array([[1.0, 0.0]] * 3 + [[1.0, 1.0]] * 2 + [[0.0, 0.0]] * 15)


@pytest.mark.parametrize(
    "make",
    [
        lambda task, classes: Focal(task, [1.0] * classes, 2.0),
        lambda task, classes: Focal(task, np.linspace(0.5, 4, classes).tolist(), 0.5),
        lambda task, classes: Focal(task, [3.0] * classes, 5.0),
        lambda task, classes: LogitAdjusted(task, classes, 1.0),
        lambda task, classes: LogitAdjusted(task, classes, 0.4),
        lambda task, classes: CrossEntropy(task, np.linspace(0.5, 4, classes).tolist()),
    ],
)
@pytest.mark.parametrize(("task", "target"), [("binary", BINARY), ("multilabel", LABELS), ("multiclass", SEVERAL)])
def test_the_logits_that_minimise_a_loss_are_freed_to_the_shares_of_the_classes(
    make: Callable[[Task, int], Loss], task: Task, target: Array
) -> None:
    one = make(task, target.shape[1])
    one.fit(target)
    raw = least(one, target)
    said = one.answer(one.evidence(raw))[0].numpy()
    np.testing.assert_allclose(said, target.mean(0), atol=1e-4)
    if not isinstance(one, CrossEntropy):
        assert np.abs(one.answer(raw)[0].numpy() - target.mean(0)).max() > 0.002  # there was something to free


@pytest.mark.parametrize("options", [{}, {"margin": 0.0}, {"gamma_positive": 1.0, "gamma_negative": 2.0, "margin": 0.1}])
def test_asymmetric_logits_are_freed_to_the_shares_of_the_labels(options: dict[str, float]) -> None:
    one = Asymmetric("multilabel", 2, AsymmetricSettings.model_validate(options))
    raw = least(one, LABELS)
    np.testing.assert_allclose(one.answer(one.evidence(raw))[0], LABELS.mean(0), atol=1e-4)
    order = one.evidence(torch.linspace(-30, 30, 400, dtype=torch.float64)[:, None])
    assert (order.diff(dim=0) > 0).all()  # also below the margin, where the loss says nothing
    assert one.evidence(torch.tensor([[np.log(0.04 / 0.96)]])).item() > -30


def test_focal_and_asymmetric_losses_agree_with_their_formulas() -> None:
    rng = np.random.default_rng(0)
    z, y, w = rng.normal(scale=2, size=(9, 3)), (rng.random((9, 3)) < 0.5).astype(float), np.array([0.5, 1.0, 3.0])
    q = expit(z)
    expected = (-w * y * (1 - q) ** 2 * np.log(q) - (1 - y) * q**2 * np.log(1 - q)).mean(1)
    said = Focal("multilabel", w.tolist(), 2.0)(torch.from_numpy(z), torch.from_numpy(y))
    np.testing.assert_allclose(said, expected, rtol=1e-6)
    p = np.maximum(q - 0.05, 0)
    expected = (-y * (1 - q) * np.log(q) - (1 - y) * p**4 * np.log(1 - p)).mean(1)
    settings = AsymmetricSettings(gamma_positive=1.0, gamma_negative=4.0, margin=0.05)
    np.testing.assert_allclose(
        Asymmetric("multilabel", 3, settings)(torch.from_numpy(z), torch.from_numpy(y)), expected, rtol=1e-5
    )
    one_hot = np.eye(3)[rng.integers(0, 3, 9)]
    q = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = (-w * one_hot * (1 - q) ** 3 * np.log(q)).sum(1)
    np.testing.assert_allclose(
        Focal("multiclass", w.tolist(), 3.0)(torch.from_numpy(z), torch.from_numpy(one_hot)), expected, rtol=1e-6
    )


def test_a_focal_loss_without_focus_is_the_cross_entropy() -> None:
    for task in ("binary", "multiclass", "multilabel", "ordinal"):
        target = torch.from_numpy(labels(task)).float()
        one, other = Focal(task, [2.0] * target.shape[1], 0.0), CrossEntropy(task, [2.0] * target.shape[1])
        logits = one.link(heads(one, 60))
        torch.testing.assert_close(one(logits, target), other(logits, target))
        said, plain = one.answer(one.evidence(logits)), other.answer(other.evidence(logits))
        torch.testing.assert_close(said, plain)


def test_adjusted_logits_are_those_for_classes_that_are_equally_frequent() -> None:
    one = LogitAdjusted("multiclass", 3, 1.0)
    one.fit(SEVERAL)
    np.testing.assert_allclose(one.prior.exp(), [0.6, 0.3, 0.1], rtol=1e-6)
    raw = least(one, SEVERAL)
    np.testing.assert_allclose(raw.softmax(1)[0], [1 / 3] * 3, atol=1e-5)  # where nothing is known, every class alike
    z, y = torch.tensor([[1.0, -1.0, 0.5]]), torch.tensor([[0.0, 1.0, 0.0]])
    shifted = np.array([1, -1, 0.5]) + np.log([0.6, 0.3, 0.1])
    assert one(z, y).item() == pytest.approx(np.log(np.exp(shifted).sum()) - shifted[1], rel=1e-5)
    half = LogitAdjusted("multiclass", 3, 0.5)
    half.fit(SEVERAL)
    shifted = np.array([1, -1, 0.5]) + 0.5 * np.log([0.6, 0.3, 0.1])
    assert half(z, y).item() == pytest.approx(np.log(np.exp(shifted).sum()) - shifted[1], rel=1e-5)


def test_a_grade_is_a_question_for_each_step_with_answers_in_order() -> None:
    raw = torch.tensor([[0.3, -1.0, 2.0]])
    z = ordered(raw)[0].numpy()
    np.testing.assert_allclose(
        z, [0.3, 0.3 - np.log1p(np.exp(-1)), 0.3 - np.log1p(np.exp(-1)) - np.log1p(np.exp(2))], rtol=1e-6
    )
    one = make_loss(None, TARGETS["ordinal"], "none")
    one.fit(labels("ordinal"))
    expected = -(log_expit(z[0]) + log_expit(z[1]) + log_expit(-z[2])) / 3  # grade 2 of 0 to 3
    assert one(ordered(raw), torch.tensor([[1.0, 1.0, 0.0]])).item() == pytest.approx(expected, rel=1e-5)


def test_weights_of_rarer_grades_keep_the_order_of_the_answers() -> None:
    target = (np.array([0] * 70 + [1] * 20 + [2] * 9 + [3])[:, None] > np.arange(3)).astype(float)
    one = make_loss(None, TARGETS["ordinal"])
    one.fit(target)
    raw = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) - torch.tensor([0.0, 3.0, 3.0])  # steps of almost 0
    assert (one.evidence(one.link(raw)).diff(dim=1) < 0).all()


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_partial_likelihood_is_that_of_statsmodels(ties: Ties, tied: bool) -> None:
    rng = np.random.default_rng(3)
    x, beta = rng.normal(size=(80, 2)), np.array([0.7, -0.4])
    time = rng.integers(1, 12, 80).astype(float) if tied else rng.permutation(80).astype(float)
    event = rng.random(80) < 0.6
    expected = PHReg(time, x, event, ties=ties).loglike(beta)
    said = partial_likelihood(torch.from_numpy(x @ beta), torch.from_numpy(time), torch.from_numpy(event), ties)
    assert -said.sum().item() == pytest.approx(expected, rel=1e-9)
    assert (said[~torch.from_numpy(event)] == 0).all()


def test_the_baseline_hazard_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(120, 1))
    time, event = np.ceil(rng.exponential(10 * np.exp(-x[:, 0]))), rng.random(120) < 0.7
    model = PHReg(time, x, event, ties="breslow")
    result = model.fit()
    moments, hazard, _ = result.baseline_cumulative_hazard[0]
    target = np.stack([time, event], axis=1).astype(float)
    horizons = [2.0, 7.5, 20.0]
    expected = hazard[np.searchsorted(moments, horizons, "right")]  # theirs is that just before a time
    found = baseline_hazard(x[:, 0] * result.params[0], target, horizons)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_risks_of_studies_that_are_all_alike_are_those_of_the_cohort() -> None:
    target = labels("survival", 4000)
    one = Cox((3, 8), "efron")
    one.settle(np.zeros((4000, 1)), target)
    said = one.answer(torch.zeros(1, 1))[0].numpy()
    np.testing.assert_allclose(said, 1 - kaplan_meier(target, [3, 8]), atol=0.02)  # exp of the hazard against the product
    one.settle(np.full((4000, 1), 5.0), target)  # a shift of all log hazards is one of the baseline
    np.testing.assert_allclose(one.answer(torch.full((1, 1), 5.0))[0], said, rtol=1e-4)


def test_discrete_time_by_hand() -> None:
    one = DiscreteTime((5.0,), 3)
    one.edges.copy_(torch.tensor([0.0, 4.0, 6.0, 10.0]))
    z = torch.tensor([[0.2, -0.5, 1.0]])
    h = expit(z[0].double().numpy())

    def said(time: float, event: int) -> float:
        return float(one(z, torch.tensor([[time, float(event)]])).item())

    assert said(5, 1) == pytest.approx(-np.log(1 - h[0]) - np.log(h[1]), rel=1e-5)  # in the second interval, not in the first
    assert said(6, 1) == pytest.approx(-np.log(1 - h[0]) - np.log(h[1]), rel=1e-5)  # an interval holds its end
    assert said(0, 1) == pytest.approx(-np.log(h[0]), rel=1e-5)
    assert said(4.9, 0) == pytest.approx(-np.log(1 - h[0]), rel=1e-5)  # left before the middle of the second
    assert said(5.1, 0) == pytest.approx(-np.log(1 - h[0]) - np.log(1 - h[1]), rel=1e-5)
    assert said(99, 1) == pytest.approx(-np.log(1 - h).sum(), rel=1e-5)  # beyond all intervals: survived each
    risk = one.answer(z)[0, 0].item()
    assert risk == pytest.approx(1 - (1 - h[0]) * np.sqrt(1 - h[1]), rel=1e-5)  # half of the second interval


def test_discrete_hazards_that_minimise_the_loss_give_the_kaplan_meier_curve() -> None:
    rng = np.random.default_rng(5)
    target = np.stack([rng.integers(1, 13, 300), np.ones(300)], axis=1).astype(float)
    one = DiscreteTime((3.0, 8.0), 12)
    one.fit(target)
    one.edges.copy_(torch.arange(13.0))
    said = one.answer(least(one, target))[0].numpy()
    np.testing.assert_allclose(said, 1 - kaplan_meier(target, [3, 8]), atol=1e-4)


def test_cuts_that_fall_together_leave_an_interval_without_meaning() -> None:
    target = np.array([[2.0, 1.0]] * 8 + [[5.0, 1.0], [9.0, 0.0]])
    one = DiscreteTime((3.0, 8.0), 4)
    one.fit(target)
    assert one.edges.tolist() == [0, 2, 2, 2, 9]
    z = torch.tensor([[0.5, 30.0, -30.0, 0.1]], requires_grad=True)
    loss = one(z.expand(10, -1), torch.from_numpy(target).float())
    loss.sum().backward()
    assert z.grad is not None
    assert (z.grad[0, 1:3] == 0).all()
    assert (z.grad[0, [0, 3]] != 0).all()
    said = one.answer(z.detach())[0].tolist()
    left = expit(-0.5) * expit(-0.1) ** (1 / 7)
    assert said == pytest.approx([1 - left, 1 - expit(-0.5) * expit(-0.1) ** (6 / 7)], rel=1e-5)


def test_values_are_scaled_inside_and_answered_in_their_unit() -> None:
    target = np.array([[40.0], [60.0], [80.0]])
    one = Value(None)
    one.fit(target)
    deviation = np.sqrt(800 / 3)
    assert one.answer(torch.tensor([[0.0], [1.0]]))[:, 0].tolist() == pytest.approx([60, 60 + deviation])
    assert one(torch.tensor([[0.5]]), torch.tensor([[80.0]])).item() == pytest.approx(0.5 * (20 / deviation - 0.5) ** 2)
    huber = Value(1.0)
    huber.fit(target)
    far, near = torch.tensor([[5.0]]), torch.tensor([[0.9]])
    assert huber(far, torch.tensor([[60.0]])).item() == pytest.approx(5 - 0.5)
    assert huber(near, torch.tensor([[60.0]])).item() == pytest.approx(0.5 * 0.81)
    with pytest.raises(DataError, match="the 2 training studies have one and the same value"):
        one.fit(np.array([[5.0], [5.0]]))


MISFITS = [(name, task) for name, one in LOSSES.items() for task in TARGETS if task not in one.tasks]


@pytest.mark.parametrize(("name", "task"), MISFITS)
def test_a_loss_of_another_task_is_refused_with_those_that_fit(name: str, task: Task) -> None:
    with pytest.raises(ConfigError, match=f"the loss '{name}' is not for a {task} task: choose .*{SUITED[task].name}"):
        make_loss(LOSSES[name].model_validate({"name": name}), TARGETS[task])


def test_class_weights_that_could_not_act_are_refused() -> None:
    with pytest.raises(ConfigError, match="the loss 'cox' takes no class weights"):
        make_loss(None, TARGETS["survival"], "balanced")


@pytest.mark.parametrize("name", ["cox", "discrete_time"])
def test_a_horizon_beyond_all_follow_up_is_refused(name: str) -> None:
    one = make_loss(LOSSES[name].model_validate({"name": name}), TARGETS["survival"])
    with pytest.raises(DataError, match="the last is 8, but no training study was followed up longer than 7"):
        one.fit(np.array([[7.0, 1.0], [2.0, 0.0]]))
    with pytest.raises(DataError, match="none of the 2 training studies has the event"):
        one.fit(np.array([[9.0, 0.0], [2.0, 0.0]]))


def test_the_task_of_every_loss_has_one_that_suits_it() -> None:
    assert set(SUITED) == set(TARGETS)
    assert all(task in one.tasks for task, one in SUITED.items())
