"""Encoders of signals: what each sees of time, and what the fixed kernels give, by a second method."""

from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import nn

from medmm.dataset.features import _features, backbone_of
from medmm.encoders import SIGNAL_ENCODERS
from medmm.encoders.adapted import Adapted
from medmm.encoders.over_time import shorter
from medmm.encoders.rocket import FLAT, LEAST_SPREAD, OUTERMOST, STEP, STRIDE, Rocket, Standardised
from medmm.encoders.several import THERE, Several
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.types import Array

WIDTH = 8
LEADS = 3


def network(name: str, size: Sequence[int], leads: int = LEADS, **settings: object) -> Adapted:
    torch.manual_seed(0)
    made = SIGNAL_ENCODERS.pick(name).model_validate({"name": name, **settings}).build(WIDTH, leads, size).eval()
    assert isinstance(made, Adapted)
    return made


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kernels(samples: int, leads: int = LEADS, **settings: object) -> nn.Module:
    return network("rocket", (samples,), leads, **settings).backbone


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [
        ("resnet1d", (2500,), 5),  # by hand: 2500 / 2 / 4 / 4 / 4 / 4, each time rounded up
        ("cnn_lstm", (2500,), 40),  # 2500 / 4 / 4 / 4
        ("patch_transformer", (2500,), 100),  # patches of 25
        ("patch_transformer", (64, 200), 8),
        ("spectrogram_cnn", (64, 200), 2 * 7),  # 64 / 32 and 200 / 32
        ("rocket", (2500,), 1),
    ],
)
def test_tokens_and_weights_are_few(name: str, size: Sequence[int], tokens: int) -> None:
    leads = 12 if len(size) == 1 else 1  # an ECG, a sound
    made = network(name, size, leads)
    assert made({"signal": noise(1, leads, *size)}).mask.shape == (1, tokens)
    assert sum(weight.numel() for weight in made.parameters()) < 1_000_000


