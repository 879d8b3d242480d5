"""Named choices, written by hand: nothing registers itself, and a wrong name gets a helpful refusal."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from medmm.errors import ConfigError

T = TypeVar("T")


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, else list them all."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(words)}"


class Table(Mapping[str, T]):
    """A mapping from the names that a run file may use to what they stand for.

    Args:
        noun: What an entry is, for the refusal: "fusion", "input kind".
        entries: One line per choice.
    """

    def __init__(self, noun: str, entries: Mapping[str, T]) -> None:
        self._noun = noun
        self._entries = dict(entries)

    def pick(self, name: str) -> T:
        """Give the entry of this name.

        Raises:
            ConfigError: No such name; the message names the nearest one, or all of them.
        """
        if name not in self._entries:
            raise ConfigError(f"no {self._noun} is called {name!r}: {nearest(name, self._entries)}")
        return self._entries[name]

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
