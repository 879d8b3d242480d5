from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from scipy.stats import chi2

from medmm.errors import DataError
from medmm.evaluation.critical_difference import Ranking, critical_difference_plot, nemenyi, rank
from medmm.types import Array

NAMES = ("chest", "labs", "concat")


def table(methods: int, blocks: int = 20, spread: float = 3.0) -> Array:
    """Draw AUROCs of methods, the later the better."""
    rng = np.random.default_rng(0)
    return 0.7 + 0.02 * (rng.normal(size=(blocks, methods)) + spread * np.linspace(0, 1, methods))


def words(figure: Figure) -> list[mpl.text.Text]:
    return [text for text in figure.findobj(mpl.text.Text) if text.get_text().strip()]


def test_ranks_are_those_by_hand_and_ties_share_theirs() -> None:
    # Ranks 3 2 1; 2.5 2.5 1; 3 1 2: means 8.5 / 3, 5.5 / 3, 4 / 3.
    found = rank(np.array([[0.6, 0.7, 0.8], [0.7, 0.7, 0.9], [0.5, 0.8, 0.75]]), NAMES)
    assert found.names == ("concat", "labs", "chest")
    np.testing.assert_allclose(found.mean_ranks, [4 / 3, 5.5 / 3, 8.5 / 3])
    assert (found.blocks, found.left_out) == (3, 0)


def test_rounding_breaks_no_tie() -> None:
    found = rank(np.array([[0.1 + 0.2, 0.3, 0.2], [0.3, 0.3, 0.2]]), NAMES)
    assert found.mean_ranks == (1.5, 1.5, 3)


def test_the_p_value_is_friedmans() -> None:
    drawn = table(5, spread=1.0)
    found = rank(drawn, list("abcde"))
    sums = np.array([sum((row >= value).sum() for row, value in zip(drawn, column, strict=True)) for column in drawn.T])
    statistic = 12 / (20 * 5 * 6) * (sums**2).sum() - 3 * 20 * 6
    assert found.p == pytest.approx(chi2.sf(statistic, 4))


def test_a_block_in_which_a_method_has_no_auroc_is_left_out() -> None:
    drawn = table(3)
    drawn[4, 1] = np.nan
    found = rank(drawn, NAMES)
    assert (found.blocks, found.left_out) == (19, 1)
    assert found.mean_ranks == rank(np.delete(drawn, 4, axis=0), NAMES).mean_ranks


def test_methods_that_tie_in_every_block_rank_alike() -> None:
    found = rank(np.full((4, 3), 0.7), NAMES)
    assert (found.mean_ranks, found.p) == ((2, 2, 2), 1)
    assert found.groups == ((0, 2),)


def test_the_critical_difference_is_that_of_demsar() -> None:
    # Demsar 2006, table 5 (a), and his example of four classifiers on 14 data sets.
    for methods, quantile in ((2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        assert nemenyi(methods, 1) == pytest.approx(quantile * np.sqrt(methods * (methods + 1) / 6), rel=4e-4)
    assert nemenyi(4, 14) == pytest.approx(1.25, abs=0.005)


def box_of(text: mpl.text.Text, renderer: RendererBase) -> Bbox:
    """Give the box of what a text shows; the title ends with empty lines that keep room for the subtitle."""
    box = text.get_window_extent(renderer)
    lines = text.get_text().split("\n")
    empty = len(lines) - len(text.get_text().rstrip("\n").split("\n"))
    return Bbox.from_extents(box.x0, box.y0 + box.height * empty / len(lines), box.x1, box.y1)


def ranking(*mean_ranks: float, difference: float = 1.0, p: float = 0.001) -> Ranking:
    names = tuple(f"m{place}" for place in range(len(mean_ranks)))
    return Ranking(names, mean_ranks, blocks=10, left_out=0, p=p, critical_difference=difference)


def test_groups_join_methods_closer_than_the_critical_difference() -> None:
    assert ranking(1.0, 1.9, 2.5, 4.0, 4.5).groups == ((0, 1), (1, 2), (3, 4))
    assert ranking(1.0, 2.0, 3.0).groups == ()  # as far apart as the critical difference is apart
    assert ranking(1.0, 1.2, 1.4, 1.6).groups == ((0, 3),)
    assert ranking(1.0, 2.0, 3.0, p=0.2).groups == ((0, 2),)


@pytest.mark.parametrize("seed", range(5))
def test_two_methods_share_a_group_exactly_if_they_are_not_told_apart(seed: int) -> None:
    found = ranking(*np.sort(1 + 5 * np.random.default_rng(seed).random(12)).tolist())
    for one, other in combinations(range(12), 2):
        joined = any(first <= one and other <= last for first, last in found.groups)
        assert joined == (found.mean_ranks[other] - found.mean_ranks[one] < 1.0)


@pytest.mark.parametrize("name", ["m", "cross-attention", "gradient boosting of chest + labs + history"])
@pytest.mark.parametrize("methods", [3, 8, 25])
def test_every_name_is_drawn_and_no_words_overlap(methods: int, name: str) -> None:
    names = [f"{name} {place}" for place in range(methods)]
    figure = critical_difference_plot(rank(table(methods), names))
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    texts = words(figure)
    assert all(sum(each in text.get_text().split("  ") for text in texts) == 1 for each in names)
    boxes = [box_of(text, drawn.get_renderer()) for text in texts]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.height


def test_the_figure_says_what_it_rests_on() -> None:
    drawn = table(3)
    drawn[0] = np.nan
    text = "\n".join(one.get_text() for one in words(critical_difference_plot(rank(drawn, NAMES))))
    assert "19 blocks of fold and seed, 1 more without an AUROC left out; Friedman p < 0.001" in text
    assert "Folds of one cohort are not independent: the diagram describes, it does not prove" in text
    assert "critical difference 0.76" in text  # 2.343 sqrt(3 * 4 / (6 * 19))
    wide = critical_difference_plot(ranking(1.0, 2.0, 3.0, difference=5.0, p=0.4))
    assert any("Friedman p = 0.400" in one.get_text() for one in words(wide))
    assert any("(wider than the axis)" in one.get_text() for one in words(wide))


def test_lines_stand_at_the_mean_ranks_and_bars_join_their_groups() -> None:
    found = ranking(1.0, 1.9, 2.5, 4.0, 4.5)
    lines = critical_difference_plot(found).axes[0].lines
    bars = [tuple(np.asarray(line.get_xdata())) for line in lines if line.get_marker() == "o"]
    assert bars == [(1.0, 1.9), (1.9, 2.5), (4.0, 4.5)]
    elbows = [line.get_xdata() for line in lines if len(np.asarray(line.get_xdata())) == 3]
    assert [tuple(np.asarray(one)) for one in elbows] == [(m, m, 1 if m < 3 else 5) for m in found.mean_ranks]


def test_of_many_ranks_every_second_one_is_labelled() -> None:
    for methods, labelled in ((15, 15), (16, 8)):
        texts = words(critical_difference_plot(rank(table(methods), [f"m{place}" for place in range(methods)])))
        assert sum(text.get_text().isdigit() for text in texts) == labelled


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(DataError, match=r"the table has shape \(20, 3\) for 2 methods"):
        rank(table(3), NAMES[:2])
    with pytest.raises(DataError, match="2 methods in 20 complete blocks cannot be ranked: 3 methods and 2 blocks"):
        rank(table(2), NAMES[:2])
    with pytest.raises(DataError, match="3 methods in 1 complete blocks"):
        rank(table(3)[:1], NAMES)
