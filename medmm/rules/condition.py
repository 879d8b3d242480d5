"""The condition of a rule: a tiny closed language that is parsed, and never evaluated as code.

Its words: `all(..., ...)`, `any(..., ...)`, `not(...)`, `missing(column)`, `known(column)`, `column >= 200 mg/L` (or <, <=, >),
`column between 3 mmol/L and 5 mmol/L`, `column is "male"`, `column is not "male"`, `column in ("a", "b")`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from medmm.errors import ConfigError
from medmm.tables import nearest

LONGEST = 2000
DEEPEST = 12

GRAMMAR = r"""
?condition: ALL "(" condition ("," condition)* ")" -> every
    | ANY "(" condition ("," condition)* ")" -> some
    | NOT "(" condition ")" -> negation
    | MISSING "(" column ")" -> missing
    | KNOWN "(" column ")" -> known
    | column COMPARISON quantity -> compare
    | column BETWEEN quantity AND quantity -> between
    | column IS TEXT -> same
    | column IS_NOT TEXT -> other
    | column IN "(" TEXT ("," TEXT)* ")" -> same
column: NAME ("." (NAME | TEXT))*
quantity: NUMBER [UNIT]

ALL.2: /all(?=\s*\()/
ANY.2: /any(?=\s*\()/
NOT.2: /not(?=\s*\()/
MISSING.2: /missing(?=\s*\()/
KNOWN.2: /known(?=\s*\()/
BETWEEN: "between"
AND: "and"
IS_NOT.3: /is\s+not\b/
IS.2: /is\b/
IN: /in\b/
COMPARISON: /<=|>=|<|>/
NAME: /[^\W\d]\w*/
TEXT: /"[^"]*"|'[^']*'/
NUMBER: /[+-]?\d+(\.\d+)?([eE][+-]?\d+)?/
UNIT: /[^\s(),"'<>=]+/
%ignore /\s+/
"""

WORDS = {
    "ALL": "all(", "ANY": "any(", "NOT": "not(", "MISSING": "missing(", "KNOWN": "known(", "BETWEEN": "between", "AND": "and",
    "IS": "is", "IS_NOT": "is not", "IN": "in", "COMPARISON": "<, <=, > or >=", "NAME": "a column such as labs.crp",
    "TEXT": "a text in quotes", "NUMBER": "a number", "UNIT": "a unit", "LPAR": "an opening bracket",
    "RPAR": "a closing bracket", "COMMA": "a comma", "$END": "the end",
}  # fmt: skip
"""Terminal of the grammar -> what is said of it."""

FUNCTIONS = ("all", "any", "not", "missing", "known")

Comparison: TypeAlias = Literal["<", "<=", ">", ">="]


class ConditionError(ConfigError):
    """A condition that cannot be used, and at which of its characters."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True)
class Ref:
    """A column as a condition names it.

    Attributes:
        source: The input, or `study` for the studies table.
        column: The feature; "" where the whole input is meant.
        offset: Where the name stands.
    """

    source: str
    column: str
    offset: int = 0

    @property
    def name(self) -> str:
        """Both, as `labs.crp`."""
        return f"{self.source}.{self.column}" if self.column else self.source


@dataclass(frozen=True)
class Quantity:
    """A number with its unit; "" where it has none."""

    value: float
    unit: str = ""
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}".strip()


@dataclass(frozen=True)
class Every:
    """All of the parts."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """Any of the parts."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The contrary."""

    part: Condition


@dataclass(frozen=True)
class Known:
    """Whether there is a value, or, negated, none."""

    ref: Ref
    negated: bool = False


@dataclass(frozen=True)
class Compare:
    """A number beside a limit."""

    ref: Ref
    comparison: Comparison
    limit: Quantity


@dataclass(frozen=True)
class Between:
    """A number between two limits, both included."""

    ref: Ref
    low: Quantity
    high: Quantity


@dataclass(frozen=True)
class Same:
    """A text that is one of some, or, negated, none of them; with the place of each."""

    ref: Ref
    texts: tuple[str, ...]
    offsets: tuple[int, ...]
    negated: bool = False


Condition: TypeAlias = Every | Some | Not | Known | Compare | Between | Same
Leaf: TypeAlias = Known | Compare | Between | Same


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises:
        ConditionError: It is none; says at which character, what was found and what was expected.
    """
    return _condition(_parsed(text, "condition"), 0)


def parse_column(text: str) -> Ref:
    """Parse the name of a column.

    Raises:
        ConditionError: It is none.
    """
    return _ref(_parsed(text, "column"))


def parse_quantity(text: str) -> Quantity:
    """Parse a number with or without a unit.

    Raises:
        ConditionError: It is none.
    """
    return _quantity(_parsed(text, "quantity"))


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Give the comparisons of a condition from left to right."""
    if isinstance(condition, Every | Some):
        for part in condition.parts:
            yield from leaves(part)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    else:
        yield condition


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", start=["condition", "column", "quantity"], maybe_placeholders=False)


def _parsed(text: str, start: str) -> Tree[Token]:
    if len(text) > LONGEST:
        raise ConditionError(f"{len(text):,} characters, at most {LONGEST:,} are read: make two rules of it")
    try:
        return _parser().parse(text, start=start)
    except UnexpectedCharacters as fault:
        offset = int(fault.pos_in_stream or 0)
        raise ConditionError(_unexpected(repr(text[offset]), fault.allowed or set()), offset) from None
    except UnexpectedToken as fault:
        if fault.token.type == "$END":
            raise ConditionError(_unexpected("the end", fault.accepts or fault.expected), len(text.rstrip())) from None
        offset = int(fault.pos_in_stream or 0)
        word = re.search(r"(\w+)\s*$", text[:offset])
        if fault.token.type == "LPAR" and word:
            raise ConditionError(f"no such word as {word[1]!r}: {nearest(word[1], FUNCTIONS)}", word.start()) from None
        joined = {"and": "; write all(..., ...)", "or": "; write any(..., ...)"}.get(str(fault.token), "")
        message = _unexpected(repr(str(fault.token)), fault.accepts or fault.expected)
        raise ConditionError(message + joined, offset) from None


def _unexpected(found: str, expected: set[str]) -> str:
    return f"found {found}, expected {' or '.join(words for name, words in WORDS.items() if name in expected)}"


def _condition(tree: Tree[Token], depth: int) -> Condition:
    first = tree.children[0]
    if depth > DEEPEST:
        raise ConditionError(f"nested deeper than {DEEPEST}: make two rules of it", _offset(first))
    inner = [one for one in tree.children if isinstance(one, Tree)]
    if tree.data in ("every", "some", "negation"):
        parts = tuple(_condition(one, depth + 1) for one in inner)
        return Not(parts[0]) if tree.data == "negation" else (Every if tree.data == "every" else Some)(parts)
    ref, *quantities = inner
    limits = [_quantity(one) for one in quantities]
    if tree.data in ("missing", "known"):
        return Known(_ref(ref), negated=tree.data == "missing")
    if tree.data == "compare":
        return Compare(_ref(ref), cast(Comparison, str(tree.children[1])), limits[0])
    if tree.data == "between":
        return Between(_ref(ref), *limits)
    texts = [one for one in tree.children if isinstance(one, Token) and one.type == "TEXT"]
    return Same(_ref(ref), tuple(str(one)[1:-1] for one in texts), tuple(map(_offset, texts)), negated=tree.data == "other")


def _ref(tree: Tree[Token]) -> Ref:
    names = [str(one)[1:-1] if cast(Token, one).type == "TEXT" else str(one) for one in tree.children]
    return Ref(names[0], ".".join(names[1:]), _offset(tree.children[0]))


def _quantity(tree: Tree[Token]) -> Quantity:
    number, *unit = (str(one) for one in tree.children)
    offset = _offset(tree.children[0])
    if not math.isfinite(float(number)):
        raise ConditionError("the number is too large", offset)
    return Quantity(float(number), unit[0] if unit else "", offset)


def _offset(one: Tree[Token] | Token) -> int:
    while isinstance(one, Tree):
        one = one.children[0]
    return int(one.start_pos or 0)
