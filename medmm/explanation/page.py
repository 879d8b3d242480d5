"""The page of one study: one HTML file, no script, nothing loaded, every text escaped, light or dark as the reader's screen.

No identifier of a patient, no path and no file name stands in it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape

from medmm.explanation.cells import TableShare
from medmm.explanation.covering import MapMethod
from medmm.explanation.deletion import Deletion
from medmm.explanation.images import ImageMethod, ImageShare
from medmm.explanation.signals import SignalShare
from medmm.explanation.study import Answer, AnswerLine, Explanation
from medmm.explanation.traces import draw_segments
from medmm.explanation.words import STRUCK, NoteShare
from medmm.preview.page import picture
from medmm.preview.sheet import POLICY

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f23; --soft: #57606a; --line: #d0d7de; --box: #f6f8fa;
  --for: #b34700; --forbar: #D55E00; --against: #005a94; --againstbar: #0072B2; --warn: #7a4b00; --warnbox: #fff4d6; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8eaed; --soft: #a9b0b7; --line: #343b42;
  --box: #1d2126; --for: #ff9a57; --forbar: #e8761f; --against: #7cc0f2; --againstbar: #3d95d0; --warn: #ffd98a;
  --warnbox: #3a2e12; } }
@media print { :root { color-scheme: light; --paper: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb; --box: #ffffff;
  --for: #b34700; --forbar: #D55E00; --against: #005a94; --againstbar: #0072B2; --warn: #7a4b00; --warnbox: #ffffff; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
body { margin: 0 auto; padding: 28px 32px 48px; max-width: 1060px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 2px; font-size: 22px; font-weight: 600; }
h2 { margin: 34px 0 4px; font-size: 17px; font-weight: 600; }
p { margin: 0 0 8px; max-width: 92ch; } .soft, figcaption, small { color: var(--soft); }
.answer { display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: baseline; margin: 20px 0 0; padding: 16px 20px;
  background: var(--box); border: 1px solid var(--line); border-radius: 8px; break-inside: avoid; }
.answer b { font-size: 34px; line-height: 1.1; font-weight: 650; font-variant-numeric: tabular-nums; }
.answer span { font-size: 17px; } .answer p { flex-basis: 100%; margin: 4px 0 0; }
.scale { position: relative; flex-basis: 100%; height: 10px; margin: 6px 0 18px; border-radius: 5px; background: var(--line); }
.scale i { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 5px; background: var(--soft); }
.scale u { position: absolute; top: -4px; height: 18px; width: 2px; background: var(--ink); }
.scale em { position: absolute; top: 14px; font: 12px/1 system-ui, sans-serif; color: var(--soft); white-space: nowrap;
  transform: translateX(-50%); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 8px 0; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid var(--ink); }
th, td { padding: 4px 20px 4px 0; vertical-align: top; } tbody tr + tr td { border-top: 1px solid var(--line); }
tr { break-inside: avoid; } td.number, th.number { text-align: right; white-space: nowrap; } .wide { overflow-x: auto; }
.for { color: var(--for); } .against { color: var(--against); }
.bar { position: relative; width: 220px; height: 14px; margin-top: 5px; }
.bar::before { content: ""; position: absolute; left: 50%; top: -3px; bottom: -3px; width: 1px; background: var(--soft); }
.bar i { position: absolute; top: 0; bottom: 0; border-radius: 2px; } .bar .f { left: 50%; background: var(--forbar); }
.bar .a { right: 50%; background: var(--againstbar); }
.test { padding: 8px 14px; margin: 8px 0; border-left: 4px solid var(--line); background: var(--box); break-inside: avoid; }
.test.fails { border-color: var(--warn); background: var(--warnbox); color: var(--warn); font-weight: 600; }
.beside { display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: flex-start; }
.beside > div { flex: 1 1 420px; } .beside > figure { flex: 0 0 250px; }
figure { margin: 8px 0; break-inside: avoid; } figure img { display: block; max-width: 100%; border-radius: 6px; }
figure.paper { overflow-x: auto; } figure.paper img { max-width: none; margin: 0 0 8px; border-radius: 0; }
@media print { figure.paper img { max-width: 100%; } }
figcaption { font-size: 13px; margin-top: 4px; max-width: 92ch; }
svg text { font: 10px system-ui, sans-serif; fill: var(--soft); }
.words { display: flex; flex-wrap: wrap; gap: 6px; margin: 8px 0; }
.words span { padding: 2px 9px; border: 1.5px solid; border-radius: 14px; } .words small { color: inherit; }
.note { white-space: pre-wrap; padding: 12px 16px; border: 1px solid var(--line); border-radius: 8px; line-height: 1.9; }
mark, td, .words span { unicode-bidi: isolate; }
mark { background: none; color: inherit; border-bottom: 3px solid; padding-bottom: 1px; }
mark.against { border-bottom-style: double; }
"""

