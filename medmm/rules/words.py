"""A rule in plain words, for the person who has to agree to it."""

from medmm.rules.book import limits
from medmm.rules.condition import Between, Compare, Condition, Every, Known, Not, Some, parse_condition
from medmm.rules.settings import Bound, Rule, Then

COMPARED = {"<": "below", "<=": "at most", ">": "above", ">=": "at least"}
MOVED = {"floor": "at least ", "ceiling": "at most ", "override": ""}


def in_words(rule: Rule, class_name: str | None = None) -> str:
    """Give one sentence.

    Args:
        rule: The rule.
        class_name: Of which it speaks where it does not say so itself.
    """
    return f"when {_when(parse_condition(rule.when))}, {_then(rule.then, class_name)}"


def _when(condition: Condition) -> str:
    if isinstance(condition, Every | Some):
        parts = [_inner(part) for part in condition.parts]
        return (" and " if isinstance(condition, Every) else " or ").join(parts)
    if isinstance(condition, Not):
        return f"not {_inner(condition.part)}"
    name = condition.ref.name
    if isinstance(condition, Known):
        return f"{name} is {'missing' if condition.negated else 'known'}"
    if isinstance(condition, Compare):
        return f"{name} is {COMPARED[condition.comparison]} {condition.limit}"
    if isinstance(condition, Between):
        return f"{name} is between {condition.low} and {condition.high}"
    return f"{name} is {'not ' if condition.negated else ''}{' or '.join(condition.texts)}"


def _inner(condition: Condition) -> str:
    return f"({_when(condition)})" if isinstance(condition, Every | Some) and len(condition.parts) > 1 else _when(condition)


def _then(then: Then, class_name: str | None) -> str:
    if then.reject is not None:
        return f"the input {then.reject} is not used"
    if then.flag is not None:
        return f"the study is flagged: {then.flag}"
    if then.alert is not None:
        return f"the answer carries the alert: {then.alert}"
    assert then.bound is not None
    return _of_class(then, f"the probability of {then.bound.class_ or class_name or 'the positive class'}")


def _of_class(then: Then, of: str) -> str:
    if then.penalty is not None:
        low, high = limits(then.penalty)
        side = f"below {low:g}" if then.penalty.at_least is not None else f"above {high:g}"
        return f"the training penalises {of} {side} (weight {then.penalty.weight:g})"
    assert isinstance(then.bound, Bound)
    return f"{of} becomes {MOVED[then.effect]}{then.bound.probability:g}"
