"""What each fusion method claims, against values by hand or by a second method.

That each keeps the contract of a fusion is tested in test_contracts.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from medmm.encoders.attention import filled
from medmm.errors import ConfigError, DataError
from medmm.fusion import FUSIONS
from medmm.fusion.base import Fused, Fusion, Given, mean_of_present, pooled, present
from medmm.fusion.bottleneck import Bottleneck
from medmm.fusion.cross_attention import CrossAttention
from medmm.fusion.crossing import Crossing
from medmm.fusion.disentangled import Disentangled, overlap, unlikeness
from medmm.fusion.evidential import Evidential, Opinion, combine, logits
from medmm.fusion.film import Film
from medmm.fusion.gated import Gated
from medmm.fusion.iterative import Iterative
from medmm.fusion.joining import Join
from medmm.fusion.late import Late
from medmm.fusion.low_rank import LowRank
from medmm.fusion.mixture import Mixture, imbalance
from medmm.fusion.product_of_experts import ProductOfExperts, divergence
from medmm.fusion.shared_latent import SharedLatent
from medmm.fusion.squeeze_excite import SqueezeExcite
from medmm.losses.cross_entropy import CrossEntropy
from medmm.types import Array, Task, Tokens

WIDTH = 8
ABC = ("a", "b", "c")
A_AND_B = [1, 1, 0]
A, B, C = [1, 0, 0], [0, 1, 0], [0, 0, 1]
ALL = [1, 1, 1]


def fusion(name: str, inputs: Sequence[str] = ABC, seed: int = 0, **settings: object) -> Fusion:
    """Build a fusion in evaluation mode."""
    torch.manual_seed(seed)
    return FUSIONS.pick(name).model_validate({"name": name, **settings}).build(WIDTH, inputs).eval()


def given(has: Sequence[Sequence[int]], seed: int = 0, own: Sequence[Sequence[Sequence[float]]] | None = None) -> Given:
    """Make two tokens of each input that a study has; studies of one seed differ in nothing but what they lack."""
    there = torch.tensor(has, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    tokens = []
    for i in range(there.shape[1]):
        values = torch.randn(1, 2, WIDTH, generator=generator).expand(len(there), -1, -1)
        tokens.append(filled(Tokens(values, there[:, [i]].expand(-1, 2))))
    logits = torch.zeros(*there.shape, 1) if own is None else torch.where(there[..., None], torch.tensor(own), 0.0)
    return Given(tuple(tokens), there, torch.stack([pooled(one) for one in tokens], dim=1), logits)


def with_changed(one: Given, name: str) -> Given:
    """Give the same studies with other tokens of one input, where they have it."""
    i = ABC.index(name)
    tokens = list(one.tokens)
    tokens[i] = filled(Tokens(tokens[i].values.flip(2) * 2, tokens[i].mask))
    return Given(tuple(tokens), one.has, torch.stack([pooled(each) for each in tokens], dim=1), one.own)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_study_that_lacks_every_input_is_no_nan(name: str) -> None:
    network = fusion(name).train()
    one = given([[0, 0, 0], ALL])
    one.own.requires_grad_()
    said = network.fuse(one)
    assert said.joint.isfinite().all()
    assert said.logits is None or said.logits.isfinite().all()
    (said.joint if said.logits is None else said.logits).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_run_may_have_one_input(name: str) -> None:
    said = fusion(name, ["a"]).fuse(given([[1], [1]]))
    assert said.joint.isfinite().all()
    assert said.conflict is None or not said.conflict.any()


def test_only_late_fusion_learns_apart() -> None:
    assert [name for name, settings in FUSIONS.items() if settings.apart] == ["late"]


def test_the_mean_of_present_inputs_counts_these_only() -> None:
    values = torch.tensor([[[1.0], [3.0], [50.0]]]).expand(2, -1, -1)
    made = mean_of_present(values, torch.tensor([[True, True, False], [False, False, False]]))
    assert made.flatten().tolist() == [2.0, 0.0]


def test_joined_inputs_are_a_mean_over_those_present() -> None:
    join = Join(2, 3)
    nn.init.eye_(join.mix.get_parameter("1.weight"))
    nn.init.zeros_(join.mix.get_parameter("1.bias"))
    for i in range(3):
        nn.init.eye_(join.get_parameter(f"project.{i}.weight"))
        nn.init.constant_(join.get_parameter(f"project.{i}.bias"), float(i))
    made = join(torch.ones(1, 3, 2), torch.tensor([[False, True, True]]))
    # Maps of their own make 1 + 1 and 1 + 2 of the two that are there.
    torch.testing.assert_close(made, functional.gelu(torch.tensor([[2.5, 2.5]])))


class TestLate:
    def late(self, temperature: Sequence[float], weight: Sequence[float], combine: str = "stacked") -> Late:
        network = fusion("late", combine=combine)
        assert isinstance(network, Late)
        network.temperature.copy_(torch.tensor(temperature))
        network.weight.copy_(torch.tensor(weight))
        return network

    def said(self, network: Late, has: Sequence[int], own: Sequence[Sequence[float]] = ((2.0,), (8.0,), (-4.0,))) -> float:
        logits = network.fuse(given([has], own=[own])).logits
        assert logits is not None
        return logits.item()

    @pytest.mark.parametrize(
        ("has", "expected"),
        [
            # By hand, from 2 / 1, 8 / 2 and -4 / 4, with weights 0.5, 0.4 and 0.3.
            (ALL, 0.5 * 2 + 0.4 * 4 - 0.3 * 1),
            # They add up to 1.2; two of the three are brought to 1.1, halfway to the 1 of an input that stands alone.
            (A_AND_B, (0.5 * 2 + 0.4 * 4) * 1.1 / 0.9),
            (C, -1 * 1.0),
        ],
    )
    def test_stacked_logits_scale_the_weights_of_the_present_inputs(self, has: Sequence[int], expected: float) -> None:
        assert self.said(self.late((1, 2, 4), (0.5, 0.4, 0.3)), has) == pytest.approx(expected)

    def test_inputs_without_any_weight_count_alike_when_alone(self) -> None:
        network = self.late((1, 2, 4), (1, 0, 0))
        assert self.said(network, [0, 1, 1]) == pytest.approx((4 - 1) / 2)
        assert self.said(self.late((1, 2, 4), (0, 0, 0)), ALL) == pytest.approx((2 + 4 - 1) / 3)

    def test_the_mean_ignores_weights_and_absent_inputs(self) -> None:
        network = self.late((1, 2, 4), (1, 0, 0), combine="mean")
        assert self.said(network, A_AND_B) == pytest.approx((2 + 4) / 2)
        assert self.said(network, ALL) == pytest.approx((2 + 4 - 1) / 3)

    @pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
    def test_temperatures_are_recovered(self, task: Task) -> None:
        rng = np.random.default_rng(0)
        classes = 1 if task == "binary" else 3
        truth = rng.normal(scale=2, size=(4000, classes))
        if task == "multiclass":
            target = np.eye(3)[(truth + rng.gumbel(size=truth.shape)).argmax(1)]
        else:
            target = (truth + rng.logistic(size=truth.shape) > 0).astype(float)
        network = self.late((1, 1, 1), (1, 1, 1))
        own = np.stack([truth * 3, truth * 0.5, rng.normal(size=truth.shape)], axis=1)
        network.calibrate(own, np.ones((4000, 3), bool), target, CrossEntropy(task, [1.0] * classes))
        assert network.temperature[:2].tolist() == pytest.approx([3, 0.5], rel=0.1)
        assert network.temperature[2] > 8  # noise is worth nothing

    def independent(self, count: int) -> tuple[Array, Array, Array]:
        """Two inputs that err apart from each other: their log odds add up, so each has weight 1. A third says nothing."""
        rng = np.random.default_rng(1)
        target = rng.integers(0, 2, (count, 1)).astype(float)
        odds = 2 * (2 * target - 1 + rng.normal(size=(count, 2)))  # of a normal of variance 1 about 1 or -1
        own = np.stack([odds[:, :1] * 2, odds[:, 1:], np.zeros((count, 1))], axis=1)
        return own, np.tile([True, True, False], (count, 1)), target

    def test_weights_of_independent_inputs_are_recovered(self) -> None:
        network = self.late((1, 1, 1), (0, 0, 0))
        network.calibrate(*self.independent(6000), CrossEntropy("binary", [1.0]))
        # The third is absent throughout, so the two hold the whole sum: 1 each.
        for own in ([[2.0], [0.0], [0.0]], [[0.0], [1.0], [0.0]]):
            assert self.said(network, A_AND_B, own) == pytest.approx(1.0, abs=0.1)

    def test_two_inputs_that_say_the_same_share_one_weight(self) -> None:
        own, has, target = self.independent(2000)
        own, has = own[:, [0, 0]], has[:, [0, 0]]
        network = fusion("late", ["a", "b"])
        assert isinstance(network, Late)
        network.calibrate(own, has, target, CrossEntropy("binary", [1.0]))
        assert network.weight.tolist() == pytest.approx([0.5, 0.5], abs=0.03)

    def test_an_input_that_misleads_loses_its_weight_and_no_weight_is_negative(self) -> None:
        own, has, target = self.independent(2000)
        network = fusion("late", ["a", "b"])
        assert isinstance(network, Late)
        network.calibrate(np.stack([own[:, 0], -own[:, 1]], axis=1), has[:, :2], target, CrossEntropy("binary", [1.0]))
        assert network.weight[1] == 0
        assert network.weight[0] == pytest.approx(1, abs=0.1)

    def test_few_validation_studies_leave_the_weights_near_the_mean(self) -> None:
        own, has, target = self.independent(6000)
        network = fusion("late", ["a", "b"])
        assert isinstance(network, Late)
        weights = []
        for count in (19, 25, 6000):
            network.calibrate(own[:count, :2], has[:count, :2], target[:count], CrossEntropy("binary", [1.0]))
            weights.append(network.weight.tolist())
        assert weights[0] == [0.5, 0.5]
        assert weights[1] != [0.5, 0.5]
        assert weights[1] == pytest.approx([0.5, 0.5], abs=0.2)
        assert weights[2] == pytest.approx([1, 1], abs=0.1)

    def test_studies_with_one_input_fit_no_weights(self) -> None:
        own, has, target = self.independent(200)
        has[19:, 1] = False
        network = self.late((1, 1, 1), (0, 0, 0))
        network.calibrate(own, has, target, CrossEntropy("binary", [1.0]))
        assert network.weight.tolist() == pytest.approx([1 / 3] * 3)
        assert network.temperature[0] != 1

    def test_a_temperature_that_cannot_be_fitted_stays_one(self) -> None:
        own, has, target = self.independent(200)
        has[9:, 0] = False
        has[target[:, 0] == 1, 1] = False
        network = self.late((5, 5, 5), (1, 1, 1))
        network.calibrate(own, has, target, CrossEntropy("binary", [1.0]))
        assert network.temperature.tolist() == [1, 1, 1]

    def test_an_absent_input_does_not_reach_what_is_fitted(self) -> None:
        own, has, target = self.independent(200)
        has[::3, 1] = False
        fitted = []
        for filler in (0.0, np.nan, 1e30):
            network = self.late((1, 1, 1), (1, 1, 1))
            network.calibrate(np.where(has[..., None], own, filler), has, target, CrossEntropy("binary", [1.0]))
            fitted.append([*network.temperature.tolist(), *network.weight.tolist()])
        assert fitted[0] == fitted[1] == fitted[2]
        with pytest.raises(DataError, match="the model diverged"):
            network.calibrate(np.full_like(own, np.nan), has, target, CrossEntropy("binary", [1.0]))


class TestGated:
    def test_a_study_weighs_its_inputs_by_what_they_show(self) -> None:
        network = fusion("gated")
        assert isinstance(network, Gated)
        one = given([ALL, A_AND_B, B])
        gates = network.gates(one).detach()
        assert torch.equal(gates > 0, one.has)
        torch.testing.assert_close(gates.sum(1), torch.ones(3))
        assert (gates[0] != network.gates(with_changed(one, "a"))[0]).all()
        # Scores are one input's own, so leaving out c leaves the ratio of a to b.
        assert float(gates[0, 0] / gates[0, 1]) == pytest.approx(float(gates[1, 0] / gates[1, 1]), rel=1e-5)

    def test_z_is_the_gated_sum_of_features(self) -> None:
        network = fusion("gated")
        assert isinstance(network, Gated)
        one = given([A_AND_B])
        scores = [network.score[i](one.pooled[0, i]).exp() for i in (0, 1)]
        features = [network.feature[i].get_submodule("0")(one.pooled[0, i]).tanh() for i in (0, 1)]
        by_hand = (scores[0] * features[0] + scores[1] * features[1]) / (scores[0] + scores[1])
        torch.testing.assert_close(network.fuse(one).joint[0], by_hand)


class TestSqueezeExcite:
    def test_one_input_opens_the_channels_of_another_only_where_it_is_there(self) -> None:
        network = fusion("squeeze_excite")
        assert isinstance(network, SqueezeExcite)
        one = given([ALL, [1, 0, 1]])
        first, then = network.excitation(one), network.excitation(with_changed(one, "b"))
        assert ((first > 0) & (first < 2)).all()
        assert (first[0, 0] != then[0, 0]).any()
        assert torch.equal(first[1], then[1])
        assert (first[0, 0] != first[1, 0]).any()

    @pytest.mark.parametrize(("bias", "factor"), [(0.0, 1.0), (50.0, 2.0), (-50.0, 0.0)])
    def test_every_channel_is_multiplied_by_its_factor(self, bias: float, factor: float) -> None:
        network = fusion("squeeze_excite")
        assert isinstance(network, SqueezeExcite)
        nn.init.zeros_(network.excite.weight)
        nn.init.constant_(network.excite.bias, bias)
        one = given([ALL, A_AND_B])
        torch.testing.assert_close(network.fuse(one).joint, network.join(factor * one.pooled, one.has))


class TestFilm:
    def test_without_conditions_nothing_is_scaled_or_shifted(self) -> None:
        network = fusion("film")
        assert isinstance(network, Film)
        scale, shift = network.modulation(given([A, ALL]))
        assert (scale[0, 0] == 1).all()
        assert (shift[0, 0] == 0).all()
        assert (scale[1] != 1).all()
        assert (shift[1] != 0).all()

    def test_each_input_is_changed_by_the_mean_of_the_others(self) -> None:
        network = fusion("film")
        assert isinstance(network, Film)
        one = given([ALL, A_AND_B])
        scale, shift = network.modulation(one)
        said = [network.condition[i](one.pooled[0, i]) for i in range(3)]
        for row, i, mean in ((0, 0, (said[1] + said[2]) / 2), (0, 2, (said[0] + said[1]) / 2), (1, 0, said[1])):
            change = network.modulate[i](mean)
            torch.testing.assert_close(scale[row, i], 1 + change[:WIDTH])
            torch.testing.assert_close(shift[row, i], change[WIDTH:])

    def test_conditions_change_the_others_and_nothing_changes_them(self) -> None:
        network = fusion("film", conditions=["c"])
        assert isinstance(network, Film)
        one = given([ALL, A_AND_B])
        scale, _ = network.modulation(one)
        assert (scale[0, :2] != 1).all()
        assert (scale[0, 2] == 1).all()
        assert (scale[1] == 1).all()
        assert torch.equal(scale, network.modulation(with_changed(one, "a"))[0])
        assert not torch.equal(scale, network.modulation(with_changed(one, "c"))[0])

    def test_every_token_is_scaled_and_shifted_before_the_mean(self) -> None:
        network = fusion("film", ["a", "b"], conditions=["b"])
        assert isinstance(network, Film)
        one = given([[1, 1]])
        scale, shift = network.modulation(one)
        tokens = one.tokens[0].values[0]
        image = torch.stack([functional.gelu(scale[0, 0] * network.feature[0](t) + shift[0, 0]) for t in tokens]).mean(0)
        table = torch.stack([functional.gelu(network.feature[1](t)) for t in one.tokens[1].values[0]]).mean(0)
        expected = network.join(torch.stack([image, table])[None], one.has)
        torch.testing.assert_close(network.fuse(one).joint, expected)

    def test_conditions_alone_reach_z(self) -> None:
        network = fusion("film", conditions=["c"])
        one = given([C])
        assert not torch.equal(network.fuse(one).joint, network.fuse(with_changed(one, "c")).joint)

    def test_conditions_must_be_inputs_and_leave_some(self) -> None:
        with pytest.raises(ConfigError, match=r"no input is called 'lab': did you mean 'labs'\?"):
            fusion("film", ["chest", "labs"], conditions=["lab"])
        with pytest.raises(ConfigError, match="known are chest, labs"):
            fusion("film", ["labs", "chest"], conditions=["xyz"])
        with pytest.raises(ConfigError, match="leave one out"):
            fusion("film", ["chest", "labs"], conditions=["labs", "chest"])


class TestLowRank:
    def test_it_equals_the_whole_tensor(self) -> None:
        network = fusion("low_rank", rank=3)
        assert isinstance(network, LowRank)
        one = given([ALL])
        x, y, z = functional.pad(one.pooled[0], (0, 1), value=1.0)
        tensor = torch.einsum("i,j,k->ijk", x, y, z)  # (D + 1, D + 1, D + 1)
        weight = torch.einsum("r,rid,rjd,rkd->ijkd", network.term, *network.factor)
        torch.testing.assert_close(network.fuse(one).joint[0], torch.einsum("ijk,ijkd->d", tensor, weight))

    def test_an_absent_input_is_the_factor_one(self) -> None:
        network = fusion("low_rank", rank=3)
        smaller = fusion("low_rank", ["a", "b"], rank=3)
        assert isinstance(network, LowRank)
        assert isinstance(smaller, LowRank)
        smaller.factor.data, smaller.term.data = network.factor.data[:2], network.term.data
        expected = smaller.fuse(given([[1, 1]])).joint
        torch.testing.assert_close(network.fuse(given([A_AND_B])).joint, expected)


def penalties(network: Fusion, has: Sequence[Sequence[int]], steps: int = 60) -> tuple[float, float]:
    """Give the penalty before and after some training steps on it alone."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    found = []
    for _ in range(steps):
        penalty = network.fuse(given(has)).penalty
        assert penalty is not None
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        found.append(penalty.item())
    return found[0], found[-1]