METHODS: Mapping[ImageMethod, str] = {
    "occlusion": (
        "Window after window of the image was covered by a blur; coloured is where that changed the answer (occlusion)."
    ),
    "integrated_gradients": (
        "Coloured is where the answer rose or fell on the way from a blurred image to this one (integrated gradients)."
    ),
    "grad_cam": (
        "Coloured is where the last feature map of the network spoke for or against the answer (Grad-CAM). "
        "Such a map has a few fields only, whose borders are those of no finding."
    ),
}

SIGNAL_METHODS: Mapping[MapMethod, str] = {
    "occlusion": "Stretch after stretch of each lead was covered{by}; coloured is where that changed the answer (occlusion).",
    "integrated_gradients": (
        "Coloured is where the answer rose or fell on the way from{nothing} to this signal (integrated gradients)."
    ),
    "grad_cam": (
        "Coloured is when the last feature map of the network spoke for or against the answer (Grad-CAM). "
        "Such a map has a few fields only, and is the same for all leads."
    ),
}

LIMITS = (
    "This page says what the model's answer rests on, not what the patient has. A marked place is not a finding, and a cause "
    "is not shown: what the model learned may stand for something else that comes with it.",
    "Shares of inputs and cells are Shapley values: the mean of what each adds, over all orders in which they could be told to "
    "the model. A word's share is how far the answer changes when the note is read without it; such shares do not add up.",
    "An ECG is to scale on a screen that shows 96 pixels an inch at 100 %; printed it is as wide as the paper.",
    "What is burned into the pixels of an image is shown as it is: a name, in the worst case.",
)


def study_page(one: Explanation, pictures: Mapping[str, bytes]) -> str:
    """Give the page.

    Args:
        one: What is shown.
        pictures: Input -> PNG of its images.
    """
    title = f"Study in row {one.row}: what the answer rests on"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">Model {escape(one.model)}'
        + (f", package {escape(one.digest[:12])}" if one.digest else "")
        + ". Research software, not a medical device: not for use in the care of a patient.</p>",
        _answer(one),
        _inputs(one),
        *(_rules(one) if one.fired else []),
        *(_image(share, one, pictures[share.name]) for share in one.images),
        *(_signal(share, one) for share in one.signals),
        *(_table(share, one) for share in one.tables),
        *(_note(share, one) for share in one.notes),
        *(_near(one) if one.neighbours else []),
        "<h2>How to read this page</h2>",
        *(f'<p class="soft">{escape(text)}</p>' for text in LIMITS),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body>" + "\n".join(body) + "\n</body></html>\n"
    )


def explained_noun(answer: Answer) -> str:
    """Name what the deletion tests lower, for a sentence."""
    name = answer.explained.name
    if answer.noun == "predicted":
        return f"predicted {name}" if answer.side > 0 else f"distance by which {name} lies below its start"
    return f"{answer.noun} of {name}" if answer.side > 0 else f"{answer.noun} of no {name}"


def said(line: AnswerLine, answer: Answer) -> str:
    """Give one answer as a number."""
    if answer.noun == "predicted":
        return f"{line.value:.4g} {answer.unit}".strip()
    return _percent(line.value)


def _answer(one: Explanation) -> str:
    answer, line = one.answer, one.answer.explained
    verdict = line.name
    if line.decided is not None:
        beside = "" if line.threshold is None else f", {'at or above' if line.decided else 'below'} the threshold"
        verdict += f": {'yes' if line.decided else 'no'}{beside}"
    parts = [f'<div class="answer"><b>{escape(said(line, answer))}</b><span>{escape(verdict)}</span>']
    if answer.noun != "predicted":
        cut = "" if line.threshold is None else f'<u style="left:{100 * line.threshold:.1f}%"></u>'
        cut += "" if line.threshold is None else f'<em style="left:{_inside(line.threshold)}%">threshold</em>'
        parts.append(f'<div class="scale"><i style="width:{100 * line.value:.1f}%"></i>{cut}</div>')
    facts = [] if answer.noun == "predicted" else [f"{answer.noun.capitalize()} {line.value:.3f}"]
    if line.threshold is not None:
        facts.append(f"threshold {line.threshold:.3f}, chosen on the validation studies")
    if answer.noun == "probability":
        facts.append("calibrated on the validation studies" if answer.calibrated else "not calibrated")
    if abs(line.value - line.model) > 1e-9:  # what a rule does not move is the same number
        facts.append(f"the model alone says {line.model:.3f}; rules changed it, and what follows explains the model alone")
    parts.append(f'<p class="soft">{escape("; ".join(facts))}.</p></div>' if facts else "</div>")
    if len(answer.lines) > 1:
        rows = [
            (
                *(escape(text) for text in (other.name, said(other, answer))),
                "" if other.threshold is None else f"{other.threshold:.3f}",
                "" if other.decided is None else "yes" if other.decided else "no",
                "this page" if other is line else "",
            )
            for other in answer.lines
        ]
        parts.append("<h2>All answers</h2>" + _grid(("answer", f">{answer.noun}", ">threshold", "said", "explained"), rows))
    return "".join(parts)


