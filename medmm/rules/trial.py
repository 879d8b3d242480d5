"""The tests of rules: each example beside what the rule makes of it."""

import math
from dataclasses import dataclass

from medmm.rules.book import moved
from medmm.rules.columns import Column, Columns, bind, convert
from medmm.rules.condition import ConditionError, Quantity, Ref, parse_column, parse_condition, parse_quantity
from medmm.rules.faults import Fault, RulesError, Source
from medmm.rules.logic import truth
from medmm.rules.settings import Rule, RuleTest
from medmm.tables import nearest

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Trial:
    """How one example ended.

    Attributes:
        rule: Name of the rule.
        test: Number of the example, from 1.
        failure: What was found against what the example says; "" where they agree.
    """

    rule: str
    test: int
    failure: str


def try_rules(rules: tuple[Rule, ...], columns: Columns, source: Source | None = None) -> list[Trial]:
    """Run every test of every rule.

    Raises:
        RulesError: An example gives a column what it cannot hold.
    """
    faults: list[Fault] = []
    trials: list[Trial] = []
    for i, rule in enumerate(rules):
        for j, test in enumerate(rule.tests):
            given: dict[str, str | None] = {}
            for name, value in test.given.items():
                try:
                    ref = parse_column(name)
                    given[ref.name] = _cell(value, ref, columns.pick(ref))
                except ConditionError as reason:
                    faults.append(Fault((i, "tests", j, "given", name), str(reason), reason.offset))
            trials.append(Trial(rule.name, j + 1, _failure(rule, test, given, columns)))
    if faults:
        raise RulesError(faults, source)
    return trials


def _failure(rule: Rule, test: RuleTest, given: dict[str, str | None], columns: Columns) -> str:
    condition = bind(parse_condition(rule.when), columns)
    sources = {name.partition(".")[0] for name, cell in given.items() if cell is not None}

    def value(ref: Ref) -> str | None:
        if not ref.column:  # an input is there where a column of it is given
            return "present" if ref.source in sources else None
        return given.get(ref.name)

    answer = truth(condition, value)
    if (answer is True) != test.fires:
        found = {True: "fires", False: "does not fire", None: "cannot be told, and so does not fire"}[answer]
        return f"it {found}, expected {'that it fires' if test.fires else 'that it does not'}"
    if test.probability is not None and test.becomes is not None:
        found_probability = moved(rule, test.probability) if answer else test.probability
        if not math.isclose(found_probability, test.becomes, abs_tol=TOLERANCE):
            return f"{test.probability:g} becomes {found_probability:g}, expected {test.becomes:g}"
    return ""


def _cell(value: str | int | float | None, ref: Ref, column: Column) -> str | None:
    """Give what the table would hold.

    Raises:
        ConditionError: The column cannot hold it.
    """
    if value is None:
        return None
    if column.kind != "number":
        text = str(value).strip()
        if column.categories and text not in column.categories:
            raise ConditionError(f"{ref.name} has no category {text!r}: {nearest(text, column.categories)}")
        return text or None
    quantity = parse_quantity(value) if isinstance(value, str) else Quantity(float(value))
    found = convert(quantity, ref, column).value
    if column.range and not column.range[0] <= found <= column.range[1]:
        low, high = column.range
        raise ConditionError(f"{found:g} lies outside the range of {ref.name}, {low:g} to {high:g}: such a cell is rejected")
    return repr(found)