@pytest.mark.parametrize("name", ["shared_latent", "disentangled", "product_of_experts"])
def test_a_penalty_falls_in_training(name: str) -> None:
    first, last = penalties(fusion(name), [ALL, A_AND_B, [0, 1, 1]])
    assert last < 0.5 * first


class TestSharedLatent:
    def test_the_penalty_is_the_squared_error_of_the_present_inputs(self) -> None:
        network = fusion("shared_latent", reconstruction_weight=0.7)
        assert isinstance(network, SharedLatent)
        one = given([ALL, B])
        said = network.fuse(one)
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1)]
        errors = [(network.rebuild[i](said.joint[row]) - one.pooled[row, i]).square().mean() for row, i in pairs]
        torch.testing.assert_close(said.penalty, 0.7 * torch.stack(errors).mean())

    def test_the_encoders_are_not_drawn_to_what_is_easily_rebuilt(self) -> None:
        network = fusion("shared_latent")
        assert isinstance(network, SharedLatent)
        for rebuild in network.rebuild:
            for parameter in rebuild.parameters():
                nn.init.zeros_(parameter)  # Z plays no part now, so only the target could carry a gradient
        one = given([ALL])
        one.pooled.requires_grad_()
        penalty = network.fuse(one).penalty
        assert penalty is not None
        penalty.backward()
        assert one.pooled.grad is None or not one.pooled.grad.any()


