"""The worklist: scored studies on one page, the highest risk first, and those that were rejected with the repair.

It knows nothing of how its parts were made: it is given sentences, entries and pictures. It is written piece by piece, so that
no page stands in memory. Light and dark, for the screen, the phone and paper; contrast of every text is at least 4.5 to 1 (WCAG
2, level AA), and what a colour says is said by a word too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from medmm.preview.page import CLOSING, opening, plain
from medmm.preview.thumbnails import Thumbnail
from medmm.preview.worklist_card import card
from medmm.preview.worklist_entries import Entry, Head, Refused
from medmm.preview.worklist_style import STYLE
from medmm.preview.worklist_text import MOST_LETTERS, MOST_SENTENCE, identified, short

BANNER = "Research software, not a medical device: not for use in the care of a patient."


def worklist_page(
    head: Head,
    shown: Iterable[tuple[Entry, Sequence[Thumbnail], str]],
    listed: Sequence[Entry],
    cut: str,
    refused: Sequence[Refused],
    refused_note: str,
    made: str,
) -> Iterator[str]:
    """Give the page in pieces.

    Args:
        head: What stands on top.
        shown: Studies with their pictures, and a word where some are missing, in the order of their risk.
        listed: The studies behind them, a row each.
        cut: Says how many more there are; "" for none.
        refused: Rejected studies.
        refused_note: How many by code, in a sentence.
        made: How it was made, in a line at its end.
    """
    yield opening(head.title[:MOST_LETTERS], STYLE)
    yield f'<p class="banner" role="note"><strong>Research use only.</strong> {plain(BANNER)}</p>'
    yield f'<header><h1>{short(head.title)}</h1><p class="soft">{short(head.facts, MOST_SENTENCE)}</p></header>{_counts(head)}'
    says = "".join(f"<li>{short(one, MOST_SENTENCE)}</li>" for one in head.says)
    yield f'<section class="says"><h2 id="reading">How to read this page</h2><ul>{says}</ul></section>'
    yield '<main><section aria-labelledby="studies"><h2 id="studies">Studies, the highest risk first</h2><ol class="cards">'
    place = 0
    for place, (entry, pictures, missing) in enumerate(shown, 1):
        yield card(place, entry, pictures, missing, head.unit)
    yield "</ol>" + ("" if place else "<p>No study was scored.</p>") + "</section>"
    if listed or cut:
        yield '<section aria-labelledby="further"><h2 id="further">Further studies, in the same order</h2>'
        yield _table(("place", "study", "patient", "answer", "said", "abstains", "inputs"), "further")
        for place, entry in enumerate(listed, place + 1):  # noqa: B020
            yield _row(place, entry)
        yield f"</tbody></table></div>{_note(cut)}</section>"
    if refused:
        yield '<section aria-labelledby="rejected"><h2 id="rejected">Rejected studies, which have no answer</h2>'
        yield _note(refused_note) + _table(("study", "patient", "row", "code", "reason", "what to do"), "rejected")
        for one in refused:
            cells = (identified(one.study), identified(one.patient), str(one.row), f"<code>{short(one.code)}</code>")
            texts = (short(one.reason, MOST_SENTENCE), short(one.repair, MOST_SENTENCE))
            yield _cells(cells[0], (*cells[1:], *texts))
        yield "</tbody></table></div></section>"
    yield f"</main><footer><p>{short(made, MOST_SENTENCE)}</p><p>{plain(BANNER)}</p></footer>" + CLOSING


def _counts(head: Head) -> str:
    names = [f'<a href="#{anchor}">{short(what)}</a>' if anchor else short(what) for _, what, anchor in head.counts]
    items = "".join(
        f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, (count, _, _) in zip(names, head.counts, strict=True)
    )
    return f'<dl class="counts">{items}</dl>'


def _row(place: int, one: Entry) -> str:
    first = one.lines[0]
    said = "" if first.decided is None else "yes" if first.decided else "no"
    abstains = f"yes: {'; '.join(one.why)}" if one.abstains else "no"
    answer = f"{short(first.value)} {short(first.name)}"
    texts = (str(place), identified(one.patient), answer, said, short(abstains, MOST_SENTENCE), short(", ".join(one.inputs)))
    return _cells(identified(one.study), texts[1:], texts[0], "abstains" if one.abstains else "")


def _table(columns: Sequence[str], labelled: str) -> str:
    heads = "".join(f'<th scope="col">{plain(one)}</th>' for one in columns)
    return f'<div class="wide"><table class="rows" aria-labelledby="{labelled}"><thead><tr>{heads}</tr></thead><tbody>\n'


def _cells(head: str, texts: Sequence[str], before: str = "", kind: str = "") -> str:
    """Give a row of texts that are HTML already; its study is the head of the row."""
    front = f"<td>{before}</td>" if before else ""
    cells = "".join(f"<td>{text}</td>" for text in texts)
    return f'<tr{f" class={kind}" if kind else ""}>{front}<th scope="row">{head}</th>{cells}</tr>\n'


def _note(text: str) -> str:
    return f'<p class="note">{short(text, MOST_SENTENCE)}</p>' if text else ""
