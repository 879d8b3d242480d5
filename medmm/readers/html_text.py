"""The text that a reader of an HTML page would see, in one pass whose time grows with the page's length only.

The parser of the standard library takes minutes for a megabyte of tags that are never closed. Here such a page is refused.
"""

import html
import re

from medmm.errors import Rejected
from medmm.readers.facts import malformed

UNSEEN = ("script", "style", "head", "template", "title", "textarea", "noscript")
BREAKS = ("br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "hr", "dt", "dd")
TAG = re.compile(r"""/?([A-Za-z][A-Za-z0-9]*+)(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
DECLARATION = re.compile(r"[!?/]")


def text_of(page: str) -> str:
    """Give the text of a page: a line for each block, without scripts, styles and comments.

    Raises:
        Rejected: MALFORMED where a tag, a comment or a script is never closed: what follows may be text or not.
    """
    parts: list[str] = []
    lower = page.lower() if page.isascii() else "".join(letter.lower() if letter < "\x80" else letter for letter in page)
    place = 0
    while (mark := page.find("<", place)) >= 0:
        parts.append(html.unescape(page[place:mark]))
        if page.startswith("<!--", mark):
            place = _after("-->", lower, mark)
        elif tag := TAG.match(page, mark + 1):
            name, place = tag.group(1).lower(), tag.end()
            if name in BREAKS:
                parts.append("\n")
            elif name in UNSEEN and page[mark + 1] != "/" and page[place - 2] != "/":
                place = _after(">", lower, _after(f"</{name}", lower, place))
        elif DECLARATION.match(page, mark + 1):
            place = _after(">", lower, mark)
        elif page[mark + 1 : mark + 2].isalpha():
            raise _unclosed()
        else:
            parts.append("<")
            place = mark + 1
    parts.append(html.unescape(page[place:]))
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _after(end: str, page: str, place: int) -> int:
    found = page.find(end, place)
    if found < 0:
        raise _unclosed()
    return found + len(end)


def _unclosed() -> Rejected:
    return malformed("an attachment", "HTML that is never closed", "a whole page")