class TestCrossAttention:
    def test_an_input_reaches_z_through_another_only_where_both_are_there(self) -> None:
        network = fusion("cross_attention")
        assert isinstance(network, CrossAttention)
        for parameter in network.join.project[1].parameters():
            nn.init.zeros_(parameter)  # b has no way of its own any more
        one = given([A_AND_B, B, [0, 1, 1], A])
        changed = (network.fuse(one).joint - network.fuse(with_changed(one, "b")).joint).abs().amax(1) > 1e-6
        assert changed.tolist() == [True, False, True, False]

    def test_a_lone_input_reads_nothing_not_even_itself(self) -> None:
        network = fusion("cross_attention", layers=2)
        assert isinstance(network, CrossAttention)
        one = given([A])
        stream = one.tokens[0].values + network.input_type[0]
        for depth in range(2):
            stream = network.read[3 * depth](stream, Tokens(stream[:, :0], one.tokens[0].mask[:, :0]))
        expected = network.join(torch.cat([stream.mean(1), torch.zeros(2, WIDTH)])[None], one.has)
        torch.testing.assert_close(network.fuse(one).joint, expected)

    def test_over_nothing_attention_finds_nothing(self) -> None:
        torch.manual_seed(0)
        crossing = Crossing(WIDTH, 2, 0.0)
        values, context = torch.randn(1, 3, WIDTH), torch.randn(1, 4, WIDTH)
        nothing = crossing(values, Tokens(context, torch.zeros(1, 4, dtype=torch.bool)))
        plain = values + crossing.attention.out_proj.bias
        torch.testing.assert_close(nothing, plain + crossing.feed(plain))
        assert not torch.allclose(nothing, crossing(values, Tokens(context, torch.ones(1, 4, dtype=torch.bool))), atol=1e-4)


