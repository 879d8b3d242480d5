"""Ways to fine-tune: one contract for all, and what each of them claims."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Hospital
from test_attack import IMAGE_BOUND, SLOPES, Linear, linear_model, scans

from medmm.cohort.target import TargetSettings
from medmm.dataset.batches import stack
from medmm.dataset.decode import prepare_study
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError, Rejected
from medmm.fusion.base import pooled, present
from medmm.inputs.base import Fields
from medmm.losses import make_loss
from medmm.losses.base import Loss
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.training.attack import AttackSettings, attack
from medmm.training.learner import parameter_groups
from medmm.training.settings import TrainingSettings
from medmm.training.strategies import STRATEGIES
from medmm.training.strategies.adversarial import Adversarial
from medmm.training.strategies.agreement import distance, pseudo_target
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.training.strategies.domain_adversarial import DomainAdversarial, SiteBlind
from medmm.training.strategies.fixmatch import FixMatch
from medmm.training.strategies.gradual import Gradual
from medmm.training.strategies.group_dro import GroupDRO, Robust
from medmm.training.strategies.linear_probe import LinearProbe
from medmm.training.strategies.mean_teacher import MeanTeacher, Taught
from medmm.training.strategies.ogm_ge import Balanced, OgmGe
from medmm.training.strategies.pseudo_labels import NEVER_HIGH, NEVER_LOW, PseudoLabels, SelfTraining
from medmm.training.strategies.supervised import Supervised
from medmm.training.strategies.transfer import Transfer
from medmm.types import Batch, Study, Task, Tokens

THREE = {"column": "x", "classes": ["a", "b", "c"]}
TARGETS: dict[Task, dict[str, object]] = {
    "binary": {"column": "x", "positive": "a"},
    "multiclass": THREE,
    "multilabel": THREE,
    "ordinal": THREE,
    "regression": {"column": "x", "unit": "%"},
    "survival": {"time": "t", "event": "e", "unit": "days", "horizons": [2]},
}
CASES = [(name, task) for name in STRATEGIES for task in TARGETS if task in STRATEGIES.pick(name).tasks]
OPTIONS: dict[str, dict[str, object]] = {"domain_adversarial": {"column": "site"}, "group_dro": {"columns": ["site"]}}
SITES = ("A", "B", "C")
SITUATION = Situation(SITES, frozenset({"labs"}))


def model_of(hospital: Hospital, seed: int = 0, task: Task = "binary") -> DiagnosisModel:
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat", "modality_dropout": 0}})
    criterion = loss_of(task)
    criterion.fit(labels_of(task, torch.arange(12) % 3 > 0, torch.arange(12) % 2 > 0).double().numpy())
    return DiagnosisModel(settings, hospital.inputs, criterion)


def loss_of(task: Task) -> Loss:
    """Build the loss that suits a task, not yet fitted and without class weights."""
    target = TargetSettings.model_validate({"task": task, **TARGETS[task]})
    return make_loss(None, target, "none" if task in ("binary", "multiclass", "multilabel") else None)


def labels_of(task: Task, sick: torch.Tensor, odd: torch.Tensor) -> torch.Tensor:
    """Give targets (B, T) that follow from two facts (B,) about each study."""
    by_task = {
        "binary": [sick],
        "multiclass": [~sick, sick & odd, sick & ~odd],
        "multilabel": [sick, odd, sick | odd],
        "ordinal": [sick, sick & odd],
        "regression": [60 - 20 * sick.float() + 5 * odd.float()],
        "survival": [1 + 4 * (~sick).float() + odd.float(), sick | odd],
    }
    return torch.stack([values.float() for values in by_task[task]], 1)


def objective(name: str, model: DiagnosisModel, **options: object) -> Strategy:
    settings = STRATEGIES.pick(name).model_validate({"name": name, **OPTIONS.get(name, {}), **options})
    return settings.build(model, SITUATION)


def batch_of(hospital: Hospital, studies: Sequence[Study], task: Task = "binary", unlabelled: int = 0) -> Batch:
    """Give a batch with groups and a strong view; labels of other tasks follow from the diagnosis; the last have none."""
    batch = hospital.batch(studies)
    assert batch.target is not None
    target = labels_of(task, batch.target[:, 0] > 0, torch.arange(len(studies)) % 2 == 1)
    target[len(studies) - unlabelled :] = torch.nan
    group = torch.tensor([SITES.index(study.groups["site"]) if i else -1 for i, study in enumerate(studies)])
    rng = np.random.default_rng(0)
    found: dict[str, list[Fields | None]] = {name: [] for name in sorted(hospital.inputs)}
    for study in studies:
        prepared = prepare_study(study, hospital.inputs)
        assert not isinstance(prepared, Rejected)
        for name, fields in found.items():
            fields.append(dict(hospital.inputs[name].perturb(prepared[name], rng)) if name in prepared else None)
    view = {name: stack(fields) for name, fields in found.items()}
    return replace(batch, target=target, group=group, views=(view,))


@pytest.mark.parametrize(("name", "task"), CASES)
class TestStrategy:
    def test_its_loss_falls(self, name: str, task: Task, hospital: Hospital) -> None:
        model, batch = model_of(hospital, task=task), batch_of(hospital, hospital.studies[:12], task, unlabelled=4)
        one = objective(name, model).train()
        optimizer = torch.optim.AdamW((p for p in one.parameters() if p.requires_grad), 2e-3)
        labelled, losses = replace(batch, group=torch.zeros(len(batch.rows), dtype=torch.long)), []  # sites weigh alike
        one.begin_epoch(0)
        for _ in range(25):
            loss = one.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            one.end_step()
            one.eval()
            with torch.no_grad():
                losses.append(one.validation_loss(labelled).item())
            one.end_validation()
            one.train()
        one.finish()
        model.eval()
        assert np.mean(losses[-3:]) < 0.95 * losses[0]
        assert model.joint_loss(model(batch), batch).item() == pytest.approx(losses[-1], rel=1e-4)

    def test_an_input_that_no_study_has_gets_no_gradient(self, name: str, task: Task, hospital: Hospital) -> None:
        model = model_of(hospital, task=task)
        one = objective(name, model).train()
        batch = batch_of(hospital, [study for study in hospital.studies if "ct" not in study.evidence][:6], task)
        one.loss(batch).backward()
        assert all(p.grad is None or not p.grad.any() for p in model.encoders["ct"].parameters())
        assert any(p.grad is not None and p.grad.any() for p in model.encoders["history"].parameters())

    @pytest.mark.parametrize("filler", [float("nan"), 1e30])
    def test_the_filler_of_absent_inputs_changes_no_bit(self, name: str, task: Task, filler: float, hospital: Hospital) -> None:
        batch = batch_of(hospital, hospital.studies[:8], task, unlabelled=2)

        def filled(inputs: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, dict[str, torch.Tensor]]:
            return {
                name: {
                    field: values.clone().index_fill_(0, (~batch.present[name]).nonzero()[:, 0], filler)
                    if values.is_floating_point()
                    else values
                    for field, values in fields.items()
                }
                for name, fields in inputs.items()
            }

        def gradients(given: Batch) -> list[torch.Tensor | None]:
            one = objective(name, model_of(hospital, task=task)).train()
            torch.manual_seed(1)
            one.loss(given).backward()
            return [p.grad for p in one.parameters()]

        other = replace(batch, inputs=filled(batch.inputs), views=tuple(filled(view) for view in batch.views))
        assert any(not present.all() for present in batch.present.values())
        for known, changed in zip(gradients(batch), gradients(other), strict=True):
            assert (known is None) == (changed is None)
            assert known is None or changed is None or torch.equal(known, changed)

    def test_in_16_bits_the_same_weights_learn(self, name: str, task: Task, hospital: Hospital) -> None:
        batch = batch_of(hospital, hospital.studies[:8], task, unlabelled=2)

        def learned(dtype: torch.dtype, *, enabled: bool) -> tuple[float, set[str]]:
            one = objective(name, model_of(hospital, task=task)).train()
            one.begin_epoch(3)
            torch.manual_seed(1)
            for _ in range(2):
                with torch.autocast("cpu", dtype, enabled=enabled):
                    loss = one.loss(batch)
                loss.backward()
                one.end_step()
            one.eval()
            with torch.autocast("cpu", dtype, enabled=enabled), torch.no_grad():
                validation = one.validation_loss(batch)
            one.end_validation()
            assert loss.isfinite()
            grown = {field for field, p in one.named_parameters() if p.grad is not None and p.grad.any()}
            assert all(p.grad.isfinite().all() for p in one.parameters() if p.grad is not None)
            return validation.item(), grown

        exact, weights = learned(torch.bfloat16, enabled=False)
        for dtype in (torch.bfloat16, torch.float16):
            near, same = learned(dtype, enabled=True)
            assert near == pytest.approx(exact, rel=0.05)
            assert len(same ^ weights) < 0.15 * len(weights)  # a sure answer may be one in one format alone

    def test_a_batch_without_labels_gives_a_finite_loss(self, name: str, task: Task, hospital: Hospital) -> None:
        one = objective(name, model_of(hospital, task=task)).train()
        assert one.loss(batch_of(hospital, hospital.studies[:4], task, unlabelled=4)).isfinite()

    def test_all_that_it_remembers_stands_in_its_state(self, name: str, task: Task, hospital: Hospital) -> None:
        batch = batch_of(hospital, hospital.studies[:8], task, unlabelled=2)
        one, other = (objective(name, model_of(hospital, seed, task)).train() for seed in (0, 1))
        for _ in range(2):
            one.loss(batch).backward()
            one.end_step()
        other.load_state_dict(one.state_dict())
        said = []
        for each in (one, other):
            torch.manual_seed(2)
            each.begin_epoch(1)
            said.append(each.loss(batch).item())
        assert said[0] == said[1]


def certain(model: DiagnosisModel, name: str, logit: float) -> None:
    """Let the own head of an input say the same logit of every study."""
    head = model.auxiliary[name]
    with torch.no_grad():
        head.weight.zero_()  # type: ignore[union-attr, operator]
        head.bias.fill_(logit)  # type: ignore[union-attr, operator]


def of_positives(hospital: Hospital) -> Batch:
    whole = [s for s in hospital.studies if s.label == (1.0,) and {"chest", "labs", "history"} <= set(s.evidence)]
    return hospital.batch(whole[:6])


def test_the_encoder_of_an_input_that_is_ahead_keeps_less_of_its_gradient(hospital: Hospital) -> None:
    model, batch = model_of(hospital).eval(), of_positives(hospital)
    assert batch.target is not None
    for name, logit in (("chest", float(np.log(4))), ("labs", 0.0), ("history", 0.0)):
        certain(model, name, logit)
    rates = Balanced(model, OgmGe(strength=0.5)).rates(model.encode(batch), batch.target)
    # By hand: chest gives the truth 0.8, the others 0.5 each; its lead is 1.6, theirs 0.5 / 0.65.
    assert rates == pytest.approx({"chest": 1 - np.tanh(0.8), "ct": 1.0, "history": 1.0, "labs": 1.0})


def test_gradients_are_scaled_by_those_rates(hospital: Hospital) -> None:
    batch = of_positives(hospital)

    def gradients(one: StrategySettings) -> dict[str, torch.Tensor]:
        model = model_of(hospital).eval()
        for name, logit in (("chest", float(np.log(4))), ("labs", 0.0), ("history", 0.0)):
            certain(model, name, logit)
        one.build(model, Situation()).loss(batch).backward()
        return {name: next(model.encoders[name].parameters()).grad for name in ("chest", "labs")}  # type: ignore[misc]

    plain, slowed = gradients(Supervised()), gradients(OgmGe(noise=False))
    torch.testing.assert_close(slowed["chest"], plain["chest"] * (1 - np.tanh(0.8)), rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(slowed["labs"], plain["labs"])
    noisy = gradients(OgmGe())
    assert not torch.allclose(noisy["chest"], slowed["chest"])
    torch.testing.assert_close(noisy["labs"], plain["labs"])


def test_noise_has_the_size_of_the_gradient_and_none_falls_on_what_has_none(hospital: Hospital) -> None:
    from medmm.training.strategies.ogm_ge import _slow

    values = torch.zeros(2000, 4, requires_grad=True)
    weight = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 3.0, 3.0, 0.0])
    torch.manual_seed(0)
    (_slow(values, 0.25, True) * weight).sum().backward()
    assert values.grad is not None
    assert not values.grad[:, 3].any()
    noise = (values.grad - 0.25 * weight)[:, :3]
    assert noise.std().item() == pytest.approx(3.0, rel=0.05)


def test_a_study_with_one_input_alone_has_nobody_to_outrun(hospital: Hospital) -> None:
    model, batch = model_of(hospital).eval(), of_positives(hospital)
    assert batch.target is not None
    only = {
        name: one if name == "chest" else Tokens(one.values, torch.zeros_like(one.mask))
        for name, one in model.encode(batch).items()
    }
    assert set(Balanced(model, OgmGe()).rates(only, batch.target).values()) == {1.0}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "supervised"}, (0, 1, 0, (), None)),
        ({"name": "linear_probe"}, (0, 1, 0, (), Tuning(learn="none"))),
        ({"name": "gradual", "stage_epochs": 5}, (0, 1, 0, (), Tuning(learn="gradual", stage_epochs=5))),
        ({"name": "lora", "rank": 3, "alpha": 7}, (0, 1, 0, (), Tuning(learn="lora", rank=3, alpha=7))),
        ({"name": "transfer"}, (0, 1, 0, (), None)),
        ({"name": "ogm_ge"}, (0, 1, 0, (), None)),
        ({"name": "adversarial", "replays": 5}, (0, 1, 0, (), None)),
        ({"name": "adversarial", "method": "free", "replays": 5}, (0, 5, 0, (), None)),
        ({"name": "mean_teacher", "share": 2}, (1, 1, 2, (), None)),
        ({"name": "fixmatch", "share": 2}, (1, 1, 2, (), None)),
        ({"name": "pseudo_labels", "share": 2}, (0, 1, 2, (), None)),
        ({"name": "domain_adversarial", "column": "site", "share": 2}, (0, 1, 2, ("site",), None)),
        ({"name": "group_dro", "columns": ["sex", "site"]}, (0, 1, 0, ("sex", "site"), None)),
    ],
)
def test_what_a_strategy_asks_of_a_run(settings: dict[str, object], expected: tuple[object, ...]) -> None:
    one = STRATEGIES.pick(str(settings["name"])).model_validate(settings)
    assert (one.views, one.repeats, one.unlabelled, one.group_columns, one.tuning) == expected
    assert one.together == (one.name == "ogm_ge")


def logit_of(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def saying(probabilities: Sequence[float], labels: Sequence[float], seen: Sequence[float] | None = None) -> Batch:
    """Give studies of which a linear model says these probabilities, and others of their strong views; NaN for no label."""

    def image(said: Sequence[float]) -> torch.Tensor:
        pixels = torch.zeros(len(said), 1, 2, 2, dtype=torch.float64)
        pixels[:, 0, 0, 0] = torch.tensor([logit_of(p) for p in said], dtype=torch.float64) / float(SLOPES[0])
        return pixels.float()

    batch = scans(image(probabilities), torch.tensor(labels, dtype=torch.float32)[:, None])
    return replace(batch, views=({"scan": {"image": image(probabilities if seen is None else seen)}},))


def losses_of(said: Sequence[float], labels: Sequence[float]) -> list[float]:
    """Give the cross-entropy of each study by hand; 0 without a label."""
    pairs = zip(said, labels, strict=True)
    return [0.0 if np.isnan(label) else -float(np.log(p if label else 1 - p)) for p, label in pairs]


def test_validation_asks_for_the_loss_of_the_joint_head_alone(hospital: Hospital) -> None:
    model, batch = model_of(hospital).eval(), hospital.batch(hospital.studies[:8])
    one = objective("supervised", model)
    assert one.validation_loss(batch).item() == model.joint_loss(model(batch), batch).item()
    assert one.loss(batch).item() == model.loss(model(batch), batch).item() != one.validation_loss(batch).item()


def test_the_average_follows_the_weights_by_hand() -> None:
    model = linear_model()
    one = MeanTeacher(decay=0.2).build(model, Situation())
    slopes = model.encoders["scan"].slopes
    batch = saying([0.3, 0.6], [1, 0])
    with torch.no_grad():
        slopes.fill_(0.0)  # type: ignore[union-attr, operator]
        one.get_buffer("average_encoders/scan/slopes").fill_(1.0)
    # By hand: the average keeps 1/10, then 2/11, then no more than 0.2 of itself.
    known, expected = [0.0, 3.0, 5.0], []
    average = 1.0
    for value, kept in zip(known, (1 / 10, 2 / 11, 0.2), strict=True):
        average = kept * average + (1 - kept) * value
        expected.append(average)
    found = []
    for value in known:
        with torch.no_grad():
            slopes.fill_(value)  # type: ignore[union-attr, operator]
        one.end_step()
        found.append(float(one.get_buffer("average_encoders/scan/slopes")[2]))
    assert found == pytest.approx(expected)
    held = one.validation_loss(batch).item()
    assert held != pytest.approx(model.joint_loss(model(batch), batch).item())
    assert torch.equal(slopes, torch.full((4,), 5.0))  # type: ignore[arg-type]
    one.finish()
    torch.testing.assert_close(slopes, torch.full((4,), average))  # type: ignore[arg-type]
    assert model.joint_loss(model(batch), batch).item() == pytest.approx(held)


@pytest.mark.parametrize(("epoch", "rising"), [(0, np.exp(-5 * 0.75**2)), (1, np.exp(-5 * 0.5**2)), (3, 1.0), (9, 1.0)])
def test_the_loss_of_a_mean_teacher_by_hand(epoch: int, rising: float) -> None:
    model = linear_model()
    one = MeanTeacher(weight=3.0, ramp_epochs=4).build(model, Situation())
    batch = saying([0.8, 0.6, 0.9], [1, 0, np.nan], seen=[0.7, 0.5, 0.6])
    with torch.no_grad():
        one.get_buffer("average_encoders/scan/slopes").mul_(0.5)  # half the logit
    one.begin_epoch(epoch)
    half = [1 / (1 + np.exp(-logit_of(p) / 2)) for p in (0.8, 0.6, 0.9)]
    apart = np.mean([(strong - said) ** 2 for strong, said in zip((0.7, 0.5, 0.6), half, strict=True)])
    expected = sum(losses_of([0.8, 0.6], [1, 0])) / 2 + rising * 3 * apart
    loss = one.loss(batch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert one.get_buffer("average_encoders/scan/slopes").grad is None


class Normed(torch.nn.Module):
    """A linear network behind a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)
        self.linear = Linear("image", 8)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        tokens: Tokens = self.linear({"image": self.norm(fields["image"])})
        return tokens


