"""How often each rule fires, part by part."""

from collections.abc import Mapping, Sequence

import pandas as pd

from medmm.rules.book import Rulebook
from medmm.rules.logic import truth, values_of
from medmm.types import Study


def fired(book: Rulebook, study: Study) -> list[str]:
    """Name the rules that fire for a study, as `Rulebook.before` gave it."""
    before = [one.rule for one in study.fired]
    return before + [one.rule.name for one in book.later() if one.fires(study)]


def tally(book: Rulebook, studies: Sequence[Study], parts: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Give one row a rule: its name, what it does, and for how many studies of each part it fires.

    Args:
        book: The rules.
        studies: As `Rulebook.before` gave them.
        parts: Name -> indices of its studies.
    """
    counts = {part: [name for i in rows for name in fired(book, studies[i])] for part, rows in parts.items()}
    return pd.DataFrame(
        {
            "rule": one.rule.name,
            "effect": one.rule.then.effect,
            **{part: names.count(one.rule.name) for part, names in counts.items()},
        }
        for one in book.rules
    )


def untold(book: Rulebook, studies: Sequence[Study]) -> dict[str, int]:
    """Count, rule by rule, the studies of which an absent value leaves open whether it fires."""
    return {one.rule.name: sum(truth(one.condition, values_of(study)) is None for study in studies) for one in book.rules}