class TestBottleneck:
    def network(self, layers: int) -> Bottleneck:
        network = fusion("bottleneck", layers=layers)
        assert isinstance(network, Bottleneck)
        network.norm = nn.Identity()  # type: ignore[assignment] # so that Z is the plain mean of the latent tokens
        return network

    def test_in_one_layer_the_latents_are_the_mean_of_what_the_present_inputs_write(self) -> None:
        both, a, b = self.network(1).fuse(given([A_AND_B, A, B])).joint
        torch.testing.assert_close(both, (a + b) / 2)

    def test_from_the_second_layer_on_an_input_reads_what_another_wrote(self) -> None:
        both, a, b = self.network(2).fuse(given([A_AND_B, A, B])).joint
        assert not torch.allclose(both, (a + b) / 2, atol=1e-3)

    def test_tokens_of_an_input_meet_another_only_through_the_latents(self) -> None:
        network = self.network(1)
        seen = []
        network.blocks[0].register_forward_hook(lambda _module, args, _out: seen.append(args[0].shape[1]))
        network.fuse(given([ALL]))
        assert seen == [4 + 2] * 3  # latents and one input's two tokens, three times


class TestIterative:
    def by_hand(self, network: Iterative, one: Given, names: Sequence[str], rounds: int) -> torch.Tensor:
        memory = network.memory
        for _ in range(rounds):
            for name in names:
                i = ABC.index(name)
                memory = network.read[i](memory, one.tokens[i])
            memory = network.within(memory)
        return memory.mean(1)

    @pytest.mark.parametrize(("has", "names"), [(ALL, "abc"), ([1, 0, 1], "ac"), (B, "b")])
    def test_present_inputs_are_read_in_turn_and_absent_ones_skipped(self, has: Sequence[int], names: str) -> None:
        network = fusion("iterative", rounds=3)
        assert isinstance(network, Iterative)
        one = given([has])
        torch.testing.assert_close(network.fuse(one).joint, self.by_hand(network, one, names, 3), atol=1e-5, rtol=1e-5)

    def test_rounds_share_their_weights(self) -> None:
        once, often = (sum(p.numel() for p in fusion("iterative", rounds=n).parameters()) for n in (1, 5))
        assert once == often

    def test_what_one_input_left_in_memory_changes_how_the_next_is_read(self) -> None:
        network = fusion("iterative", rounds=1)
        assert isinstance(network, Iterative)
        one = given([A_AND_B])
        assert not torch.allclose(self.by_hand(network, one, "ab", 1), self.by_hand(network, one, "ba", 1), atol=1e-4)