def test_the_average_moves_no_running_statistics_and_no_weight() -> None:
    model = linear_model(network=Normed()).train()
    one = Taught(model, MeanTeacher())
    batch = saying([0.8, 0.6, 0.3], [1, 0, 1])
    before = {name: values.clone() for name, values in one.state_dict().items()}
    with torch.no_grad():
        one.teacher(batch)
    after = one.state_dict()
    assert all(torch.equal(after[name], values) for name, values in before.items())
    one.loss(batch)
    assert int(model.encoders["scan"].norm.num_batches_tracked) == 2  # type: ignore[union-attr, arg-type]


def test_the_distance_of_answers_by_hand_and_whom_it_moves() -> None:
    model = linear_model(task="multilabel", classes=2)
    one, other = (torch.tensor(values, requires_grad=True) for values in ([[0.0, 2.0]], [[1.0, 0.0]]))
    apart = distance(model, one, other)
    said = 1 / (1 + np.exp(-np.array([0.0, 2.0, 1.0, 0.0])))
    assert apart.tolist() == pytest.approx([((said[0] - said[2]) ** 2 + (said[1] - said[3]) ** 2) / 2])
    apart.sum().backward()
    assert one.grad is not None
    assert other.grad is None


@pytest.mark.parametrize(
    ("task", "said", "low", "high", "expected"),
    [
        ("binary", [[0.9], [0.899], [0.1], [0.101]], [0.1], [0.9], [[1], [None], [0], [None]]),
        ("multilabel", [[0.95, 0.05], [0.95, 0.5], [0.8, 0.3]], [0.1, 0.3], [0.9, 0.7], [[1, 0], [None, None], [None, None]]),
        # The most likely class counts, against its own threshold alone.
        (
            "multiclass",
            [[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6], [0.1, 0.31, 0.59]],
            [0.4, 0.4, 0.4],
            [0.5, 0.65, 0.6],
            [[1, 0, 0], [None] * 3, [0, 0, 1], [None] * 3],
        ),
    ],
)
def test_own_answers_become_labels_by_hand(
    task: Task, said: list[list[float]], low: list[float], high: list[float], expected: list[list[float | None]]
) -> None:
    model = linear_model(task=task, classes=len(low))
    found = pseudo_target(model, torch.tensor(said), torch.tensor(low), torch.tensor(high))
    known = [[None if np.isnan(one) else one for one in row] for row in found.tolist()]
    assert known == expected


