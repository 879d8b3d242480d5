"""Statistics of long tables: by hand, beside a slow second method, in any order of rows, and blind to the future."""

import math
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.errors import Code, DataError, Rejected
from medmm.inputs import long_table, statistics
from medmm.inputs.base import Found
from medmm.inputs.long_table import read_numbers, read_times
from medmm.inputs.statistics import STATISTICS
from medmm.inputs.tabular import TabularSettings
from medmm.types import Evidence

STUDIES = """patient_id,study_id,time
007,1E5,2024-03-11T00:00:00
007,00002,2024-06-01T12:00:00
NA,3,2024-03-11T00:00:00
"""
HEADER = "patient_id,time,code,value,unit"


def gathered(
    folder: Path, settings: TabularSettings, rows: list[str], studies: str = STUDIES, timed: bool = True
) -> list[Found]:
    (folder / "studies.csv").write_text(studies, encoding="utf-8")
    (folder / "labs.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    sources = Sources.open(CohortSettings(root=folder, time="time" if timed else None))
    return settings.open("labs").gather(sources, read_studies(sources, None))


def labs(numeric: Mapping[str, object], **more: object) -> TabularSettings:
    return TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "numeric": numeric, **more})


def cells(one: Found) -> dict[str, float | None]:
    assert isinstance(one, Evidence), one
    assert one.cells is not None
    return {name: float(cell) if cell else None for name, cell in one.cells.items()}


def code(one: Found) -> Code:
    assert isinstance(one, Rejected), one
    return one.code


ALL = labs({"crp": {"unit": "mg/L", "statistics": list(STATISTICS)}})
ROWS = [
    "007,2024-03-01T00:00:00,crp,10,mg/L",
    "007,2024-03-05T00:00:00,crp,2,mg/dL",
    "007,2024-03-09T00:00:00,crp,60,mg/L",
    "007,2024-03-11T00:00:01,crp,500,mg/L",
]


def test_each_statistic_by_hand(tmp_path: Path) -> None:
    first, second, third = gathered(tmp_path, ALL, ROWS)
    # Days -10, -6, -2 with 10, 20, 60. Slope: sum of (t + 6)(x - 30) = (-4)(-20) + 4 * 30 = 200, over 16 + 16.
    assert cells(first) == {
        "crp.last": 60,
        "crp.first": 10,
        "crp.min": 10,
        "crp.max": 60,
        "crp.mean": 30,
        "crp.count": 3,
        "crp.slope": 6.25,
        "crp.time_since": 2,
    }
    assert cells(second)["crp.max"] == 500  # the fourth is later than the first study and before the second
    assert third is None


def test_last_alone_keeps_the_name_and_the_cell(tmp_path: Path) -> None:
    first, second, _ = gathered(tmp_path, labs({"crp": {"unit": "mg/L", "statistics": ["last"]}}), ROWS)
    assert isinstance(first, Evidence)
    assert isinstance(second, Evidence)
    assert (first.cells, second.cells) == ({"crp": "60"}, {"crp": "500"})
    assert labs({"crp": {}}).features == ("crp",)


@pytest.mark.parametrize("cell", ["7.10", "1e2", "+3", "1" * 18, "0.1000000000000000055"])
def test_a_cell_in_the_wanted_unit_keeps_every_character(tmp_path: Path, cell: str) -> None:
    first, *_ = gathered(tmp_path, labs({"crp": {"unit": "mg/L"}}), [f"007,2024-01-01,crp, {cell} ,mg/L"])
    assert isinstance(first, Evidence)
    assert first.cells == {"crp": cell}


def test_a_converted_last_value_is_in_the_wanted_unit(tmp_path: Path) -> None:
    rows = ["007,2024-01-01,glucose,90.078,mg/dL", "NA,2024-01-01,temperature,98.6,[degF]"]
    settings = labs({"glucose": {"unit": "mmol/L", "molar_mass": 180.156}, "temperature": {"unit": "Cel"}})
    first, _, third = gathered(tmp_path, settings, rows)
    assert cells(first)["glucose"] == pytest.approx(5)
    assert cells(third)["temperature"] == pytest.approx(37)
    without = labs({"glucose": {"unit": "mmol/L"}, "temperature": {"unit": "Cel"}})
    assert code(gathered(tmp_path, without, rows)[0]) is Code.UNIT


def test_one_value_has_no_slope(tmp_path: Path) -> None:
    at_once = ["NA,2024-03-01,crp,4,mg/L", "NA,2024-03-01,crp,6,mg/L"]
    settings = labs({"crp": {"statistics": ["slope", "mean", "count"]}})
    assert cells(gathered(tmp_path, settings, at_once[:1])[2]) == {"crp.slope": None, "crp.mean": 4, "crp.count": 1}
    assert cells(gathered(tmp_path, settings, at_once)[2]) == {"crp.slope": None, "crp.mean": 5, "crp.count": 2}


