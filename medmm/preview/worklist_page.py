"""The worklist: scored studies on one page, the highest risk first, and those that were rejected with the repair.

It knows nothing of how its parts were made: it is given sentences, entries and pictures. It is written piece by piece, so that
no page stands in memory. Light and dark, for the screen, the phone and paper; contrast of every text is at least 4.5 to 1 (WCAG
2, level AA), and what a colour says is said by a word too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from medmm.preview.page import CLOSING, opening, plain
from medmm.preview.thumbnails import Thumbnail
from medmm.preview.worklist_style import STYLE

MOST_LETTERS = 120
"""Of an identifier or a name on the page; a longer one is cut."""

MOST_SENTENCE = 600
"""Letters of a sentence."""

BANNER = "Research software, not a medical device: not for use in the care of a patient."


@dataclass(frozen=True)
class Line:
    """One answer to a study.

    Attributes:
        name: What is asked about.
        value: The answer, as text.
        share: It as a length from 0 to 1; None for one that has no such length.
        threshold: From which on it is said, from 0 to 1; None for one without.
        decided: Whether it is said; None where nothing decides.
    """

    name: str
    value: str
    share: float | None = None
    threshold: float | None = None
    decided: bool | None = None


@dataclass(frozen=True)
class Entry:
    """One scored study.

    Attributes:
        patient: Its identifier, as in the results.
        study: Likewise.
        lines: Answers, at least one, the one that matters most first.
        more: Answers that are not among them.
        abstains: Whether no answer should be relied on.
        why: The reasons.
        remaining: What cannot be ruled out, in words; "" where nobody knows.
        inputs: Which the study has.
        absent: Which it lacks.
        adds: Input -> what it adds to the answer; None where that is not known.
        adds_for: The answer that is spoken of.
        alerts: What rules say of it.
    """

    patient: str
    study: str
    lines: tuple[Line, ...]
    more: int = 0
    abstains: bool = False
    why: tuple[str, ...] = ()
    remaining: str = ""
    inputs: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    adds: tuple[tuple[str, float | None], ...] = ()
    adds_for: str = ""
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """One study that must not be scored: why, and the repair."""

    patient: str
    study: str
    row: int
    code: str
    reason: str
    repair: str


@dataclass(frozen=True)
class Head:
    """What stands on top.

    Attributes:
        title: Headline.
        facts: Sentence below it.
        counts: Number, what it counts, and the anchor of the part that shows it or "".
        says: How to read the page, in sentences.
        unit: Of what inputs add.
    """

    title: str
    facts: str
    counts: Sequence[tuple[int, str, str]]
    says: Sequence[str]
    unit: str = "log odds"


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
    yield f'<header><h1>{_cut(head.title)}</h1><p class="soft">{_cut(head.facts, MOST_SENTENCE)}</p></header>{_counts(head)}'
    says = "".join(f"<li>{_cut(one, MOST_SENTENCE)}</li>" for one in head.says)
    yield f'<section class="says"><h2 id="reading">How to read this page</h2><ul>{says}</ul></section>'
    yield '<main><section aria-labelledby="studies"><h2 id="studies">Studies, the highest risk first</h2><ol class="cards">'
    place = 0
    for place, (entry, pictures, missing) in enumerate(shown, 1):
        yield _card(place, entry, pictures, missing, head.unit)
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
            cells = (_id(one.study), _id(one.patient), str(one.row), f"<code>{_cut(one.code)}</code>")
            texts = (_cut(one.reason, MOST_SENTENCE), _cut(one.repair, MOST_SENTENCE))
            yield _cells(cells[0], (*cells[1:], *texts))
        yield "</tbody></table></div></section>"
    yield f"</main><footer><p>{_cut(made, MOST_SENTENCE)}</p><p>{plain(BANNER)}</p></footer>" + CLOSING


def _counts(head: Head) -> str:
    names = [f'<a href="#{anchor}">{_cut(what)}</a>' if anchor else _cut(what) for _, what, anchor in head.counts]
    items = "".join(
        f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, (count, _, _) in zip(names, head.counts, strict=True)
    )
    return f'<dl class="counts">{items}</dl>'


def _card(place: int, one: Entry, pictures: Sequence[Thumbnail], missing: str, unit: str) -> str:
    first = one.lines[0]
    kind = "study abstains" if one.abstains else "study said" if first.decided else "study"
    figures = "".join(_figure(picture) for picture in pictures)
    word = f'<p class="none">{_cut(missing)}</p>' if missing else ""
    facts = [("Alerts", one.alerts), ("Inputs", one.inputs), ("Absent", one.absent)]
    listed = [(name, "; ".join(texts)) for name, texts in facts if texts]
    if one.remaining:
        listed.insert(0, ("Still possible", one.remaining))
    if one.why:
        listed.insert(0, ("Why", "; ".join(one.why)))
    facts_said = "".join(f"<dt>{name}</dt><dd>{_cut(text, MOST_SENTENCE)}</dd>" for name, text in listed)
    return (
        f'<li class="{kind}"><article aria-labelledby="s{place}">'
        f'<div class="name"><span class="place">{place}</span><h3 id="s{place}">{_id(one.study)}</h3>'
        f'<p class="soft">Patient {_id(one.patient)}</p></div>'
        f'<div class="pictures{" one" if len(pictures) == 1 else ""}">{figures}{word}</div>'
        f'<div class="answer">{_verdict(one)}<dl>{facts_said}</dl></div>'
        f'<div class="adds">{_adds(one, unit)}</div></article></li>\n'
    )


def _verdict(one: Entry) -> str:
    """Give the first answer large, with its bar; that of a study which abstains is not."""
    first, *others = one.lines
    verdict = "" if first.decided is None else f'<span class="tag {_tone(first)}">{_decision(first)}</span>'
    if one.abstains:
        verdict = '<span class="tag warn">No answer to rely on</span>'
    words = {None: "", True: ": yes", False: ": no"}
    rest = "".join(f"<li>{_cut(line.name)} <b>{_cut(line.value)}</b>{words[line.decided]}</li>" for line in others)
    rest += f"<li>and {one.more} more</li>" if one.more else ""
    beside = f'<span class="soft">{"the model says for " if one.abstains else ""}{_cut(first.name)}</span>'
    return f'<p class="value"><span class="big">{_cut(first.value)}</span> {beside}</p>{_scale(first)}<p>{verdict}</p>' + (
        f'<ul class="others">{rest}</ul>' if rest else ""
    )


def _tone(line: Line) -> str:
    return "high" if line.decided else "low"


def _decision(line: Line) -> str:
    limit = "" if line.threshold is None else f", threshold {100 * line.threshold:.3g} %"
    return f"{_cut(line.name)}: {'yes' if line.decided else 'no'}{limit}"


def _scale(line: Line) -> str:
    if line.share is None:
        return ""
    cut = ""
    if line.threshold is not None:
        cut = f'<rect class="cut" x="{max(0.0, 100 * line.threshold - 0.4):.1f}" y="0" width="0.8" height="10"/>'
    return (
        '<svg class="scale" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ground" x="0" y="3" width="100" height="4"/>'
        f'<rect class="full" x="0" y="3" width="{100 * min(1.0, max(0.0, line.share)):.1f}" height="4"/>{cut}</svg>'
    )


def _adds(one: Entry, unit: str) -> str:
    known = [abs(value) for _, value in one.adds if value is not None]
    if not known:
        return '<p class="soft">What each input adds was not asked for.</p>' if one.adds == () else ""
    most = max(known) or 1.0
    rows = "".join(
        f'<tr><th scope="row">{_cut(name)}</th>'
        + (
            '<td></td><td class="number soft">absent</td>'
            if value is None
            else f'<td>{_bar(value / most)}</td><td class="number">{_signed(value)}</td>'
        )
        + "</tr>"
        for name, value in one.adds
    )
    caption = f"What each input adds to {one.adds_for}, in {unit}"
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("input", "against or for", "adds"))
    return (
        f'<table><caption>{_cut(caption, MOST_SENTENCE)}</caption><thead class="hidden"><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _bar(share: float) -> str:
    length = 50 * min(1.0, abs(share))
    kind, start = ("for", 50.0) if share > 0 else ("against", 50 - length)
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" x="{start:.1f}" y="1" width="{length:.1f}" height="8"/>'
        '<rect class="zero" x="49.6" y="0" width="0.8" height="10"/></svg>'
    )


def _figure(one: Thumbnail) -> str:
    marks = "".join(
        f'<b class="{side}">{_cut(letters)}</b>'
        for side, letters in zip(("left", "right", "top", "bottom"), one.sides, strict=True)
        if letters
    )
    content = base64.b64encode(one.jpeg).decode("ascii")
    columns, rows = one.size
    image = f'<img alt="{_cut(one.caption)}" width="{columns}" height="{rows}" src="data:image/jpeg;base64,{content}">'
    return f"<figure><div>{image}{marks}</div><figcaption>{_cut(one.caption)}</figcaption></figure>"


def _row(place: int, one: Entry) -> str:
    first = one.lines[0]
    said = "" if first.decided is None else "yes" if first.decided else "no"
    abstains = f"yes: {'; '.join(one.why)}" if one.abstains else "no"
    answer = f"{_cut(first.value)} {_cut(first.name)}"
    texts = (str(place), _id(one.patient), answer, said, _cut(abstains, MOST_SENTENCE), _cut(", ".join(one.inputs)))
    return _cells(_id(one.study), texts[1:], texts[0], "abstains" if one.abstains else "")


def _table(columns: Sequence[str], labelled: str) -> str:
    heads = "".join(f'<th scope="col">{plain(one)}</th>' for one in columns)
    return f'<div class="wide"><table class="rows" aria-labelledby="{labelled}"><thead><tr>{heads}</tr></thead><tbody>\n'


def _cells(head: str, texts: Sequence[str], before: str = "", kind: str = "") -> str:
    """Give a row of texts that are HTML already; its study is the head of the row."""
    front = f"<td>{before}</td>" if before else ""
    cells = "".join(f"<td>{text}</td>" for text in texts)
    return f'<tr{f" class={kind}" if kind else ""}>{front}<th scope="row">{head}</th>{cells}</tr>\n'


def _note(text: str) -> str:
    return f'<p class="note">{_cut(text, MOST_SENTENCE)}</p>' if text else ""


def _id(text: str) -> str:
    return f'<bdi class="id">{_cut(text)}</bdi>' if text else '<span class="soft">none</span>'


def _cut(text: str, most: int = MOST_LETTERS) -> str:
    return plain(text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