def test_fixmatch_weighs_sure_studies_only_by_hand() -> None:
    said, seen = [0.95, 0.5, 0.04, 0.85, 0.91], [0.7, 0.9, 0.3, 0.2, 0.8]
    batch = saying(said, [1, 0, np.nan, np.nan, np.nan], seen)
    model = linear_model()
    one = FixMatch(weight=2.0, sure=0.9).build(model, Situation())
    # By hand: studies 0 and 4 are surely sick, 2 surely not, the others weigh nothing; their views are held against that.
    matched = sum(losses_of([0.7, 0.3, 0.8], [1, 0, 1])) / 5
    loss = one.loss(batch)
    assert loss.item() == pytest.approx(sum(losses_of([0.95, 0.5], [1, 0])) / 2 + 2 * matched, rel=1e-5)
    (whole,) = torch.autograd.grad(loss, [model.encoders["scan"].slopes])  # type: ignore[list-item]
    target = torch.tensor([[1.0], [torch.nan], [0.0], [torch.nan], [1.0]])
    by_hand = model.loss(model(batch), batch) + 2 * model.study_losses(model(batch.seen(0)).logits, target).mean()
    torch.testing.assert_close(whole, torch.autograd.grad(by_hand, [model.encoders["scan"].slopes])[0])  # type: ignore[list-item]