def test_a_large_value_that_stays_has_no_slope(tmp_path: Path) -> None:
    rows = [f"NA,2024-03-0{day}T0{day}:00:0{day},crp,1e15," for day in (1, 2, 3, 4, 6, 7, 9)]
    assert cells(gathered(tmp_path, labs({"crp": {"statistics": ["slope"]}}), rows)[2]) == {"crp.slope": 0}


def test_only_the_last_value_has_to_be_plausible_where_it_alone_is_taken(tmp_path: Path) -> None:
    rows = ["NA,2024-03-01,crp,secret,", "NA,2024-03-02,crp,-1,", "NA,2024-03-03,crp,4,"]
    assert cells(gathered(tmp_path, labs({"crp": {"range": [0, 9]}}), rows)[2]) == {"crp": 4}


def test_categories_are_compared_by_their_text(tmp_path: Path) -> None:
    settings = TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "categorical": ["smoker"]})
    rows = ["NA,2024-03-01,smoker,no,", "NA,2024-03-02,smoker,yes,", "NA,2024-03-02,smoker, yes,", "007,2024-03-01,smoker,no,"]
    first, _, third = gathered(tmp_path, settings, rows)
    assert isinstance(first, Evidence)
    assert isinstance(third, Evidence)
    assert (first.cells, third.cells) == ({"smoker": "no"}, {"smoker": "yes"})
    assert code(gathered(tmp_path, settings, [*rows, "NA,2024-03-02,smoker,no,"])[2]) is Code.AMBIGUOUS


def test_a_value_that_was_exported_twice_counts_once(tmp_path: Path) -> None:
    rows = ["NA,2024-03-01,crp,4,mg/L", "NA,2024-03-01,crp,4.0,mg/L", "NA,2024-03-02,crp,4,mg/L", "NA,2024-03-03,crp,9,mg/L"]
    settings = labs({"crp": {"statistics": ["mean", "count", "last", "first"]}})
    assert cells(gathered(tmp_path, settings, rows)[2]) == {"crp.mean": 17 / 3, "crp.count": 3, "crp.last": 9, "crp.first": 4}


def test_a_column_may_have_its_own_window(tmp_path: Path) -> None:
    rows = [f"NA,2024-03-{day:02d},{name},{day},mg/L" for day in (1, 5, 10) for name in ("crp", "wbc", "plt")]
    numeric = {
        "crp": {"statistics": ["count"], "window_days": 6},
        "wbc": {"statistics": ["count"]},
        "plt": {"statistics": ["count"], "window_days": 400},
    }
    third = gathered(tmp_path, labs(numeric, window_days=1), rows)[2]
    assert cells(third) == {"crp.count": 2, "wbc.count": 1, "plt.count": 3}


def test_a_code_without_a_value_is_counted_as_none_beside_another(tmp_path: Path) -> None:
    settings = labs({"crp": {"statistics": ["count", "mean"]}, "wbc": {}})
    first, _, third = gathered(tmp_path, settings, ["007,2024-01-01,wbc,4,", "NA,2024-01-01,crp,,mg/L"])
    assert cells(first) == {"crp.count": 0, "crp.mean": None, "wbc": 4}
    assert third is None


@pytest.mark.parametrize("statistic", ["first", "last"])
def test_two_values_at_one_time_are_ambiguous_only_where_one_is_needed(tmp_path: Path, statistic: str) -> None:
    rows = ["NA,2024-02-01,crp,3,", "NA,2024-02-01,crp,4,", "NA,2024-02-02,crp,5,", "007,2024-02-02,crp,5,"]
    rows = rows if statistic == "first" else [row.replace("02-02", "01-01") for row in rows]
    other = "last" if statistic == "first" else "first"
    found = gathered(tmp_path, labs({"crp": {"statistics": [statistic, "mean"]}}), rows)
    assert code(found[2]) is Code.AMBIGUOUS
    assert cells(found[0])["crp.mean"] == 5
    assert cells(gathered(tmp_path, labs({"crp": {"statistics": [other, "mean"]}}), rows)[2])["crp.mean"] == 4


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("NA,2024-02-01,crp,601,mg/L", Code.RANGE),
        ("NA,2024-02-01,crp,61,mg/dL", Code.RANGE),
        ("NA,2024-02-01,crp,secret,mg/L", Code.TYPE),
        ("NA,2024-02-01,crp,1_0,mg/L", Code.TYPE),
        ("NA,2024-02-01,crp,inf,mg/L", Code.TYPE),
        ("NA,2024-02-01,crp,3,secret", Code.UNIT),
        ("NA,secret,crp,3,mg/L", Code.TYPE),
    ],
)
def test_any_value_of_the_window_can_reject_its_study_and_no_other(tmp_path: Path, row: str, expected: Code) -> None:
    settings = labs({"crp": {"unit": "mg/L", "range": [0, 600], "statistics": ["mean"]}}, window_days=100)
    rows = ["007,2024-03-01,crp,5,mg/L", "NA,2024-03-01,crp,5,mg/L", row]
    first, _, third = gathered(tmp_path, settings, rows)
    assert cells(first) == {"crp.mean": 5}
    assert code(third) is expected
    assert "secret" not in str(third)
    assert "study in row 3, input labs" in str(third)
    if "2024" in row:
        late = row.replace("2024-02-01", "2024-03-12")
        old = row.replace("2024-02-01", "2023-03-12")
        for outside in (late, old):
            assert cells(gathered(tmp_path, settings, [*rows[:2], outside])[2]) == {"crp.mean": 5}


