"""Shapley values: by hand, by every order one after the other, and by the axioms that define them."""

from itertools import chain, combinations, pairwise, permutations

import numpy as np
import pytest

from medmm.errors import DataError
from medmm.evaluation.shapley import CERTAIN, coalitions, contributions, on_scale, sampled_shapley, shapley
from medmm.types import Array

SEEDS = range(5)


def all_subsets(names: str) -> list[frozenset[str]]:
    return [frozenset(some) for some in chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))]


def game(names: str, seed: int, shape: tuple[int, ...] = (4, 2)) -> dict[frozenset[str], Array]:
    rng = np.random.default_rng(seed)
    return {some: rng.normal(size=shape) for some in all_subsets(names)}


def test_two_inputs_by_hand() -> None:
    values = {frozenset(some): np.array([number]) for some, number in (("", 1.0), ("a", 2.0), ("b", 3.0), ("ab", 6.0))}
    # a first adds 1, after b 3; b first adds 2, after a 4.
    assert {name: own.item() for name, own in shapley(values).items()} == {"a": 2.0, "b": 3.0}


def test_the_glove_game_of_the_textbook() -> None:
    # One left glove and two right ones, a pair is worth 1: the left one gets 2/3, each right one 1/6.
    values = {some: np.array(float("l" in some and len(some) > 1)) for some in all_subsets("lrs")}
    shares = shapley(values)
    np.testing.assert_allclose([shares[name] for name in "lrs"], [2 / 3, 1 / 6, 1 / 6])


@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcd", "abcde"])
def test_every_order_one_after_the_other_gives_the_same(names: str) -> None:
    values = game(names, len(names))
    slow = {name: np.zeros((4, 2)) for name in names}
    orders = list(permutations(names))
    for order in orders:
        steps = [frozenset(order[:count]) for count in range(len(order) + 1)]
        for name, (before, after) in zip(order, pairwise(steps), strict=True):
            slow[name] += (values[after] - values[before]) / len(orders)
    fast = shapley(values)
    assert list(fast) == sorted(names)
    for name in names:
        np.testing.assert_allclose(fast[name], slow[name], atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_sum_to_the_whole_exactly_and_when_drawn(seed: int) -> None:
    values = game("abcd", seed)
    whole = values[frozenset("abcd")] - values[frozenset()]
    for shares in (shapley(values), sampled_shapley(values, 3, seed)):
        np.testing.assert_allclose(np.sum(list(shares.values()), axis=0), whole, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_idle_input_gets_nothing_and_twins_get_the_same(seed: int) -> None:
    values = game("abc", seed)
    for some in all_subsets("abc"):
        values[some | {"idle"}] = values[some]
    assert np.abs(shapley(values)["idle"]).max() < 1e-12
    for some in all_subsets("c"):
        values[some | {"a"}] = values[some | {"b"}]
        values[some | {"a", "idle"}] = values[some | {"b", "idle"}]
    shares = shapley(values)
    np.testing.assert_allclose(shares["a"], shares["b"], atol=1e-12)


def test_drawn_orders_come_close_and_are_those_of_their_seed() -> None:
    values = game("abcdefg", 0)
    drawn, exact = sampled_shapley(values, seed=1), shapley(values)
    for name in "abcdefg":
        np.testing.assert_allclose(drawn[name], exact[name], atol=0.25)
        np.testing.assert_array_equal(drawn[name], sampled_shapley(values, seed=1)[name])
    assert any(not np.array_equal(drawn[name], sampled_shapley(values, seed=2)[name]) for name in "abcdefg")


def test_up_to_six_inputs_are_exact() -> None:
    assert contributions(game("abcdef", 0))[1]
    assert not contributions(game("abcdefg", 0, (1,)))[1]


def test_a_missing_subset_is_refused() -> None:
    values = game("abc", 0)
    del values[frozenset("ab")]
    with pytest.raises(DataError, match="7 subsets of 3 inputs have a value, 8 are needed"):
        shapley(values)


def test_scales_by_hand() -> None:
    np.testing.assert_allclose(on_scale(np.array([0.5, 0.8]), "binary"), [0, np.log(4)])
    np.testing.assert_allclose(on_scale(np.array([1 - np.exp(-2.0)]), "survival"), [np.log(2)])
    np.testing.assert_array_equal(on_scale(np.array([-7.0, 3.0]), "regression"), [-7, 3])
    assert on_scale(np.array([0.0, 1.0]), "multilabel").tolist() == pytest.approx([np.log(CERTAIN), -np.log(CERTAIN)], 1e-5)
    assert np.isfinite(on_scale(np.array([0.0, 1.0]), "survival")).all()


def test_an_absent_input_adds_nothing_even_where_the_model_says_otherwise() -> None:
    only = {frozenset("a"): [[1.0], [9.0]], frozenset("b"): [[2.0], [3.0]], frozenset("ab"): [[4.0], [3.0]]}
    answers = {some: np.array(values) for some, values in only.items()}
    present = np.array([[True, True], [False, True]])
    values = coalitions(answers, present, np.array([0.5]), "regression")
    assert values[frozenset("a")].tolist() == [[1.0], [0.5]]  # what it says of a study without any input is not asked
    shares = shapley(values)
    assert shares["a"].ravel().tolist() == [1.25, 0.0]
    assert shares["b"].ravel().tolist() == [2.25, 2.5]
