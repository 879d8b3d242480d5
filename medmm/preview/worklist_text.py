"""Texts of others on a worklist: shown as they are, whatever they hold, but none of them long."""

from medmm.preview.page import plain

MOST_LETTERS = 120
"""Of an identifier or a name on the page; a longer one is cut."""

MOST_SENTENCE = 600
"""Letters of a sentence."""


def short(text: str, most: int = MOST_LETTERS) -> str:
    """Give a text as HTML, cut where it is longer than so many letters."""
    return plain(text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}")


def identified(text: str) -> str:
    """Give an identifier as HTML, apart from the direction of the text around it."""
    return f'<bdi class="id">{short(text)}</bdi>' if text else '<span class="soft">none</span>'