class TestDisentangled:
    def test_unlikeness_by_hand(self) -> None:
        x, y = [1.0, 0.0], [0.0, 3.0]
        shared = torch.tensor([[x, [2.0, 0.0], y], [x, y, y], [x, [2.0, 0.0], y], [y, x, x]])
        has = torch.tensor([ALL, [0, 1, 1], A_AND_B, A], dtype=torch.bool)
        # Pairs of study 0: alike, apart, apart: (0 + 1 + 1) / 3. Studies 1 and 2 hold one pair, alike; study 3 none.
        assert float(unlikeness(shared, has)) == pytest.approx((2 / 3) / 4, abs=1e-5)

    def test_overlap_by_hand(self) -> None:
        shared = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [1.0, 0.0]]]).expand(2, -1, -1)
        specific = torch.tensor([[[0.0, 5.0], [1.0, 1.0], [-4.0, 0.0]]]).expand(2, -1, -1)
        has = torch.tensor([ALL, A_AND_B], dtype=torch.bool)
        # Squared cosines 0, 1/2 and 1.
        assert float(overlap(shared, specific, has)) == pytest.approx((1.5 / 3 + 0.5 / 2) / 2, abs=1e-5)

    def test_a_zero_vector_has_a_finite_gradient(self) -> None:
        values = torch.zeros(1, 3, 4, requires_grad=True)
        has = torch.ones(1, 3, dtype=torch.bool)
        (unlikeness(values, has) + overlap(values, values, has)).backward()
        assert values.grad is not None
        assert values.grad.isfinite().all()

    def test_the_weights_scale_the_two_penalties(self) -> None:
        def penalty(similarity: float, apart: float) -> float:
            said = fusion("disentangled", similarity_weight=similarity, overlap_weight=apart).fuse(given([ALL, B]))
            assert said.penalty is not None
            return said.penalty.item()

        assert penalty(0, 0) == 0
        assert penalty(1, 0) > 0
        assert penalty(2, 3) == pytest.approx(2 * penalty(1, 0) + 3 * penalty(0, 1), rel=1e-5)

    def test_all_inputs_share_one_projection(self) -> None:
        network = fusion("disentangled")
        assert isinstance(network, Disentangled)
        one = given([ALL])
        swapped = Given(one.tokens, one.has, one.pooled.flip(1), one.own)
        assert not torch.allclose(network.fuse(one).joint, network.fuse(swapped).joint, atol=1e-3)
        for parameter in network.specific.parameters():
            nn.init.zeros_(parameter)
        torch.testing.assert_close(network.fuse(one).joint, network.fuse(swapped).joint)
        assert not torch.allclose(network.fuse(one).joint, network.fuse(with_changed(one, "a")).joint, atol=1e-3)