SAID = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.45, 0.3, 0.2, 0.1]
TRUE = [1, 1, 0, 1, 1, 1, 1, 0, 0, 0]


def thresholds(said: Sequence[float], true: Sequence[float], **settings: object) -> tuple[SelfTraining, float, float]:
    """Show validation studies, in two batches, to a way that learns from its own answers."""
    one = PseudoLabels.model_validate(settings).build(linear_model(), Situation())
    for part in (slice(0, 4), slice(4, None)):
        with torch.no_grad():
            loss = one.validation_loss(saying(said[part], true[part]))
        assert loss.item() == pytest.approx(np.mean(losses_of(said[part], true[part])), rel=1e-5)
    one.end_validation()
    return one, one.high.item(), one.low.item()


@pytest.mark.parametrize(
    ("settings", "high", "low"),
    [
        # By hand, from the top: 1/1, 2/2, 2/3, 3/4, 4/5, 5/6 are right; from the bottom 1/1, 2/2, 3/3, 3/4.
        ({"precision": 0.8, "fewest": 3}, 0.6, 0.3),
        ({"precision": 0.9, "fewest": 3}, NEVER_HIGH, 0.3),
        ({"precision": 0.9, "fewest": 2}, 0.9, 0.3),
        ({"precision": 0.75, "fewest": 4}, 0.6, 0.45),
        ({"precision": 0.8, "fewest": 4}, 0.6, NEVER_LOW),
        ({"precision": 1.0, "fewest": 1}, 0.9, 0.3),
    ],
)
def test_thresholds_by_hand_on_ten_validation_studies(settings: dict[str, object], high: float, low: float) -> None:
    _, found, below = thresholds(SAID, TRUE, **settings)
    assert (found, below) == pytest.approx((high, low), abs=1e-6)


