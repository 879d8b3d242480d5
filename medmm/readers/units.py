"""Units of measurement by their UCUM codes, and sound conversion between them.

A unit comes from a cell, so pint never parses it: a closed table says which codes are known and what they are in pint.

Source: The Unified Code for Units of Measure, version 2.2, https://ucum.org/ucum.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.float64])

METRIC = {
    "g": "gram",
    "L": "liter",
    "l": "liter",
    "m": "meter",
    "s": "second",
    "mol": "mole",
    "eq": "equivalent",
    "osm": "osmole",
    "U": "enzyme_unit",
    "kat": "katal",
    "[IU]": "international_unit",
    "[iU]": "international_unit",
    "m[Hg]": "1000 * mmHg",
    "m[H2O]": "1000 * mmH2O",
    "Pa": "pascal",
    "bar": "bar",
    "N": "newton",
    "J": "joule",
    "cal": "calorie",
    "W": "watt",
    "V": "volt",
    "A": "ampere",
    "Ohm": "ohm",
    "Hz": "hertz",
    "K": "kelvin",
    "Bq": "becquerel",
    "Gy": "gray",
    "Sv": "sievert",
}
"""Codes that take a prefix -> pint."""

PLAIN = {
    "min": "minute",
    "h": "hour",
    "d": "day",
    "wk": "7 * day",
    "mo": "30.4375 * day",
    "a": "365.25 * day",
    "%": "0.01",
    "[ppth]": "0.001",
    "[ppm]": "0.000001",
    "[pH]": "acidity",
    "[in_i]": "inch",
    "[ft_i]": "foot",
    "[lb_av]": "pound",
    "[oz_av]": "ounce",
    "[CFU]": "colony",
}
"""Codes that take none."""

AFFINE = {"Cel": "degree_Celsius", "[degF]": "degree_Fahrenheit", "K": "kelvin"}
"""Temperatures: their zeros differ, so they stand alone."""

PREFIXES = {
    "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12,
    "f": -15,
}  # fmt: skip
"""Prefix -> power of ten; both signs for micro are no UCUM, but mean nothing else."""

COUNTED = {"{cells}", "{cell}", "{count}", "{beats}", "{beat}", "{breaths}", "{#}"}
"""Annotations that only say what is counted. Any other must be the same on both sides: {FEU} and {DDU} differ by two."""

OWN = (
    "international_unit = [international_activity]",  # of each substance something else: never a mass, never an enzyme unit
    "equivalent = [charge]",  # moles times the charge of the ion
    "osmole = [osmotic]",
    "acidity = [acidity]",
    "colony = [colonies]",
)

LONGEST = 40
KEPT = 1024  # cells may hold anything, so not all of it is remembered
FLOAT_BITS = 1000
_turn = threading.Lock()  # for the registry of pint
LETTERS = r"[^\d./{}()*^+\-\[\]]"
PART = re.compile(
    r"(?P<divide>[./]?)"
    r"(?:10[*^](?P<ten>[+-]?\d{1,2})"
    r"|(?P<whole>\d{1,6})(?!\.?\d)"  # 1.73 is no number of UCUM, which would read it as 1 times 73
    rf"|(?P<code>{LETTERS}*\[[^\[\]]*\]|{LETTERS}+)(?P<power>[+-]?\d)?)?"
    r"(?P<note>\{[^{}]*\})?"
)


@dataclass(frozen=True)
class Conversion:
    """How a number in one unit becomes a number in another: times `times`, by `over`, plus `offset`."""

    times: float = 1.0
    over: float = 1.0
    offset: float = 0.0

    def __call__(self, value: Number) -> Number:
        """Convert a number or an array of numbers."""
        scaled = value * self.times / self.over
        return scaled + self.offset if self.offset else scaled


@dataclass(frozen=True)
class Unit:
    """A unit as read.

    Attributes:
        quantity: Of pint.
        notes: Annotations that tell quantities apart.
        fraction_of_amount: Amount by amount: HbA1c in mmol/mol is not its percentage of mass, though both are numbers.
    """

    quantity: Any
    notes: tuple[str, ...]
    fraction_of_amount: bool


@lru_cache(KEPT)
def conversion(found: str, wanted: str, molar_mass: float | None = None) -> Conversion | None:
    """Give how a number in one unit becomes a number in another; None where it soundly cannot.

    Args:
        found: UCUM code of what stands there.
        wanted: UCUM code of what it should be.
        molar_mass: g/mol of the substance, where mass and amount may become each other.
    """
    if found == wanted:
        return Conversion()
    with _turn:
        return _converted(found, wanted, molar_mass)


def _converted(found: str, wanted: str, molar_mass: float | None) -> Conversion | None:
    if found in AFFINE and wanted in AFFINE:
        zero, one = (_registry().Quantity(Fraction(n), AFFINE[found]).to(AFFINE[wanted]).magnitude for n in (0, 1))
        return _made(one - zero, zero)
    first, second = read_unit(found), read_unit(wanted)
    if first is None or second is None or first.notes != second.notes or first.fraction_of_amount != second.fraction_of_amount:
        return None
    ratio = _bridged((first.quantity / second.quantity).to_base_units(), molar_mass)
    return _made(ratio.magnitude) if ratio.dimensionless else None


def _bridged(ratio: Any, molar_mass: float | None) -> Any:
    """Take the molar mass out of a ratio of mass and amount, so that a pure number is left."""
    if molar_mass is None:
        return ratio
    per_mole = _registry().Quantity(Fraction(str(molar_mass)), "gram / mole")
    if ratio.check("[mass] / [substance]"):
        return (ratio / per_mole).to_base_units()
    return (ratio * per_mole).to_base_units() if ratio.check("[substance] / [mass]") else ratio


@lru_cache(KEPT)
def read_unit(code: str) -> Unit | None:
    """Read a UCUM code; None where it is not known. Terms in brackets and temperatures beside others are not."""
    if not code or len(code) > LONGEST:
        return None
    quantity = _registry().Quantity(Fraction(1), "")
    notes: list[str] = []
    place, amounts = 0, Counter[bool]()
    while place < len(code):
        part = PART.match(code, place)
        if part is None or part.end() == place or (place and not part["divide"]) or part["divide"] == part[0]:
            return None
        factor = _factor(part)
        if factor is None or (part["divide"] == "." and not place):
            return None
        over = part["divide"] == "/"
        amounts[over] += factor.check("[substance]")
        quantity = quantity / factor if over else quantity * factor
        if part["note"] and part["note"] not in COUNTED:
            notes.append(part["note"])
        place = part.end()
    return Unit(quantity, tuple(notes), bool(amounts[True] and amounts[False]))


def _factor(part: re.Match[str]) -> Any:
    registry = _registry()
    if part["ten"]:
        return registry.Quantity(Fraction(10) ** int(part["ten"]), "")
    if part["whole"]:
        return registry.Quantity(Fraction(part["whole"]), "")
    if not part["code"]:
        return registry.Quantity(Fraction(1), "")
    found = _atom(part["code"])
    return None if found is None else found ** int(part["power"] or 1)


def _atom(code: str) -> Any:
    registry = _registry()
    for names in (PLAIN, METRIC):
        if code in names:
            return registry.parse_expression(names[code]) * registry.Quantity(Fraction(1), "")
    for prefix, power in PREFIXES.items():
        rest = code.removeprefix(prefix)
        if rest != code and rest in METRIC:
            return registry.parse_expression(METRIC[rest]) * Fraction(10) ** power
    return None


def _made(factor: Fraction, offset: Fraction = Fraction(0)) -> Conversion | None:
    if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > FLOAT_BITS:
        return None
    return Conversion(float(factor.numerator), float(factor.denominator), float(offset))


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)
    for definition in OWN:
        registry.define(definition)
    return registry
