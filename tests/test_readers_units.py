"""Conversion between units: right by hand where it is sound, none where it is not."""

import math
import time

import numpy as np
import pytest

from medmm.readers.units import KEPT, conversion, read_unit

GLUCOSE = 180.156
CREATININE = 113.12


@pytest.mark.parametrize(
    ("value", "found", "wanted", "molar_mass", "expected"),
    [
        (0.3, "mg/dL", "mg/L", None, 3.0),
        (3.0, "mg/L", "mg/dL", None, 0.3),  # 3 * 0.1 would be 0.30000000000000004
        (100.0, "mg/dL", "mmol/L", GLUCOSE, 1000 / GLUCOSE),
        (5.5, "mmol/L", "mg/dL", GLUCOSE, 5.5 * GLUCOSE / 10),
        (88.4, "umol/L", "mg/dL", CREATININE, 88.4 * CREATININE / 10_000),
        (88.4, "µmol/L", "mg/dL", CREATININE, 88.4 * CREATININE / 10_000),
        (30.0, "mg/g", "mg/mmol", CREATININE, 30 * CREATININE / 1000),
        (6.1, "10*3/uL", "10*9/L", None, 6.1),
        (6100.0, "{cells}/uL", "10*9/L", None, 6.1),
        (4.5, "10^6/uL", "10*12/L", None, 4.5),
        (120.0, "mm[Hg]", "kPa", None, 120 * 0.133322387415),
        (10.0, "cm[H2O]", "Pa", None, 980.665),
        (98.6, "[degF]", "Cel", None, 37.0),
        (-40.0, "Cel", "[degF]", None, -40.0),
        (37.0, "Cel", "K", None, 310.15),
        (0.45, "L/L", "%", None, 45.0),
        (60.0, "U/L", "ukat/L", None, 1.0),
        (2.5, "m[IU]/L", "u[IU]/mL", None, 2.5),
        (90.0, "mL/min/{1.73_m2}", "L/h/{1.73_m2}", None, 5.4),
        (150.0, "[lb_av]", "kg", None, 150 * 0.45359237),
        (70.0, "[in_i]", "cm", None, 177.8),
        (2.0, "a", "d", None, 730.5),
        (25.0, "kg/m2", "g/cm2", None, 2.5),
        (140.0, "meq/L", "eq/L", None, 0.14),
    ],
)
def test_sound_conversions(value: float, found: str, wanted: str, molar_mass: float | None, expected: float) -> None:
    made = conversion(found, wanted, molar_mass)
    assert made is not None
    assert math.isclose(made(value), expected, rel_tol=1e-9)
    np.testing.assert_allclose(made(np.array([value, value])), [expected] * 2, rtol=1e-9)
    back = conversion(wanted, found, molar_mass)
    assert back is not None
    assert math.isclose(back(made(value)), value, rel_tol=1e-12)


def test_a_tenth_is_a_division_so_that_decimals_stay_what_they_are() -> None:
    made = conversion("mg/L", "mg/dL")
    assert made is not None
    assert made(3.0) == 0.3


@pytest.mark.parametrize(
    ("found", "wanted", "molar_mass"),
    [
        ("mg/dL", "mmol/L", None),
        ("[IU]/L", "mg/L", None),
        ("[IU]/L", "mg/L", 100.0),
        ("[IU]/L", "mmol/L", 100.0),
        ("[IU]/L", "U/L", None),  # an international unit is no enzyme unit
        ("meq/L", "mmol/L", None),  # two for calcium
        ("mosm/kg", "mmol/kg", None),
        ("%", "mmol/mol", None),  # HbA1c: 7 % is 53 mmol/mol, not 70
        ("mmol/mol", "%", 64_500.0),
        ("ng/mL{FEU}", "ng/mL{DDU}", None),  # differ by two
        ("ng/mL{FEU}", "ug/L", None),
        ("mL/min/{1.73_m2}", "mL/min", None),
        ("mg/L", "10*9/L", 100.0),
        ("mg/L", "mg", None),
        ("Cel", "mg/L", None),
        ("g/Cel", "g/K", None),
        ("mCel", "Cel", None),
        ("mg/dl ", "mg/L", None),
        ("", "mg/L", None),
        ("mg/L", "", None),
        ("MG/DL", "mg/L", None),
        ("mL/min/1.73m2", "mL/min/m2", None),
        ("mL/min/1.73.m2", "mL/min/m2", None),
        ("1.73.g", "g", None),
        ("mg/", "mg", None),
        ("/", "1", None),
        (".mg", "mg", None),
        ("mg..L", "mg", None),
        ("(mg)/L", "g/L", None),
        ("mmmm[Hg]", "Pa", None),
    ],
)
def test_what_is_not_sound_or_not_known_is_not_converted(found: str, wanted: str, molar_mass: float | None) -> None:
    assert conversion(found, wanted, molar_mass) is None


@pytest.mark.parametrize("value", [0.1, 1e300, -0.0, 5e-324])
@pytest.mark.parametrize("unit", ["mg/L", "as the clinic says", "", "[degF]"])
def test_the_same_unit_changes_no_bit(unit: str, value: float) -> None:
    made = conversion(unit, unit)
    assert made is not None
    assert math.copysign(1, made(value)) == math.copysign(1, value)
    assert made(value) == value


@pytest.mark.parametrize(
    "text",
    [
        "10*99" * 8,
        "g" + "/L" * 10 + ".L" * 10,
        "10*99." * 6 + "g",
        "9" * 40,
        "m" * 100_000,
        "{" * 40,
        "[" * 40,
        "__import__('os')",
        "g**9**9**9",
        "1e999",
        "\0",
        "g\n",
    ],
)
def test_hostile_units_are_not_known_and_cost_nothing(text: str) -> None:
    start = time.perf_counter()
    for molar_mass in (None, 1e-9):
        assert conversion(text, "g", molar_mass) is None
    assert time.perf_counter() - start < 0.5


def test_not_every_unit_that_a_table_ever_had_is_remembered() -> None:
    assert conversion.cache_info().maxsize == read_unit.cache_info().maxsize == KEPT