def test_a_mean_on_the_edge_of_its_range_is_no_fault(tmp_path: Path) -> None:
    rows = [f"NA,2024-03-{day:02d},crp,0.1," for day in (1, 2, 3)]
    settings = labs({"crp": {"range": [0, 0.1], "statistics": ["mean"]}})
    found = gathered(tmp_path, settings, rows)[2]
    assert isinstance(found, Evidence)
    assert settings.open("labs").read(found)


def test_times_are_asked_for_where_they_are_needed(tmp_path: Path) -> None:
    for settings in (labs({"crp": {"statistics": ["slope"]}}), labs({"crp": {}}, window_days=3)):
        with pytest.raises(DataError, match=r"cohort\.time"):
            gathered(tmp_path, settings, ROWS, timed=False)
    rows = ["NA,2024-02-01,crp,3,", "NA,2024-02-02,crp,4,"]
    assert code(gathered(tmp_path, labs({"crp": {}}), rows, timed=False)[2]) is Code.AMBIGUOUS
    assert cells(gathered(tmp_path, labs({"crp": {"statistics": ["max"]}}), rows, timed=False)[2]) == {"crp.max": 4}


def test_a_study_whose_own_time_is_unknown_has_no_values(tmp_path: Path) -> None:
    studies = STUDIES.replace("NA,3,2024-03-11T00:00:00", "NA,3,")
    assert gathered(tmp_path, ALL, ["NA,2024-03-01,crp,3,mg/L", "NA,1960-03-01,crp,3,mg/L"], studies)[2] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "wide", "numeric": {"crp": {"statistics": ["mean"]}}},
        {"layout": "wide", "numeric": {"crp": {"window_days": 3}}},
        {"numeric": {"crp": {"statistics": []}}},
        {"numeric": {"crp": {"statistics": ["mean", "mean"]}}},
        {"numeric": {"crp": {"statistics": ["median"]}}},
        {"numeric": {"crp": {"molar_mass": 3}}},
        {"numeric": {"crp": {"statistics": ["mean"]}, "crp.mean": {}}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TabularSettings.model_validate({"table": "labs.csv", "layout": "long", **wrong})


def random_export(seed: int) -> tuple[str, list[str]]:
    """Make a table with ties, empty cells, two units, values after the study and rows of strangers."""
    rng = random.Random(seed)
    day = datetime(2024, 1, 1)
    studies = [f"p{rng.randrange(7)},s{number},{day + timedelta(hours=rng.randrange(600))}" for number in range(12)]
    rows = []
    for _ in range(400):
        time = (day + timedelta(hours=rng.randrange(0, 700, rng.choice([1, 24])))).isoformat()
        value, unit = rng.choice([(f"{rng.randrange(90)}", "mg/L"), (f"{rng.random() * 9:.3f}", "mg/dL"), ("", "mg/L")])
        rows.append(f"p{rng.randrange(9)},{time},{rng.choice(['crp', 'wbc', 'other'])},{value},{unit}")
    return "\n".join(["patient_id,study_id,time", *studies]) + "\n", rows


def by_hand(studies: str, rows: list[str], names: list[str], window_days: float) -> list[dict[str, float | None] | None]:
    """Do the same value by value, in plain Python."""
    found: list[dict[str, float | None] | None] = []
    for line in studies.splitlines()[1:]:
        patient, _, at = line.split(",")
        seen = defaultdict(set)
        for owner, time, name, value, unit in (row.split(",") for row in rows):
            before = (datetime.fromisoformat(at) - datetime.fromisoformat(time)) / timedelta(days=1)
            if owner == patient and name in names and value and 0 <= before <= window_days:
                seen[name].add((-before, float(value) * (10 if unit == "mg/dL" else 1)))
        made: dict[str, float | None] = {}
        for name in names:
            days, numbers = (np.array(part) for part in zip(*sorted(seen[name]), strict=True)) if seen[name] else ([], [])
            made[f"{name}.count"] = len(numbers)
            for key in ("min", "max", "mean"):
                made[f"{name}.{key}"] = getattr(np, key)(numbers) if len(numbers) else None
            made[f"{name}.slope"] = np.polyfit(days, numbers, 1)[0] if len(set(days)) > 1 else None
            made[f"{name}.time_since"] = -max(days) if len(numbers) else None
        found.append(made if any(seen.values()) else None)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_a_slow_second_method_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, block: int) -> None:
    monkeypatch.setattr(long_table, "BLOCK_ROWS", block)
    studies, rows = random_export(seed)
    kinds = ["count", "min", "max", "mean", "slope", "time_since"]
    settings = labs({name: {"unit": "mg/L", "statistics": kinds} for name in ("crp", "wbc")}, window_days=9.5)
    found = gathered(tmp_path, settings, rows, studies)
    expected = by_hand(studies, rows, ["crp", "wbc"], 9.5)
    assert [one is None for one in found] == [one is None for one in expected]
    for one, other in zip(found, expected, strict=True):
        if other is not None:
            for name, value in cells(one).items():
                wanted = other[name]
                assert (value is None) == (wanted is None), name
                assert value is None or wanted is None or math.isclose(value, wanted, rel_tol=1e-8, abs_tol=1e-8), name


