"""A contact sheet: one HTML file with every picture in it, no script, nothing loaded from elsewhere, no text of a header."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from medmm.errors import Rejected
from medmm.inert import visible
from medmm.preview.pictures import CT_WINDOWS, Picture, Preview
from medmm.preview.sketch import Sketch, embedded
from medmm.readers.resample import PERCENTILES

JPEG_QUALITY = 88
NO_BREAK = "\N{NO-BREAK SPACE}"

STYLE = """
:root { color-scheme: dark; }
body { margin: 0; padding: 28px 32px 48px; background: #14171a; color: #e8eaed; font: 14px/1.45 system-ui, sans-serif; }
h1 { margin: 0 0 4px; font-size: 22px; font-weight: 600; }
header p { margin: 0; color: #a9b0b7; max-width: 100ch; }
main { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 24px; }
article { box-sizing: border-box; max-width: 100%; min-width: 274px; padding: 14px 16px; break-inside: avoid;
  background: #1d2126; border: 1px solid #2c3238; border-radius: 8px; }
article.rejected { width: 274px; border-color: #a3541f; }
h2 { margin: 0; font-size: 15px; font-weight: 600; }
article p { width: 0; min-width: 100%; margin: 2px 0 0; color: #a9b0b7; font-variant-numeric: tabular-nums; }
.pictures { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 12px; }
figure { margin: 0; }
.sketch { display: block; width: 506px; max-width: 100%; margin-top: 12px; border-radius: 4px; }
.frame { position: relative; width: 240px; height: 240px; background: #000; display: grid; place-items: center; }
.frame img { display: block; }
.frame b { position: absolute; font-size: 13px; font-weight: 600; color: #ffd24d; text-shadow: 0 0 3px #000, 0 0 3px #000; }
.left { left: 5px; } .right { right: 5px; } .top { top: 2px; } .bottom { bottom: 2px; }
figcaption { margin-top: 3px; font-size: 12px; color: #a9b0b7; }
.code { display: inline-block; margin-top: 12px; padding: 2px 8px; border-radius: 4px; background: #a3541f; color: #fff;
  font: 600 13px/1.5 ui-monospace, monospace; }
article .reason { margin-top: 8px; color: #e8eaed; }
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content Security Policy (W3C, level 3): a browser loads and runs nothing, whatever stands in the page."""


SIGNALS = (
    "Signals are drawn smaller than to scale: on the paper of an ECG a large square is 0.2 s wide and 0.5 mV high, as ever. "
    "A lead with another name than that of an ECG is shown by its number."
)


@dataclass(frozen=True)
class Tile:
    """One image or recording, or why there is none.

    Attributes:
        title: Which it is, in words that hold no patient.
        note: What else is known of it.
        shown: The pictures, or the rejection.
    """

    title: str
    note: str
    shown: Preview | Sketch | Rejected


def contact_sheet(title: str, tiles: Iterable[Tile], notes: Sequence[str] = ()) -> str:
    """Give the page.

    Args:
        title: Its headline.
        tiles: Drawn one by one, so that no picture is held longer than its text.
        notes: Sentences of its head.
    """
    drawn, rejected, signals = [], 0, 0
    for tile in tiles:
        drawn.append(_tile(tile))
        rejected += isinstance(tile.shown, Rejected)
        signals += isinstance(tile.shown, Sketch)
    what = "images and signals" if signals else "images"
    counts = f"{len(drawn)} {what}: {len(drawn) - rejected} shown, {rejected} rejected."
    low, high = PERCENTILES
    windows = ", ".join(f"{name} {bottom:g} to {top:g} HU" for name, (bottom, top) in CT_WINDOWS.items())
    legend = (
        f"CT windows: {windows}. Other images: from their {low} to their {high} percentile. Letters name the patient's "
        "sides (right, left, anterior, posterior, head, foot); an image without letters does not state its place. "
        "No header's text stands on this page, but what is burned into the pixels is shown as it is: a name, in the worst case."
    )
    told = (counts, *notes, legend, *([SIGNALS] if signals else []), "Research software, not a medical device.")
    paragraphs = "".join(f"<p>{escape(visible(text))}</p>" for text in told)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(visible(title))}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>\n'
        f"<body><header><h1>{escape(visible(title))}</h1>{paragraphs}</header>\n<main>\n"
        + "\n".join(drawn)
        + "\n</main></body></html>\n"
    )


def _tile(tile: Tile) -> str:
    head = f"<h2>{escape(visible(tile.title))}</h2><p>{escape(visible(tile.note))}</p>"
    if isinstance(tile.shown, Rejected):
        reason = str(tile.shown).removeprefix(f"{tile.shown.code.value}: ")
        code = f'<span class="code">{tile.shown.code.value}</span>'
        return f'<article class="rejected">{head}{code}<p class="reason">{escape(reason)}</p></article>'
    if isinstance(tile.shown, Sketch):
        facts = " · ".join(fact.replace(" ", NO_BREAK) for fact in tile.shown.facts)
        image = f'<img class="sketch" alt="{escape(visible(tile.title))}" src="{embedded(tile.shown.svg)}">'
        return f"<article>{head}<p>{escape(facts)}</p>{image}</article>"
    pictures = "".join(_figure(picture) for picture in tile.shown.pictures)
    return f'<article>{head}<p>{_facts(tile.shown)}</p><div class="pictures">{pictures}</div></article>'


def _facts(shown: Preview) -> str:
    columns, rows, slices = shown.shape
    many = "slices" if shown.plane else "frames"
    facts = [f"{slices} {many}" if slices > 1 else "1 image", f"{columns} × {rows} pixels"]
    if shown.spacing_mm is None:
        facts.append("no spacing stated")
    else:
        sizes = shown.spacing_mm if slices > 1 and shown.plane else shown.spacing_mm[:2]
        facts.append(" × ".join(f"{size:.3g}" for size in sizes) + " mm")
    return " · ".join(fact.replace(" ", NO_BREAK) for fact in [*facts, *filter(None, [shown.plane])])


def _figure(picture: Picture) -> str:
    sides = zip(("left", "right", "top", "bottom"), picture.sides, strict=True)
    marks = "".join(f'<b class="{side}">{letters}</b>' for side, letters in sides if letters)
    image = f'<img alt="{escape(picture.caption)}" src="data:image/jpeg;base64,{_jpeg(picture)}">'
    return f'<figure><div class="frame">{image}{marks}</div><figcaption>{escape(picture.caption)}</figcaption></figure>'


def _jpeg(picture: Picture) -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture.pixels).save(content, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(content.getvalue()).decode("ascii")
