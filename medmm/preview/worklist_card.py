"""One study of a worklist: its pictures, its answer, why not to rely on it, and what each input adds."""

import base64
from collections.abc import Sequence

from medmm.preview.sketch import embedded
from medmm.preview.thumbnails import Thumbnail
from medmm.preview.worklist_entries import Entry, Line
from medmm.preview.worklist_text import MOST_SENTENCE, identified, short


def card(place: int, one: Entry, pictures: Sequence[Thumbnail], missing: str, unit: str) -> str:
    """Give the card of a study.

    Args:
        place: Its place in the list, from 1.
        one: The study.
        pictures: Of its images.
        missing: Says why some are missing; "" where none is.
        unit: Of what inputs add.
    """
    first = one.lines[0]
    kind = "study abstains" if one.abstains else "study said" if first.decided else "study"
    figures = "".join(_figure(picture) for picture in pictures)
    word = f'<p class="none">{short(missing)}</p>' if missing else ""
    facts = [("Alerts", one.alerts), ("Inputs", one.inputs), ("Absent", one.absent)]
    listed = [(name, "; ".join(texts)) for name, texts in facts if texts]
    if one.remaining:
        listed.insert(0, ("Still possible", one.remaining))
    if one.why:
        listed.insert(0, ("Why", "; ".join(one.why)))
    facts_said = "".join(f"<dt>{name}</dt><dd>{short(text, MOST_SENTENCE)}</dd>" for name, text in listed)
    return (
        f'<li class="{kind}"><article aria-labelledby="s{place}">'
        f'<div class="name"><span class="place">{place}</span><h3 id="s{place}">{identified(one.study)}</h3>'
        f'<p class="soft">Patient {identified(one.patient)}</p></div>'
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
    rest = "".join(f"<li>{short(line.name)} <b>{short(line.value)}</b>{words[line.decided]}</li>" for line in others)
    rest += f"<li>and {one.more} more</li>" if one.more else ""
    beside = f'<span class="soft">{"the model says for " if one.abstains else ""}{short(first.name)}</span>'
    return f'<p class="value"><span class="big">{short(first.value)}</span> {beside}</p>{_scale(first)}<p>{verdict}</p>' + (
        f'<ul class="others">{rest}</ul>' if rest else ""
    )


def _tone(line: Line) -> str:
    return "high" if line.decided else "low"


def _decision(line: Line) -> str:
    limit = "" if line.threshold is None else f", threshold {100 * line.threshold:.3g} %"
    return f"{short(line.name)}: {'yes' if line.decided else 'no'}{limit}"


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
        f'<tr><th scope="row">{short(name)}</th>'
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
        f'<table><caption>{short(caption, MOST_SENTENCE)}</caption><thead class="hidden"><tr>{heads}</tr></thead>'
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
        f'<b class="{side}">{short(letters)}</b>'
        for side, letters in zip(("left", "right", "top", "bottom"), one.sides, strict=True)
        if letters
    )
    if one.svg:
        image = f'<img alt="{short(one.caption)}" src="{embedded(one.svg)}">'
        return f'<figure class="signal"><div>{image}</div><figcaption>{short(one.caption)}</figcaption></figure>'
    content = base64.b64encode(one.jpeg).decode("ascii")
    columns, rows = one.size
    image = f'<img alt="{short(one.caption)}" width="{columns}" height="{rows}" src="data:image/jpeg;base64,{content}">'
    return f"<figure><div>{image}{marks}</div><figcaption>{short(one.caption)}</figcaption></figure>"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
