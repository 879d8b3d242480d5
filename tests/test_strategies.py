"""Ways to fine-tune: one contract for all, and what each of them claims."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Hospital

from medmm.dataset.batches import stack
from medmm.dataset.decode import prepare_study
from medmm.errors import Rejected
from medmm.inputs.base import Fields
from medmm.model import DiagnosisModel, ModelSettings
from medmm.training.strategies import STRATEGIES
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.training.strategies.ogm_ge import Balanced, OgmGe
from medmm.training.strategies.supervised import Supervised
from medmm.types import Batch, Study, Task, Tokens

TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel")
CLASSES: dict[Task, int] = {"binary": 1, "multiclass": 3, "multilabel": 3}
OPTIONS: dict[str, dict[str, object]] = {"domain_adversarial": {"column": "site"}, "group_dro": {"columns": ["site"]}}
SITES = ("A", "B", "C")
SITUATION = Situation(SITES, frozenset({"labs"}))


def model_of(hospital: Hospital, seed: int = 0, task: Task = "binary") -> DiagnosisModel:
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat", "modality_dropout": 0}})
    return DiagnosisModel(settings, hospital.inputs, task, [1.0] * CLASSES[task])


def objective(name: str, model: DiagnosisModel, **options: object) -> Strategy:
    settings = STRATEGIES.pick(name).model_validate({"name": name, **OPTIONS.get(name, {}), **options})
    return settings.build(model, SITUATION)


def batch_of(hospital: Hospital, studies: Sequence[Study], task: Task = "binary", unlabelled: int = 0) -> Batch:
    """Give a batch with groups and a strong view; labels of other tasks follow from the diagnosis; the last have none."""
    batch = hospital.batch(studies)
    assert batch.target is not None
    sick, odd = batch.target[:, 0] > 0, torch.arange(len(studies)) % 2 == 1
    by_task = {
        "binary": sick[:, None],
        "multiclass": torch.stack([~sick, sick & odd, sick & ~odd], 1),
        "multilabel": torch.stack([sick, odd, sick | odd], 1),
    }
    target = by_task[task].float()
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


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", STRATEGIES)
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
        assert np.mean(losses[-3:]) < 0.9 * losses[0]
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


@pytest.mark.parametrize("name", ["mean_teacher", "fixmatch", "pseudo_labels"])
def test_the_answer_that_is_learned_from_is_that_of_scoring(
    name: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat", "modality_dropout": 0.9}})
    model = DiagnosisModel(settings, hospital.inputs, "binary", [3.0])
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