def _inputs(one: Explanation) -> str:
    most = max((abs(share.adds) for share in one.inputs if share.adds is not None), default=1.0) or 1.0
    rows = [
        (
            escape(share.name),
            escape(share.kind),
            *(_share(share.adds, most, one) if share.adds is not None else ('<span class="soft">absent</span>', "", "")),
        )
        for share in one.inputs
    ]
    end = one.start + sum(share.adds for share in one.inputs if share.adds is not None)
    name = one.answer.explained.name
    text = (
        f"With no input at all the model would say {_of_scale(one, one.start)} for {name}; "
        f"what the inputs add leads from there to {_of_scale(one, end)}."
    )
    return f"<h2>What each input adds</h2><p>{escape(text)}</p>" + _grid(("input", "kind", *_share_heads(one)), rows)


def _rules(one: Explanation) -> list[str]:
    rows = [(escape(fired.rule), escape(fired.effect), escape(fired.said)) for fired in one.fired]
    return ["<h2>Rules that fired</h2>", _grid(("rule", "effect", "what it did"), rows)]


def _image(share: ImageShare, one: Explanation, png: bytes) -> str:
    caption = (
        f"{METHODS[share.method]} Orange speaks for {one.answer.explained.name}, blue against it. "
        + ("Volumes are seen from the feet, the patient's right at the left. " if any(share.oriented) else "")
        + "The images are as the model saw them."
    )
    content = base64.b64encode(png).decode("ascii")
    figure = (
        f'<figure><img alt="{escape(f"Images of {share.name} with what speaks for and against the answer")}" '
        f'src="data:image/png;base64,{content}"><figcaption>{escape(caption)}</figcaption></figure>'
    )
    return f"<h2>{escape(share.name)}: image</h2>{figure}" + _test(share.deletion, "patches", one)


def _signal(share: SignalShare, one: Explanation) -> str:
    by, nothing = (" by a blur", " a blur") if share.spectrogram else (" by its mean", " the mean of each lead")
    method = SIGNAL_METHODS[share.method].format(by=by, nothing=nothing)
    caption = f"{method} Orange speaks for {one.answer.explained.name}, blue against it. {_seen(share)}"
    shown = "".join(
        picture(svg, f"Segment {segment + 1} of {share.name} with what speaks for and against the answer")
        for segment, svg in draw_segments(share, one.scale).items()
    )
    figure = f'<figure class="paper">{shown}<figcaption>{escape(caption)}</figcaption></figure>'
    return f"<h2>{escape(share.name)}: signal</h2>{figure}" + _test(share.deletion, "stretches", one)


def _seen(share: SignalShare) -> str:
    many = len(share.map)
    segments = f"{many} segments of {share.seconds:.3g} s" if many > 1 else f"{share.seconds:.3g} s"
    return f"The model saw {segments} of the {share.recorded_s:.3g} s that were recorded."


def _table(share: TableShare, one: Explanation) -> str:
    most = max((abs(cell.adds) for cell in share.cells if cell.adds is not None), default=1.0) or 1.0
    rows = [
        (
            escape(cell.column),
            escape(cell.value) if cell.adds is not None else '<span class="soft">missing</span>',
            escape(cell.unit),
            escape(cell.usual),
            *(_share(cell.adds, most, one) if cell.adds is not None else ("", "", "")),
        )
        for cell in share.cells
    ]
    text = "Each cell is compared with the mean of the training studies; a category with its not being stated."
    heads = ("column", ">value", "unit", ">training mean", *_share_heads(one))
    return f"<h2>{escape(share.name)}: table</h2><p>{escape(text)}</p>{_grid(heads, rows)}" + _test(
        share.deletion, "cells", one
    )


def _note(share: NoteShare, one: Explanation) -> str:
    what = "word" if share.each == 1 else f"run of {share.each} words"
    chips = "".join(
        f'<span class="{_side(word.adds)}">{escape(word.text)} <small>{_signed(word.adds)}</small></span>'
        for word in share.telling
    )
    text = (
        f"The note has {share.words} words. Shown is how far the answer changes, in {one.scale}, by each {what}; the strongest."
    )
    if share.withheld:
        text += (
            f" {STRUCK} stands for {share.withheld} of them that the model does not know as a word of several patients, "
            "or that may name a person."
        )
    parts = [f"<h2>{escape(share.name)}: note</h2><p>{escape(text)}</p>", f'<div class="words">{chips}</div>']
    if share.whole is not None:
        most = max((abs(adds) for _, adds in share.whole if adds is not None), default=1.0) or 1.0
        parts.append(f'<div class="note">{"".join(_piece(*piece, most) for piece in share.whole)}</div>')
    else:
        parts.append(
            '<p class="soft">The note itself may name a person and is not shown; medmm explain --show-text shows it.</p>'
        )
    return "".join(parts) + _test(share.deletion, "words" if share.each == 1 else "runs of words", one)