class TestMixture:
    def seen(self, one: Given) -> torch.Tensor:
        return torch.cat([one.pooled.flatten(1), one.has], dim=1)

    @pytest.mark.parametrize("chosen", [1, 2, 3])
    def test_so_many_experts_see_a_study(self, chosen: int) -> None:
        network = fusion("mixture", experts=5, chosen=chosen)
        assert isinstance(network, Mixture)
        one = given([ALL, A_AND_B, A, B, C])
        weight, _ = network.route(self.seen(one))
        assert ((weight > 0).sum(1) == chosen).all()
        torch.testing.assert_close(weight.sum(1), torch.ones(5))
        before = network.fuse(one).joint
        nn.init.constant_(network.get_parameter("experts.0.2.bias"), 9.0)
        changed = (network.fuse(one).joint != before).any(1)
        assert torch.equal(changed, weight[:, 0] > 0)

    def test_the_chosen_are_those_with_the_highest_scores(self) -> None:
        network = fusion("mixture", experts=4, chosen=2)
        assert isinstance(network, Mixture)
        last = network.gate[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor([0.0, 2.0, -1.0, 1.0])
        weight, likely = network.route(self.seen(given([ALL])))
        share = np.exp(2) / (np.exp(2) + np.exp(1))
        assert weight[0].tolist() == pytest.approx([0, share, 0, 1 - share])
        assert likely[0, 2] > 0

    def test_the_gate_tells_an_absent_input_from_one_that_shows_zero(self) -> None:
        network = fusion("mixture")
        assert isinstance(network, Mixture)
        one = given([ALL])
        zero = Given(one.tokens, one.has, one.pooled * torch.tensor([1.0, 1.0, 0.0])[:, None], one.own)
        absent = given([A_AND_B])
        assert torch.equal(zero.pooled, absent.pooled)
        assert not torch.equal(network.route(self.seen(zero))[1], network.route(self.seen(absent))[1])
        assert not torch.equal(network.fuse(zero).joint, network.fuse(absent).joint)

    def test_imbalance_by_hand(self) -> None:
        one_takes_all = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(6, -1)
        even = torch.eye(4)
        assert float(imbalance(one_takes_all, one_takes_all)) == pytest.approx(4)
        assert float(imbalance(even, even)) == pytest.approx(1)
        # Shares 3/4, 1/4 and likelihoods 0.8, 0.2: 2 * (0.6 + 0.05).
        taken = torch.eye(2)[[0, 0, 1, 0]]
        assert float(imbalance(taken, torch.tensor([[0.8, 0.2]]).expand(4, -1))) == pytest.approx(1.3)

    def test_more_chosen_than_there_are_is_refused(self) -> None:
        with pytest.raises(ValueError, match="chosen 3 exceeds experts 2"):
            fusion("mixture", experts=2, chosen=3)


class TestProductOfExperts:
    def test_z_is_the_mean_of_the_product_of_gaussians(self) -> None:
        network = fusion("product_of_experts")
        assert isinstance(network, ProductOfExperts)
        one = given([ALL, [1, 0, 1], B])
        means, precisions = network.opinions(one)
        joint = network.fuse(one).joint
        for row in range(3):
            mean, variance = torch.zeros(WIDTH), torch.ones(WIDTH)
            for i in one.has[row].nonzero().flatten():  # one at a time, by the rule for two Gaussians
                other, spread = means[row, i], 1 / precisions[row, i]
                mean, variance = (
                    (mean * spread + other * variance) / (variance + spread),
                    variance * spread / (variance + spread),
                )
            torch.testing.assert_close(joint[row], mean)

    def test_z_is_drawn_in_training_only(self) -> None:
        network = fusion("product_of_experts")
        assert isinstance(network, ProductOfExperts)
        one = given([A_AND_B])
        assert torch.equal(network.fuse(one).joint, network.fuse(one).joint)
        mean, precision = network.fuse(one).joint[0], 1 + network.opinions(one)[1].sum(1)[0]
        network.train()
        draws = network.fuse(given([A_AND_B] * 20000)).joint
        torch.testing.assert_close(draws.mean(0), mean, atol=0.03, rtol=0)
        torch.testing.assert_close(draws.var(0), 1 / precision, atol=0.03, rtol=0)

    def test_the_divergence_is_that_of_torch(self) -> None:
        mean, precision = torch.tensor([0.0, 1.5, -2.0]), torch.tensor([1.0, 4.0, 1.3])
        normal = torch.distributions.Normal
        expected = torch.distributions.kl_divergence(normal(mean, precision.rsqrt()), normal(0.0, 1.0))
        torch.testing.assert_close(divergence(mean, precision), expected)

    def test_the_penalty_is_beta_times_the_divergence_a_channel(self) -> None:
        network = fusion("product_of_experts", beta=0.5)
        assert isinstance(network, ProductOfExperts)
        one = given([ALL, B])
        precision = 1 + network.opinions(one)[1].sum(1)
        expected = 0.5 * divergence(network.fuse(one).joint, precision).sum() / (2 * WIDTH)
        torch.testing.assert_close(network.fuse(one).penalty, expected)


SURE, TORN = 40.0, 0.0
"""Own logits of an input whose evidence all points one way, and of one whose evidence speaks for both answers alike."""


class TestEvidential:
    def fused(self, has: Sequence[Sequence[int]], own: Sequence[Sequence[Sequence[float]]]) -> Fused:
        """Let each present input rest on evidence of 2, so that it believes 1/2 and does not know 1/2."""
        network = fusion("evidential")
        assert isinstance(network, Evidential)
        for layer in network.amount:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, float(np.log(np.exp(2) - 1)))
        return network.fuse(given(has, own=own))

    def test_dempsters_rule_by_hand(self) -> None:
        half, none = torch.tensor([[0.5]]), torch.tensor([[0.0]])
        yes, no = Opinion(half, none, half), Opinion(none, half, half)
        both, conflict = combine(yes, yes)
        # Belief 0.25 + 0.25 + 0.25, uncertainty 0.25, nothing contradicts.
        assert [float(both.belief), float(both.disbelief), float(both.uncertainty)] == [0.75, 0, 0.25]
        assert float(conflict) == 0
        torn, conflict = combine(yes, no)
        # 0.25 for, 0.25 against, 0.25 unknown, scaled to 1; 0.25 contradicts.
        assert [float(torn.belief), float(torn.disbelief), float(torn.uncertainty)] == pytest.approx([1 / 3] * 3)
        assert float(conflict) == 0.25

    def test_the_rule_equals_the_sum_over_all_pairs_of_sets(self) -> None:
        rng = np.random.default_rng(0)
        sets = (frozenset("y"), frozenset("n"), frozenset("yn"))
        for one, other in rng.dirichlet((1, 1, 1), (20, 2)):
            mass = dict.fromkeys((*sets, frozenset()), 0.0)
            for s, m in zip(sets, one, strict=True):
                for t, n in zip(sets, other, strict=True):
                    mass[s & t] += m * n
            empty = mass.pop(frozenset())
            made, conflict = combine(*(Opinion(*torch.tensor(each)[:, None, None]) for each in (one, other)))
            assert float(conflict) == pytest.approx(empty)
            expected = [mass[s] / (1 - empty) for s in sets]
            assert [float(made.belief), float(made.disbelief), float(made.uncertainty)] == pytest.approx(expected)

    def test_an_opinion_without_knowledge_changes_nothing(self) -> None:
        known = Opinion(torch.tensor([[0.5]]), torch.tensor([[0.125]]), torch.tensor([[0.375]]))
        nothing = Opinion(torch.tensor([[0.0]]), torch.tensor([[0.0]]), torch.tensor([[1.0]]))
        for pair in ((known, nothing), (nothing, known)):
            made, conflict = combine(*pair)
            assert (made.belief, made.disbelief, made.uncertainty) == (known.belief, known.disbelief, known.uncertainty)
            assert float(conflict) == 0

    def test_logits_and_conflict_by_hand(self) -> None:
        yes, no = [SURE], [-SURE]
        said = self.fused([A, A_AND_B, A_AND_B, [0, 1, 1], ALL], [[yes, [0.0], [0.0]], *[[yes, yes, no], [yes, no, yes]] * 2])
        assert said.logits is not None
        assert said.conflict is not None
        # Alone: 1/2 believed, half of 1/2 unknown: 3/4 against 1/4. Two that agree: 3/4 + 1/8 against 1/8.
        assert said.logits[:3, 0].tolist() == pytest.approx([np.log(3), np.log(7), 0], abs=1e-5)
        assert said.conflict[:4].tolist() == pytest.approx([0, 0, 0.25, 0.25], abs=1e-5)
        # Yes, no, yes: 1/4 of a and b; then c believes 1/2 against their 1/3: 1 - 3/4 * 5/6.
        assert said.conflict[4].item() == pytest.approx(1 - 3 / 4 * 5 / 6, abs=1e-5)

    def test_conflict_is_that_of_the_class_most_in_dispute(self) -> None:
        said = self.fused([A_AND_B], [[[SURE, SURE, TORN], [SURE, -SURE, TORN], [0.0, 0.0, 0.0]]])
        assert said.conflict is not None
        assert said.conflict.item() == pytest.approx(0.25, abs=1e-5)

    def test_more_evidence_of_one_kind_is_surer(self) -> None:
        said = self.fused([A, A_AND_B, ALL], [[[SURE]] * 3] * 3)
        assert said.logits is not None
        first, second, third = said.logits[:, 0].tolist()
        assert first < second < third

    def test_the_tokens_of_an_input_say_how_much_it_counts(self) -> None:
        network = fusion("evidential")
        one = given([A_AND_B], own=[[[2.0], [-2.0], [0.0]]])
        other = with_changed(one, "a")
        said, then = network.fuse(one).logits, network.fuse(other).logits
        assert said is not None
        assert then is not None
        assert not torch.equal(said, then)

    def test_a_certain_opinion_stays_finite(self) -> None:
        one, nothing = torch.ones(1, 1), torch.zeros(1, 1)
        assert 10 < logits(Opinion(one, nothing, nothing)).item() < 100
        assert -100 < logits(Opinion(nothing, one, nothing)).item() < -10