def test_studies_of_one_answer_count_together() -> None:
    said = [0.9, 0.8, 0.8, 0.8, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1]
    _, high, low = thresholds(said, [1, 1, 1, 0, 1, 1, 0, 0, 0, 0], precision=0.8, fewest=1)
    # By hand: at 0.8 three of four are right, whatever their order; at 0.2 four of six.
    assert (high, low) == pytest.approx((0.9, 0.1))


def test_a_rare_class_is_not_denied_of_all() -> None:
    said = [0.8, 0.7, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05]
    one, high, low = thresholds(said, [1, *[0] * 9], precision=0.9, fewest=5)
    # To deny the class of all ten would be right in nine; but of those of whom it is said, no more than one half is denied.
    assert (high, low) == pytest.approx((NEVER_HIGH, 0.4))
    assert one.model.task == "binary"
    target = pseudo_target(one.model, torch.tensor([[0.7], [0.39]]), one.low, one.high)
    assert target.isnan().tolist() == [[True], [False]]


def test_a_frequent_class_is_not_said_of_all() -> None:
    said = [0.2, 0.3, *[0.6 + 0.03 * i for i in range(8)]]
    _, high, low = thresholds(said, [0, *[1] * 9], precision=0.9, fewest=2)
    assert (high, low) == pytest.approx((0.6, NEVER_LOW), abs=1e-6)


def test_thresholds_of_several_classes_are_of_those_said_to_be_of_each() -> None:
    model = linear_model(task="multiclass", classes=3)
    one = PseudoLabels(precision=0.75, fewest=2).build(model, Situation())
    said = torch.tensor(
        [[8, 1, 1], [7, 2, 1], [6, 3, 1], [5, 4, 1], [1, 8, 1], [2, 7, 1], [3, 6, 1], [1, 1, 8], [2, 1, 7], [1, 3, 6]]
    ).float()
    truth = torch.eye(3)[[0, 0, 1, 0, 1, 0, 0, 2, 2, 2]]
    one._seen = [(said / 10, truth)]
    one.end_validation()
    # By hand: of class 0 are right 1/1, 2/2, 2/3, 3/4; of class 1 1/1, 1/2, 1/3; of class 2 all.
    assert one.high.tolist() == pytest.approx([0.5, NEVER_HIGH, 0.6])
    one.end_validation()  # nothing was seen since
    assert one.high.tolist() == pytest.approx([0.5, NEVER_HIGH, 0.6])


def test_the_next_epoch_forgets_the_answers_of_the_last() -> None:
    one, *_ = thresholds(SAID, TRUE, precision=0.8, fewest=3)
    with torch.no_grad():
        one.validation_loss(saying([0.9, 0.8, 0.7], [0, 0, 0]))
    one.end_validation()
    assert (one.high.item(), one.low.item()) == (NEVER_HIGH, NEVER_LOW)


def test_own_answers_teach_of_unlabelled_studies_alone_by_hand() -> None:
    one = PseudoLabels(weight=0.5).build(linear_model(), Situation())
    batch = saying([0.9, 0.3, 0.95, 0.5, 0.1], [0, 0, np.nan, np.nan, np.nan])
    labelled = sum(losses_of([0.9, 0.3], [0, 0])) / 2
    assert one.loss(batch).item() == pytest.approx(labelled, rel=1e-5)  # no threshold yet
    one.high.fill_(0.9)
    one.low.fill_(0.2)
    own = sum(losses_of([0.95, 0.1], [1, 0])) / 3
    assert one.loss(batch).item() == pytest.approx(labelled + 0.5 * own, rel=1e-5)
    all_labelled = saying([0.95, 0.1], [1, 0])
    assert one.loss(all_labelled).item() == pytest.approx(sum(losses_of([0.95, 0.1], [1, 0])) / 2, rel=1e-5)