def _piece(text: str, adds: float | None, most: float) -> str:
    if adds is None or abs(adds) < 0.1 * most:  # a tenth of the strongest is marked no more
        return escape(text)
    strength = round(25 + 75 * abs(adds) / most)
    colour = f"var(--{'for' if adds > 0 else 'against'}bar)"
    style = f"border-color: color-mix(in srgb, {colour} {strength}%, transparent)"
    return f'<mark class="{_side(adds)}" style="{style}">{escape(text)}</mark>'


def _near(one: Explanation) -> list[str]:
    rows = [(str(near.row), escape(near.label), f"{near.likeness:.3f}") for near in one.neighbours]
    text = "Training studies that lie nearest in the model's own representation, by row of the training's studies table."
    return ["<h2>Nearest training studies</h2>", f"<p>{text}</p>", _grid((">row", "recorded", ">likeness (cosine)"), rows)]


def _test(one: Deletion, parts: str, whole: Explanation) -> str:
    text = escape(one.says(parts, explained_noun(whole.answer)))
    kind = "test fails" if one.passed is False else "test"
    if not one.curve:
        return f'<p class="{kind}">{text}</p>'
    return f'<div class="beside"><div><p class="{kind}">{text}</p></div>{_curve(one, parts)}</div>'


def _curve(one: Deletion, parts: str) -> str:
    """Draw what is left of the answer as parts are taken away."""
    width, height = 190, 74
    values = [*one.curve, *one.random]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    digits = 2 if span >= 0.02 else 4

    def line(curve: Sequence[float], style: str) -> str:
        points = " ".join(
            f"{40 + width * share:.1f},{8 + height * (high - value) / span:.1f}"
            for share, value in zip(one.removed, curve, strict=True)
        )
        return f'<polyline points="{points}" fill="none" stroke-width="2" {style}/>'

    return (
        f'<figure><svg width="250" height="118" role="img" aria-label="Deletion curve">'
        f'<text x="36" y="14" text-anchor="end">{high:.{digits}f}</text>'
        f'<text x="36" y="{height + 10}" text-anchor="end">{low:.{digits}f}</text>'
        f'<line x1="40" x2="{40 + width}" y1="{height + 12}" y2="{height + 12}" stroke="var(--line)"/>'
        + line(one.random, 'stroke="var(--soft)" stroke-dasharray="4 3"')
        + line(one.curve, 'stroke="var(--ink)"')
        + f'<text x="40" y="{height + 26}">share of {parts} taken away: 0 to 1</text>'
        f'<text x="40" y="{height + 40}">— this explanation  - - random</text></svg></figure>'
    )


def _share_heads(one: Explanation) -> tuple[str, ...]:
    odds = one.answer.noun != "predicted"
    return ("against | for", f">adds ({one.scale})", ">odds" if odds else "")


def _share(adds: float, most: float, one: Explanation) -> tuple[str, str, str]:
    """Give a bar, the number, and by what it multiplies the odds."""
    length = 50 * min(1.0, abs(adds) / most)
    bar = f'<div class="bar"><i class="{"f" if adds > 0 else "a"}" style="width:{length:.1f}%"></i></div>'
    times = f"× {math.exp(min(adds, 50.0)):.3g}" if one.answer.noun != "predicted" else ""
    return bar, f'<span class="{_side(adds)}">{_signed(adds)}</span>', times


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table of cells that are HTML already; a column whose head begins with > is one of numbers."""
    numbers = [head.startswith(">") for head in heads]
    top = "".join(
        f"<th{' class=number' if number else ''}>{escape(head.removeprefix('>'))}</th>"
        for head, number in zip(heads, numbers, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(f"<td{' class=number' if number else ''}>{cell}</td>" for cell, number in zip(row, numbers, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _side(adds: float) -> str:
    return "for" if adds > 0 else "against"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if 0.001 <= value <= 0.999 else ("< 0.1 %" if value < 0.5 else "> 99.9 %")


def _of_scale(one: Explanation, value: float) -> str:
    if one.answer.noun == "predicted":
        return f"{value:.4g} {one.answer.unit}".strip()
    return _percent(1 / (1 + math.exp(-value)))


def _inside(share: float) -> str:
    return f"{min(94.0, max(6.0, 100 * share)):.1f}"