class Diagnosis(nn.Module):
    """The smallest model around a fusion: a linear map makes the tokens of each input, and a linear head decides."""

    def __init__(self, name: str, inputs: Sequence[str], raw: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.fusion = fusion(name, inputs)
        self.make = nn.ModuleList(nn.Linear(raw, 2 * WIDTH) for _ in inputs)
        self.own = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in inputs)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, raw: torch.Tensor, has: torch.Tensor) -> Fused:
        tokens, own = {}, {}
        for i, name in enumerate(self.inputs):
            values = self.make[i](raw[:, i]).unflatten(1, (2, WIDTH))
            tokens[name] = Tokens(values, has[:, [i]].expand(-1, 2))
            own[name] = self.own[i](pooled(filled(tokens[name])))
        said: Fused = self.fusion(tokens, own)
        return said

    def logits(self, said: Fused) -> torch.Tensor:
        logits: torch.Tensor = self.head(said.joint) if said.logits is None else said.logits
        return logits[:, 0]


def complementary(studies: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Make (S, 3, 4) raw inputs, the diagnosis being the sign of one number in the first plus one in the second; (S,)."""
    raw = torch.randn(studies, 3, 4, generator=generator)
    return raw, (raw[:, 0, 0] + raw[:, 1, 0] > 0).float()


@pytest.mark.parametrize("name", FUSIONS)
def test_two_inputs_that_complete_each_other_beat_the_better_one(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    network = Diagnosis(name, ABC, 4).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        raw, target = complementary(64, generator)
        said = network(raw, torch.rand(64, 3, generator=generator) > 0.1)
        loss = functional.binary_cross_entropy_with_logits(network.logits(said), target)
        optimizer.zero_grad()
        (loss if said.penalty is None else loss + said.penalty).backward()
        optimizer.step()
    raw, target = complementary(2000, generator)
    with torch.no_grad():
        score = network.eval().logits(network(raw, torch.ones(2000, 3, dtype=torch.bool)))
    # No function of one input ranks better than the number itself that it holds.
    best = max(roc_auc_score(target, raw[:, i, 0]) for i in (0, 1))
    assert best == pytest.approx(0.83, abs=0.02)
    assert roc_auc_score(target, score) > best + 0.1


def test_present_is_read_from_the_mask() -> None:
    assert present(Tokens(torch.zeros(2, 1, 1), torch.tensor([[True], [False]]))).tolist() == [True, False]
