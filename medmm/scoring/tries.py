"""How often a piece of work was begun, kept apart from the process that might be lost with it. Loads nothing heavy."""

from collections import Counter

TRIES = 3
"""How often a lot is begun whose actor was lost with it, before it is left to the driver, which makes it smaller."""


class Tries:
    """Counts how often each lot was begun."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, lot: str) -> bool:
        """Count one more try, and tell whether it may be made."""
        self._begun[lot] += 1
        return self._begun[lot] <= TRIES
