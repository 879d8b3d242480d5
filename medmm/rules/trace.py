"""The rules that fired for a study, as cells of a result."""

from collections.abc import Mapping, Sequence

from medmm.types import Firing

RULES = "rules"
MESSAGES = {"flags": "flag", "alerts": "alert"}
"""Column of messages -> the effect of rules that they come from."""

TRACE = (RULES, *MESSAGES)


def traced(fired: Sequence[Firing]) -> dict[str, list[str]]:
    """Give all rules that fired, each with what it did, and the messages among them."""
    messages = {column: [str(one) for one in fired if one.effect == effect] for column, effect in MESSAGES.items()}
    return {RULES: [str(one) for one in fired], **messages}


def fired_of(row: Mapping[str, object]) -> list[str]:
    """Name the rules that fired for a study, by its row of a result."""
    cells = row.get(RULES, ())
    assert isinstance(cells, Sequence)
    return [str(cell).partition(":")[0] for cell in cells]