@pytest.mark.parametrize(("epoch", "progress"), [(0, 0.0), (2, 0.5), (4, 1.0), (9, 1.0)])
def test_the_reversed_gradient_rises_as_in_the_paper(epoch: int, progress: float, hospital: Hospital) -> None:
    one = SiteBlind(model_of(hospital), DomainAdversarial(column="site", weight=3.0, ramp_epochs=4), 3)
    one.begin_epoch(epoch)
    assert one._rising == pytest.approx(3 * (2 / (1 + np.exp(-10 * progress)) - 1))


def test_the_network_learns_against_whoever_guesses_the_site_and_that_one_with_it(hospital: Hospital) -> None:
    batch = batch_of(hospital, hospital.studies[:10], unlabelled=3)
    assert batch.group is not None
    assert batch.target is not None
    has_site, known = batch.group >= 0, batch.labelled
    assert not has_site.all()

    def built() -> SiteBlind:
        one = SiteBlind(model_of(hospital), DomainAdversarial(column="site"), len(SITES))
        torch.manual_seed(5)
        for weight in one.guess.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        return one.eval()

    def gradients(one: SiteBlind, loss: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        loss.backward()  # type: ignore[no-untyped-call]
        parts = (one.model.encoders["labs"], one.guess)
        first, second = ([p.grad for p in part.parameters() if p.grad is not None] for part in parts)
        return first, second

    def by_rising(rising: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        one = built()
        one._rising = rising
        return gradients(one, one.loss(batch))

    one = built()
    tokens = one.model.encode(batch)
    told = torch.cat([torch.where(known[:, None], batch.target, 0.0), known[:, None].float()], 1)
    parts = {"joint": (one.model.fuse(tokens).fused.joint, torch.ones(10, dtype=torch.bool))}
    parts |= {f"of_{name}": (pooled(tokens[name]), present(tokens[name])) for name in tokens}
    guessed = torch.zeros(())
    for name, (values, has) in parts.items():
        if (asked := has & has_site).any():
            said = one.guess[name](torch.cat([values, told], 1)[asked])
            guessed = guessed + torch.nn.functional.cross_entropy(said, batch.group[asked]) / len(parts)
    assert (one.loss(batch) - one.model.loss(one.model(batch), batch)).item() == pytest.approx(guessed.item(), rel=1e-4)
    of_site, of_guess = gradients(one, guessed)
    (plain, guess), (once, _), (twice, again) = (by_rising(rising) for rising in (0.0, 1.0, 2.0))
    for site, zero, one_fold, two_fold in zip(of_site, plain, once, twice, strict=True):
        torch.testing.assert_close(one_fold - zero, -site, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(two_fold - zero, -2 * site, rtol=1e-3, atol=1e-6)
    for expected, first, second in zip(of_guess, guess, again, strict=True):
        torch.testing.assert_close(first, expected)
        torch.testing.assert_close(second, expected)


def test_studies_of_no_site_are_not_asked_for_it(hospital: Hospital) -> None:
    one = SiteBlind(model_of(hospital), DomainAdversarial(column="site"), 3).eval()
    batch = batch_of(hospital, hospital.studies[:6])
    batch = replace(batch, group=torch.full((6,), -1))
    assert one.loss(batch).item() == one.model.loss(one.model(batch), batch).item()


def grouped(batch: Batch, groups: Sequence[int]) -> Batch:
    return replace(batch, group=torch.tensor(groups))


def test_the_weights_of_groups_after_two_steps_by_hand() -> None:
    one = GroupDRO(columns=("site",), by_class=False, step=0.5).build(linear_model(), Situation(("A", "B")))
    first = grouped(saying([0.8, 0.6, 0.3, 0.4], [1, 0, 1, 1]), [0, 0, 1, -1])
    none, a, b = (np.mean(losses_of(*pair)) for pair in (([0.4], [1]), ([0.8, 0.6], [1, 0]), ([0.3], [1])))
    weight = np.exp(0.5 * np.array([none, a, b])) / 3
    weight /= weight.sum()
    assert one.loss(first).item() == pytest.approx(weight @ [none, a, b], rel=1e-5)
    np.testing.assert_allclose(one.weight, weight, rtol=1e-5)
    # The second batch holds nobody of no group: that group's weight is as it was, and the others' are scaled to each other.
    second = grouped(saying([0.9, 0.2], [0, 0]), [1, 0])
    a, b = (np.mean(losses_of(*pair)) for pair in (([0.2], [0]), ([0.9], [0])))
    weight *= np.exp(0.5 * np.array([0.0, a, b]))
    weight /= weight.sum()
    assert one.loss(second).item() == pytest.approx((weight[1] * a + weight[2] * b) / (weight[1] + weight[2]), rel=1e-5)
    np.testing.assert_allclose(one.weight, weight, rtol=1e-5)


def test_the_gradient_of_a_group_is_weighed_and_its_weight_has_none() -> None:
    model = linear_model()
    one = Robust(model, GroupDRO(columns=("site",), by_class=False, step=1.0), 2)
    batch = grouped(saying([0.8, 0.3], [1, 1]), [0, 1])
    slopes = model.encoders["scan"].slopes
    (found,) = torch.autograd.grad(one.loss(batch), [slopes])  # type: ignore[list-item]
    losses = model.study_losses(model(batch).logits, torch.ones(2, 1))
    share = one.weight[1:] / one.weight[1:].sum()
    (expected,) = torch.autograd.grad((share * losses).sum(), [slopes])  # type: ignore[list-item]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("by_class", [True, False])
def test_studies_without_a_label_are_of_no_group(by_class: bool) -> None:
    ones = [GroupDRO(columns=("site",), by_class=by_class).build(linear_model(), Situation(SITES)) for _ in range(2)]
    plain = grouped(saying([0.8, 0.3], [1, 0]), [0, 1])
    more = grouped(saying([0.8, 0.3, 0.9, 0.1, 0.7], [1, 0, np.nan, np.nan, np.nan]), [0, 1, 0, 2, -1])
    assert ones[0].loss(plain).item() == pytest.approx(ones[1].loss(more).item(), rel=1e-6)
    torch.testing.assert_close(ones[0].weight, ones[1].weight)


@pytest.mark.parametrize(
    ("task", "targets", "classes"),
    [
        ("binary", [[1.0], [0.0]], [1, 0]),
        ("multiclass", [[1.0, 0, 0], [0, 0, 1.0]], [1, 3]),
        ("multilabel", [[0, 1.0, 1.0], [0, 0, 0]], [2, 0]),
    ],
)
def test_groups_are_divided_by_class(task: Task, targets: list[list[float]], classes: list[int]) -> None:
    count = len(targets[0])
    one = GroupDRO(columns=("site",), step=1.0).build(linear_model(task=task, classes=count), Situation(("A", "B")))
    batch = replace(saying([0.8, 0.3], [0, 0]), target=torch.tensor(targets), group=torch.tensor([1, -1]))
    one.loss(batch)
    assert isinstance(one, Robust)
    raised = (one.weight > one.weight.min() * 1.01).nonzero()[:, 0].tolist()
    # Cells of no group come first, then those of A, then of B; in each no class, then class by class.
    assert raised == sorted([2 * (count + 1) + classes[0], classes[1]])


def test_what_is_not_the_joint_loss_stays_beside_the_weighed_one(hospital: Hospital) -> None:
    model = model_of(hospital).eval()
    one = Robust(model, GroupDRO(columns=("site",), by_class=False), 1)
    batch = grouped(hospital.batch(hospital.studies[:8]), [0] * 8)
    assert one.loss(batch).item() == pytest.approx(model.loss(model(batch), batch).item(), rel=1e-5)


def test_the_pull_towards_the_start_by_hand() -> None:
    model = linear_model()
    one = Transfer(pull=0.3).build(model, Situation(taken=frozenset({"scan"})))
    batch = saying([0.8, 0.3], [1, 0])
    slopes, head = model.encoders["scan"].slopes, model.auxiliary["scan"]
    assert one.loss(batch).item() == model.loss(model(batch), batch).item()
    moved = torch.tensor([1.0, -2.0, 0.0, 0.5])
    with torch.no_grad():
        slopes += moved  # type: ignore[operator, assignment]
        head.bias += 7.0  # type: ignore[union-attr, operator]
    plain = model.loss(model(batch), batch)
    loss = one.loss(batch)
    # By hand: half of 0.3 times 1 + 4 + 0.25; the head came from nowhere.
    assert (loss - plain).item() == pytest.approx(0.15 * 5.25, rel=1e-4)
    weights = [slopes]
    (pulled,), (free,) = (torch.autograd.grad(one_loss, weights) for one_loss in (loss, plain))  # type: ignore[arg-type]
    torch.testing.assert_close(pulled - free, 0.3 * moved, rtol=1e-4, atol=1e-6)


def test_an_encoder_that_comes_from_nowhere_is_not_pulled(hospital: Hospital) -> None:
    model, batch = model_of(hospital).eval(), hospital.batch(hospital.studies[:6])
    one = Transfer(pull=1.0).build(model, Situation(taken=frozenset({"labs"})))
    with torch.no_grad():
        next(model.encoders["chest"].parameters()).add_(1.0)
    assert one.loss(batch).item() == model.loss(model(batch), batch).item()
    with torch.no_grad():
        next(model.encoders["labs"].parameters()).add_(1.0)
    assert one.loss(batch).item() > model.loss(model(batch), batch).item() + 0.1


def test_a_transfer_from_nowhere_is_refused(hospital: Hospital) -> None:
    with pytest.raises(ConfigError, match=r"training\.init"):
        Transfer().build(model_of(hospital), Situation())


def step_of(one: Strategy, batch: Batch) -> None:
    """Do what the loop does in a step, from the start of an epoch on."""
    groups = parameter_groups(one, TrainingSettings())
    optimizer = torch.optim.AdamW(groups, 1e-2)
    loss = one.loss(batch)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    one.end_step()


def state_of(model: DiagnosisModel, name: str) -> dict[str, torch.Tensor]:
    return {field: values.clone() for field, values in model.encoders[name].state_dict().items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(values, other[name]) for name, values in one.items())


def test_a_probe_leaves_taken_encoders_bit_for_bit_without_dropout_and_the_others_learn(hospital: Hospital) -> None:
    model, batch = model_of(hospital), hospital.batch(hospital.studies[:10])
    one = LinearProbe().build(model, Situation(taken=frozenset({"chest", "labs"}))).train()
    before = {name: state_of(model, name) for name in ("chest", "labs", "history")}
    for epoch in range(2):
        one.begin_epoch(epoch)
        step_of(one.train(), batch)
        assert not any(part.training for name in ("chest", "labs") for part in model.encoders[name].modules())
        assert all(part.training for part in model.encoders["history"].modules())
    assert same(before["chest"], state_of(model, "chest"))
    assert same(before["labs"], state_of(model, "labs"))
    assert not same(before["history"], state_of(model, "history"))
    assert torch.equal(model.encode(batch)["labs"].values, model.encode(batch)["labs"].values)


def test_taken_encoders_wait_bit_for_bit_until_their_epoch(hospital: Hospital) -> None:
    model, batch = model_of(hospital), hospital.batch(hospital.studies[:10])
    one = Gradual(stage_epochs=2).build(model, Situation(taken=frozenset({"chest"}))).train()
    before = {name: state_of(model, name) for name in ("chest", "labs")}
    for epoch in range(2):
        one.begin_epoch(epoch)
        step_of(one, batch)
        assert same(before["chest"], state_of(model, "chest"))
        assert not same(before["labs"], state_of(model, "labs"))
    one.begin_epoch(2)
    step_of(one, batch)
    after = state_of(model, "chest")
    assert all(not torch.equal(values, after[name]) for name, values in before["chest"].items() if "weight" in name)


def test_the_optimiser_knows_those_that_wait(hospital: Hospital) -> None:
    model = model_of(hospital)
    one = Gradual().build(model, Situation(taken=frozenset({"chest"})))
    known = {weight for group in parameter_groups(one, TrainingSettings()) for weight in group["params"]}
    assert set(model.encoders["chest"].parameters()) <= known


def test_the_loss_of_adversarial_training_by_hand() -> None:
    image = torch.full((2, 1, 2, 2), 0.5)
    batch = scans(image, torch.tensor([[1.0], [0.0]]))
    model = linear_model()
    far, logit = float(IMAGE_BOUND * SLOPES.abs().sum()), float(0.5 * SLOPES.sum())
    clean, robust = (np.mean([np.log1p(np.exp(-(logit - by))), np.log1p(np.exp(logit + by))]) for by in (0.0, far))
    settings = {"name": "adversarial", "method": "pgd", "attack": {"image": IMAGE_BOUND}}
    for weight, expected in ((0.25, 0.75 * clean + 0.25 * robust), (1.0, robust), (0.0, clean)):
        one = Adversarial.model_validate({**settings, "weight": weight}).build(model, Situation())
        torch.manual_seed(0)
        assert one.loss(batch).item() == pytest.approx(expected, rel=1e-5)
    assert clean < robust


@pytest.mark.parametrize(("method", "steps"), [("fgsm", 1), ("pgd", 7)])
def test_what_adversarial_training_searches_for(
    method: str, steps: int, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[str], int, bool]] = []

    def watched(
        model: DiagnosisModel, batch: Batch, inputs: Sequence[str], settings: AttackSettings, *, random: bool
    ) -> object:
        asked.append((list(inputs), settings.steps, random))
        return attack(model, batch, inputs, settings, random=random)

    monkeypatch.setattr("medmm.training.strategies.adversarial.attack", watched)
    batch = hospital.batch(hospital.studies[:8])
    given = {"name": "adversarial", "method": method, "attack": {"steps": 7}}
    for inputs, expected in (((), ["chest", "history", "labs"]), (("chest", "ct"), ["chest"])):
        one = Adversarial.model_validate({**given, "inputs": inputs}).build(model_of(hospital), Situation()).train()
        one.loss(batch).backward()  # type: ignore[no-untyped-call]
        one.end_step()
        assert all(part.training for part in one.modules())
        assert asked.pop() == (expected, steps, True)


def test_free_adversarial_training_moves_its_change_with_each_step_and_forgets_it_with_the_batch() -> None:
    model = linear_model()
    one = Adversarial(method="free", attack=AttackSettings(image=IMAGE_BOUND)).build(model, Situation())
    batch = scans(torch.full((1, 1, 2, 2), 0.5), torch.tensor([[0.0]]))
    logit = float(0.5 * SLOPES.sum())
    clean, moved = (np.log1p(np.exp(logit + by)) for by in (0.0, float(IMAGE_BOUND * SLOPES.abs().sum())))

    def step(given: Batch) -> float:
        loss = one.loss(given)
        loss.backward()  # type: ignore[no-untyped-call]
        one.end_step()
        return loss.item()

    one.begin_epoch(0)
    assert [step(batch), step(batch), step(batch)] == pytest.approx([clean, moved, moved], rel=1e-5)
    other = replace(batch, rows=batch.rows + 1)
    assert [step(other), step(other)] == pytest.approx([clean, moved], rel=1e-5)
    one.begin_epoch(1)  # a resumed run comes here without the change of the last batch
    assert step(other) == pytest.approx(clean, rel=1e-5)


@pytest.mark.parametrize("name", ["mean_teacher", "fixmatch", "pseudo_labels"])
def test_the_answer_that_is_learned_from_is_that_of_scoring(
    name: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat", "modality_dropout": 0.9}})
    model = DiagnosisModel(settings, hospital.inputs, CrossEntropy("binary", [3.0]))
    one, batch = objective(name, model).train(), batch_of(hospital, hospital.studies[:8], unlabelled=6)
    answers: list[torch.Tensor] = []
    if name == "mean_teacher":

        def heard(_model: DiagnosisModel, logits: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            answers.append(model.said(other))
            return logits.mean(1)

        monkeypatch.setattr("medmm.training.strategies.mean_teacher.distance", heard)
    else:

        def told(_model: DiagnosisModel, said: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            answers.append(said)
            return torch.full_like(said, torch.nan)

        monkeypatch.setattr(f"medmm.training.strategies.{name}.pseudo_target", told)
    one.loss(batch)
    assert model.training
    model.eval()
    torch.testing.assert_close(answers[0], model.said(model(batch).logits))


def test_the_epoch_is_chosen_with_each_site_alike(hospital: Hospital) -> None:
    model = model_of(hospital).eval()
    one = objective("domain_adversarial", model).eval()
    batch = batch_of(hospital, hospital.studies[:9], unlabelled=2)
    assert batch.target is not None
    group = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2, 1])  # the last two have no label, so site 2 has none
    losses = model.study_losses(model(batch).logits, batch.target)
    expected = (losses[:6].mean() + losses[6]) / 2
    torch.testing.assert_close(one.validation_loss(replace(batch, group=group)), expected)