@pytest.mark.parametrize("seed", range(6))
def test_neither_the_order_of_rows_nor_the_future_changes_a_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    studies, rows = random_export(seed)
    settings = labs({"crp": {"unit": "mg/L", "statistics": list(STATISTICS)}, "wbc": {"unit": "mg/L"}}, categorical=["other"])

    def shown(rows: list[str]) -> list[str]:
        return [str(one) for one in gathered(tmp_path, settings, rows, studies)]

    expected = shown(rows)
    assert any("crp.slope" in one for one in expected)
    late = [f"p{number},2025-01-01T00:00:00,{name},1e30,secret" for number in range(9) for name in ("crp", "wbc", "other")]
    for order in range(3):
        mixed = rows + late
        random.Random(order).shuffle(mixed)
        monkeypatch.setattr(long_table, "BLOCK_ROWS", 50 + order)
        assert shown(mixed) == expected


@pytest.mark.parametrize("seed", range(3))
def test_the_long_way_to_sort_gives_the_same_order(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner, time = rng.integers(0, 9, 500), rng.integers(0, 20, 500)
    number = rng.permutation(np.append(rng.integers(0, 5, 490).astype(float), [np.nan] * 10))
    first = statistics._sorted(owner, time, number)
    monkeypatch.setattr(statistics, "_joined", lambda *_: None)
    second = statistics._sorted(owner, time, number)
    for one in (owner, time, number):
        np.testing.assert_array_equal(one[first], one[second])


def test_numbers_too_long_to_join_are_sorted_too() -> None:
    assert statistics._sorted(np.array([3, 0]), np.array([0, 2**62]), np.zeros(2)).tolist() == [1, 0]


def test_times_are_read_alike_on_both_ways() -> None:
    texts = ["2024-02-29", "2024-02-29 01:02", "2024-02-29T01:02:03", "2024-02-29T01:02:03.5", "1850-01-01T00:00:00.000001"]
    fast, readable = read_times(pa.array(texts, pa.large_string()))
    slow, also = read_times(pa.array([*texts, "2024-02-29T02:02:03+01:00", "2023-02-29", "soon", ""], pa.large_string()))
    expected = [np.datetime64(text).astype("datetime64[us]").astype(int) for text in texts]
    assert fast.tolist() == slow[:5].tolist() == expected
    assert slow[5] == expected[2]
    assert readable.all()
    assert also.tolist() == [True] * 6 + [False] * 3


def test_a_nanosecond_later_is_later() -> None:
    (late, exact), _ = read_times(pa.array(["2024-01-01T00:00:00.000000001", "2024-01-01T00:00:00.000000000"]))
    assert late == exact + 1


def test_numbers_are_read_as_python_reads_them() -> None:
    texts = [
        "1",
        "-1.50",
        ".5",
        "5.",
        "1e5",
        "1E-07",
        "1e308",
        "1e999",
        "nan",
        "inf",
        "1_0",
        "0x1",
        "",
        "12,5",
        "٣",
        "1e-400",
        "1 2",
    ]
    expected = [1, -1.5, 0.5, 5, 1e5, 1e-7, 1e308, *[math.nan] * 7, 3, 0, math.nan]
    np.testing.assert_array_equal(read_numbers(pa.array(texts, pa.large_string())), expected)