@pytest.mark.parametrize(
    ("name", "size", "settings", "said"),
    [
        ("resnet1d", (511,), {}, "not a trace of at least 512 samples.*fewer stages"),
        ("resnet1d", (64, 600), {}, "not a trace"),
        ("resnet1d", (2500,), {"kernel": 8}, "kernel: 8 is even.*take 9"),
        ("cnn_lstm", (63,), {}, "at least 64 samples"),
        ("cnn_lstm", (2500,), {"kernel": 4}, "take 5"),
        ("spectrogram_cnn", (31, 200), {}, "at least 32 bands and 32 frames"),
        ("spectrogram_cnn", (2500,), {}, "not a spectrogram"),
        ("patch_transformer", (2510,), {}, "multiple of patch 25: give 2500 of them, or a patch such as 10"),
        ("patch_transformer", (2500,), {"hidden": 18}, "18 is not a multiple of heads 4"),
        ("rocket", (8,), {}, "at least 9 samples"),
        ("rocket", (64, 200), {}, "takes traces"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_repair(
    name: str, size: Sequence[int], settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        network(name, size, **settings)


@pytest.mark.parametrize("name", [name for name, one in SIGNAL_ENCODERS.items() if 1 in one.axes])
def test_the_smallest_signal_and_a_single_lead_are_encoded(name: str) -> None:
    samples = {"resnet1d": 512, "cnn_lstm": 64, "patch_transformer": 25, "rocket": 9}[name]
    assert network(name, (samples,), 1)({"signal": noise(2, 1, samples)}).values.isfinite().all()


@pytest.mark.parametrize("name", SIGNAL_ENCODERS)
def test_segments_that_are_not_there_change_no_bit_and_each_gives_one_token(name: str) -> None:
    size = (600,) if 1 in SIGNAL_ENCODERS[name].axes else (32, 75)
    several = Several(network(name, size), WIDTH).eval()
    there = torch.tensor([[1, 1], [1, 0]], dtype=torch.uint8)
    made = []
    for filler in (0.0, float("nan")):
        signal = noise(2, 2, LEADS, *size)
        signal[1, 1] = filler
        made.append(several({"signal": signal, THERE: there}))
    assert made[0].mask.tolist() == [[True, True], [True, False]]
    assert torch.equal(made[0].values, made[1].values)


@pytest.mark.parametrize("name", SIGNAL_ENCODERS)
def test_no_part_has_statistics_of_a_batch(name: str) -> None:
    # They would stand still, for an encoder keeps those of pretrained weights, and have never met a signal.
    made = network(name, (600,) if 1 in SIGNAL_ENCODERS[name].axes else (32, 75))
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in made.modules())


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("samples", [12, 13, 14, 15])
def test_every_sample_has_a_part_when_time_is_shortened(samples: int, stride: int) -> None:
    trace = noise(1, 1, samples).requires_grad_()
    short = shorter(stride)(trace)
    assert short.shape[2] == -(-samples // stride)
    short.sum().backward()
    assert trace.grad is not None
    assert (trace.grad > 0).all()
    torch.testing.assert_close(shorter(stride)(torch.ones(1, 1, samples)), torch.ones_like(short))  # nor do its ends fade


def test_waves_too_quick_for_the_new_rate_fade() -> None:
    beats = torch.arange(400.0)
    quick, slow = (torch.sin(2 * torch.pi * rate * beats)[None, None] for rate in (0.23, 0.01))  # the new limit is 0.125
    assert shorter(4)(quick).square().mean() < 0.06 * quick.square().mean()
    assert shorter(4)(slow).square().mean() > 0.9 * slow.square().mean()
    assert quick[..., ::4].square().mean() > 0.9 * quick.square().mean()  # what taking every fourth sample would have left


def test_a_recurrent_network_reads_from_both_ends() -> None:
    made = network("cnn_lstm", (2500,))
    signal, first, last = (noise(1, LEADS, 2500) for _ in range(3))
    first[..., 0] += 3.0
    last[..., -1] += 3.0
    plain, other, end = (made({"signal": one}).values[0] for one in (signal, first, last))
    assert (plain != other).any(1).all()
    assert (plain != end).any(1).all()


def test_a_patch_knows_its_place() -> None:
    made = network("patch_transformer", (100,), dropout=0.0)
    signal = noise(1, LEADS, 100)
    turned = signal.view(1, LEADS, 4, 25).flip(2).flatten(2)
    plain, other = (made({"signal": one}).values[0] for one in (signal, turned))
    assert not torch.allclose(plain.mean(0), other.mean(0), atol=1e-3)
    with torch.no_grad():
        made.get_parameter("backbone.patches.place").zero_()
    plain, other = (made({"signal": one}).values[0] for one in (signal, turned))
    torch.testing.assert_close(plain.flip(0), other, atol=1e-5, rtol=1e-5)


def by_hand(signal: Array, weight: Array, threshold: Array, dilation: int) -> tuple[Array, Array]:
    """Give share and maximum of each kernel for one signal (L, T), sample by sample."""
    samples, reach = signal.shape[1], 4 * dilation
    share, most = [], []
    for kernel, bound in zip(weight, threshold, strict=True):
        response = []
        for place in range(0, samples, STRIDE):
            taps = [place - reach + i * dilation for i in range(9)]
            read = [kernel[:, i] @ signal[:, tap] for i, tap in enumerate(taps) if 0 <= tap < samples]
            response.append(sum(read))
        one = np.array(response)
        size = np.sqrt((one**2).mean() + FLAT**2)
        share.append((1 / (1 + np.exp(-(one / size - bound) / STEP))).mean())
        most.append(one.max())
    return np.array(share), np.array(most)


def test_share_and_maximum_by_a_second_method() -> None:
    made = kernels(61, dilations=3)
    signal = noise(1, LEADS, 61)
    features = made(signal)[0].numpy()
    assert made.dilations == [1, 2, 7]  # by hand: 7.5 to the powers 0, 1/2 and 1, rounded down
    at = 0
    for group, dilation in enumerate(made.dilations):
        weight, threshold = made.weight[group].double().numpy(), made.threshold[group, :, 0].double().numpy()
        share, most = by_hand(signal[0].double().numpy(), weight, threshold, dilation)
        np.testing.assert_allclose(features[at : at + 84], share, atol=2e-5)
        np.testing.assert_allclose(features[at + 84 : at + 168], most, atol=2e-5)
        at += 168
    assert at == len(features)


def test_the_kernels_are_the_84_of_minirocket_of_length_1_and_deaf_to_a_constant() -> None:
    made = kernels(2500, 12)
    weight = made.weight.flatten(0, 1)  # (K, L, 9)
    assert weight.shape == (8 * 84, 12, 9)
    torch.testing.assert_close(weight.square().sum((1, 2)), torch.ones(len(weight)))
    torch.testing.assert_close(weight.sum(2), torch.zeros(len(weight), 12), atol=1e-6, rtol=0)
    chosen = {tuple(torch.topk(kernel.abs().sum(0), 3).indices.sort().values.tolist()) for kernel in weight[:84]}
    assert chosen == set(combinations(range(9), 3))
    leads = (weight != 0).any(2)
    assert leads.sum(1).min() == 1
    assert leads.sum(1).max() == 9
    assert leads.any(0).all()
    assert {-1.0, 1.0} == set(weight.sum(1).sign().flatten().tolist()) - {0.0}


def test_thresholds_part_white_noise_at_their_shares() -> None:
    made = kernels(20_001, 2, dilations=2)
    features = made(noise(1, 2, 20_001))[0].view(2, 2, 84)
    share = features[:, 0].flatten()
    wanted = torch.tensor([1 - NormalDist().cdf(one) for one in made.threshold.flatten().tolist()])
    # The widest kernels see too little of a signal to be sure of much.
    torch.testing.assert_close(share[:84], wanted[:84], atol=0.02, rtol=0)
    assert OUTERMOST <= wanted.min() < 0.05
    assert 0.95 < wanted.max() <= 1 - OUTERMOST
    assert wanted.sort().values.diff().max() < 0.02  # no gap


def test_shares_see_the_shape_and_maxima_the_size() -> None:
    made = kernels(500, dilations=2)
    signal = 5 * noise(1, LEADS, 500)
    small, large = (made(one)[0].view(2, 2, 84) for one in (signal, 10 * signal))
    torch.testing.assert_close(small[:, 0], large[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(10 * small[:, 1], large[:, 1])


def test_a_lost_lead_gives_finite_features_and_gradients() -> None:
    made = kernels(200, dilations=2)
    signal = noise(2, LEADS, 200)
    signal[1] = 0.0
    signal.requires_grad_()
    made(signal).sum().backward()
    assert signal.grad is not None
    assert signal.grad.isfinite().all()
    assert made(signal)[1].isfinite().all()


def test_the_seed_alone_draws_the_kernels() -> None:
    first = kernels(200)
    state = torch.random.get_rng_state()
    Rocket().build(WIDTH, LEADS, (200,))  # the linear map is drawn like those of other networks
    assert not torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(99)
    again = Rocket().build(WIDTH, LEADS, (200,)).backbone
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, kernels(200, seed=1).weight)
    assert not list(again.parameters())
    assert {"weight", "threshold"} == set(again.state_dict())


def test_features_are_standardised_over_all_that_was_met_however_it_was_batched() -> None:
    features = 3 * noise(50, 6) + torch.arange(6.0)
    features[:, 5] = 7.0  # the same in all studies
    networks = []
    for parts in ([50], [1, 9, 0, 40], [25, 25]):
        made = Standardised(6).train()
        for part in features.split(parts):
            made(part[:, None])
        networks.append(made.eval())
    for made in networks:
        given = made(features)
        expected = (features - features.mean(0)) / features.std(0, unbiased=False).clamp(min=LEAST_SPREAD)
        torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)
        assert torch.equal(made(features[:1]), given[:1])
        assert made(features + 0.01).abs().max() < 10
        assert made.seen == 50
    fresh = Standardised(6).eval()
    assert torch.equal(fresh(features), features)


def test_kept_features_are_those_computed_anew_and_a_frozen_network_still_tells_what_it_saw() -> None:
    frozen, learning = network("rocket", (200,), dilations=2), network("rocket", (200,), dilations=2, augment=True)
    signal = noise(3, LEADS, 200).requires_grad_()
    assert (frozen.frozen, learning.frozen) == (True, False)
    expected = learning({"signal": signal}).values
    assert torch.equal(frozen({"signal": signal}).values, expected)
    assert torch.equal(frozen(_features(frozen, {"signal": signal})).values, expected)
    frozen.tuning = Tuning(learn="all")  # as an explanation does
    frozen({"signal": signal}).values.square().sum().backward()
    assert signal.grad is not None
    assert (signal.grad.abs().sum(2) > 0).all()


def test_kept_features_of_several_segments_are_those_computed_anew() -> None:
    several = Several(network("rocket", (200,), dilations=2), WIDTH).eval()
    backbone = backbone_of(several)
    assert backbone is not None
    assert backbone.frozen
    fields = {"signal": noise(2, 2, LEADS, 200), THERE: torch.tensor([[1, 0], [1, 1]], dtype=torch.uint8)}
    with torch.no_grad():
        kept = _features(backbone, fields)
        assert kept["features"].shape == (2, 2, 1, 2 * 2 * 84)
        torch.testing.assert_close(several(kept).values, several(fields).values, atol=1e-6, rtol=1e-5)


def test_few_studies_teach_the_head_of_fixed_kernels() -> None:
    # Forty studies: waves of two forms, of the same spread, at random places, in noise.
    time = torch.arange(300.0)
    rng = torch.Generator().manual_seed(3)
    signal = 0.5 * noise(80, 1, 300, seed=4)
    goal = torch.arange(80) % 2
    for i in range(80):
        rising = ((time + 100 * torch.rand((), generator=rng)) % 50) / 50
        signal[i, 0] += 4 * ((rising if goal[i] else 1 - rising) - 0.5)
    made = network("rocket", (300,), 1).train()
    head = nn.Linear(WIDTH, 1)
    optimizer = torch.optim.AdamW([*made.parameters(), *head.parameters()], 3e-3)
    kept = _features(made, {"signal": signal[:40]})
    for _ in range(30):
        loss = nn.functional.binary_cross_entropy_with_logits(head(made(kept).values[:, 0])[:, 0], goal[:40].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert made.get_buffer("project.0.seen") == 30 * 40
    said = head(made.eval()({"signal": signal[40:]}).values[:, 0])[:, 0] > 0
    assert (said == (goal[40:] > 0)).float().mean() > 0.9
