"""Ways to fine-tune: one contract for all, and what each of them claims."""

import numpy as np
import pytest
import torch
from conftest import Hospital

from medmm.model import DiagnosisModel, ModelSettings
from medmm.training.strategies import STRATEGIES
from medmm.training.strategies.base import Situation, StrategySettings
from medmm.training.strategies.ogm_ge import Balanced, OgmGe
from medmm.training.strategies.supervised import Supervised
from medmm.types import Batch, Tokens


def model_of(hospital: Hospital, seed: int = 0) -> DiagnosisModel:
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({"width": 16, "fusion": {"name": "concat", "modality_dropout": 0}})
    return DiagnosisModel(settings, hospital.inputs, "binary", [1.0])


def strategy(name: str) -> StrategySettings:
    return STRATEGIES.pick(name).model_validate({"name": name})


@pytest.mark.parametrize("name", STRATEGIES)
class TestStrategy:
    def test_its_loss_falls(self, name: str, hospital: Hospital) -> None:
        model, batch = model_of(hospital).train(), hospital.batch(hospital.studies[:12])
        optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
        losses = []
        for _ in range(25):
            loss = strategy(name).build(model, Situation()).loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert np.mean(losses[-3:]) < 0.8 * losses[0]

    def test_an_input_that_no_study_has_gets_no_gradient(self, name: str, hospital: Hospital) -> None:
        model = model_of(hospital).train()
        batch = hospital.batch([study for study in hospital.studies if "ct" not in study.evidence][:6])
        strategy(name).build(model, Situation()).loss(batch).backward()
        assert all(p.grad is None or not p.grad.any() for p in model.encoders["ct"].parameters())
        assert any(p.grad is not None and p.grad.any() for p in model.encoders["labs"].parameters())


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
