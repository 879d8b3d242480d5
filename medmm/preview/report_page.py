"""The report of a run on one page: what the model is for, how good it is, on whom, where it fails, and what was not done.

It knows nothing of how its parts were made: it is given sentences, tables and drawings. Light and dark, for the screen and for
paper. A figure stays on a white card in the dark, for radiographs and the colours of its legend must not be turned around.

Contrast of every text is at least 4.5 to 1 in both (WCAG 2, level AA); a verdict is told by a word, never by a colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medmm.preview.page import document, picture, plain

SHOWN_ROWS = 12
"""Of a table that stand open; a longer one is folded."""

MOST_ROWS = 300
"""Of a table on the page."""

TONES = ("good", "open", "bad", "neutral")

STYLE = """
:root { color-scheme: light dark; --page: #fff; --card: #f6f8fa; --line: #d0d7de; --text: #1b1f23; --soft: #57606a;
  --link: #0550ae; --good: #116329; --good-bg: #dafbe1; --open: #7a4a00; --open-bg: #fff3d6; --bad: #a40e26;
  --bad-bg: #ffebe9; --neutral: #424a53; --neutral-bg: #eaeef2; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1318; --card: #181d24; --line: #39424d; --text: #e8ebef;
  --soft: #a8b1bb; --link: #8cc2ff; --good: #7ee2a0; --good-bg: #12331f; --open: #f5c869; --open-bg: #3a2c0a; --bad: #ff9d94;
  --bad-bg: #441417; --neutral: #c3cad2; --neutral-bg: #262d36; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 36px 32px 64px; max-width: 1140px; background: var(--page); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); text-underline-offset: 2px; }
h1 { margin: 0; font-size: 28px; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; }
h2 { margin: 52px 0 10px; padding-top: 14px; border-top: 2px solid var(--text); font-size: 20px; line-height: 1.3;
  font-weight: 650; scroll-margin-top: 8px; }
h2 .number { color: var(--soft); font-weight: 500; margin-right: 10px; }
h3 { margin: 26px 0 6px; font-size: 15px; font-weight: 650; }
p, li { max-width: 82ch; }
p { margin: 0 0 9px; }
.soft, .facts { color: var(--soft); }
.facts { margin: 4px 0 22px; }
.summary { display: grid; grid-template-columns: minmax(230px, 1fr) 2fr; gap: 10px 36px; padding: 24px 26px;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.summary > div { min-width: 0; }
.summary h2 { margin: 0 0 6px; padding: 0; border: 0; font-size: 13px; font-weight: 650; color: var(--soft); }
.summary dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; }
.summary dt { color: var(--soft); }
.summary dd { margin: 0; min-width: 0; }
.big { margin: 0; font-size: 46px; line-height: 1.1; font-weight: 650; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.interval { margin: 2px 0 0; font-size: 17px; font-variant-numeric: tabular-nums; }
.verdicts { grid-column: 1 / -1; margin: 12px 0 0; padding: 14px 0 0; border-top: 1px solid var(--line); list-style: none; }
.verdicts li { display: grid; grid-template-columns: 190px 1fr; gap: 12px; align-items: baseline; max-width: none;
  padding: 3px 0; }
.verdicts li > span { justify-self: start; min-width: 0; }
.tag { display: inline-block; padding: 1px 10px; border-radius: 999px; font-size: 13px; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); background: var(--good-bg); } .open { color: var(--open); background: var(--open-bg); }
.bad { color: var(--bad); background: var(--bad-bg); } .neutral { color: var(--neutral); background: var(--neutral-bg); }
nav { margin: 26px 0 0; }
nav ol { margin: 0; padding: 0; columns: 2; column-gap: 40px; list-style: none; }
nav li { break-inside: avoid; padding: 2px 0; font-variant-numeric: tabular-nums; }
nav .number { display: inline-block; width: 28px; color: var(--soft); }
.says { margin: 0 0 12px; padding: 0; list-style: none; }
.says li { margin: 0 0 6px; }
.says li:first-child { font-size: 17px; line-height: 1.5; }
.listed { margin: 0 0 12px; padding-left: 20px; } .listed li { margin: 0 0 7px; }
.figures { display: flex; flex-wrap: wrap; gap: 16px; margin: 14px 0; }
figure { margin: 0; max-width: 100%; break-inside: avoid; }
figure img { display: block; max-width: 100%; max-height: 900px; height: auto; padding: 10px; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; }
.wide { overflow-x: auto; margin: 0 0 14px; }
table { border-collapse: collapse; font-size: 13.5px; line-height: 1.4; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid var(--text); vertical-align: bottom; }
th, td { padding: 5px 20px 5px 0; }
td { vertical-align: top; border-bottom: 1px solid var(--line); max-width: 90ch; min-width: 3ch; }
th.right, td.right { text-align: right; } td.right, td.whole { white-space: nowrap; }
.table-one { font-size: 12.5px; } .table-one th, .table-one td { padding-right: 14px; }
.table-one td { white-space: nowrap; border-bottom: 0; }
.table-one tr.begins td { border-top: 1px solid var(--line); }
td.level { padding-left: 16px; }
td small { display: block; color: var(--soft); }
td.apart { font-weight: 650; color: var(--bad); }
details { margin: 0 0 12px; }
summary { cursor: pointer; padding: 3px 0; color: var(--link); }
details[open] summary { margin-bottom: 6px; }
footer { margin-top: 48px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
@media (max-width: 720px) { body { padding: 22px 16px 48px; } .summary { grid-template-columns: 1fr; } nav ol { columns: 1; } }
@media print { @page { size: A4; margin: 16mm 15mm 18mm; } @page across { size: A4 landscape; } .across { page: across; }
  :root { color-scheme: light; --page: #fff; --card: #fff; --line: #b8c0c8; --text: #000; --soft: #444c55; --link: #000;
    --good: #0b4a1d; --good-bg: #fff; --open: #5e3900; --open-bg: #fff; --bad: #8a0b1f; --bad-bg: #fff; --neutral: #333;
    --neutral-bg: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; } a { text-decoration: none; }
  h1 { font-size: 19pt; } h2 { font-size: 14pt; break-after: avoid; } h3 { break-after: avoid; }
  .chapter { break-before: page; } .chapter.flows { break-before: auto; }
  .summary { break-inside: avoid; } .tag { border: 1px solid currentColor; } .says li:first-child { font-size: 11pt; }
  tr { break-inside: avoid; } thead { display: table-header-group; } .wide { overflow: visible; }
  table { font-size: 8.5pt; } th, td { padding: 3px 10px 3px 0; } .table-one { font-size: 8pt; }
  .table-one th, .table-one td { padding-right: 9px; }
  figure img { max-height: 150mm; max-width: 165mm; border: 0; padding: 0; }
  details.printed::details-content { content-visibility: visible; block-size: auto; }
  summary { list-style: none; color: var(--soft); } }
"""


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        svg: The picture.
        said: The words that stand for it.
    """

    svg: str
    said: str


@dataclass(frozen=True)
class Link:
    """A cell that leads to another part of the page."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Tag:
    """A cell that holds a verdict, in a word and a colour: one of `TONES`."""

    text: str
    tone: str

    def __post_init__(self) -> None:
        assert self.tone in TONES, self.tone


@dataclass(frozen=True)
class Sheet:
    """One table.

    Attributes:
        title: Its headline.
        columns: Names.
        rows: Cells: a text, a count, a number, a verdict, a link, or None for nothing.
        folded: Whether it is folded; None: where it is long.
        note: A sentence below its headline.
        printed: Whether paper shows it where it is folded too.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    folded: bool | None = None
    note: str = ""
    printed: bool = False


@dataclass(frozen=True)
class Part:
    """One numbered part of the page.

    Attributes:
        anchor: By which links find it: letters, digits, dash and underscore.
        title: Its headline.
        says: Sentences.
        drawings: Figures.
        sheets: Tables.
        html: What is HTML already, above the tables.
        flows: Whether on paper it goes on where the part before it ends.
        lead: Whether the first sentence is what matters most; else all are alike.
        across: Whether paper is turned for it.
    """

    anchor: str
    title: str
    says: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    sheets: Sequence[Sheet] = ()
    html: str = ""
    flows: bool = False
    lead: bool = True
    across: bool = False


@dataclass(frozen=True)
class Summary:
    """The box on top.

    Attributes:
        label: What the headline number is.
        value: The number.
        interval: Its limits, in words.
        rests_on: How many studies of how many patients.
        facts: What the model is for: name -> text.
        verdicts: A verdict, a sentence, and the anchor of the part that shows it, or "".
        about: Headline of the facts.
    """

    label: str
    value: str
    interval: str
    rests_on: str
    facts: Sequence[tuple[str, str]]
    verdicts: Sequence[tuple[Tag, str, str]]
    about: str = "What the model is for"


def report_page(title: str, facts: str, summary: Summary, parts: Sequence[Part], made: str) -> str:
    """Give the page.

    Args:
        title: Its headline.
        facts: A sentence below it.
        summary: The box on top.
        parts: In the order of reading.
        made: How it was made, in a line at its end.
    """
    anchors = {one.anchor for one in parts}
    contents = "".join(
        f'<li><span class="number">{number}</span><a href="#{plain(one.anchor)}">{plain(one.title)}</a></li>'
        for number, one in enumerate(parts, 1)
    )
    body = [
        f'<header><h1>{plain(title)}</h1><p class="facts">{plain(facts)}</p></header>',
        _summary(summary, anchors),
        f'<nav aria-label="Contents"><h3>Contents</h3><ol>{contents}</ol></nav>',
        "<main>",
        *(_part(number, one, anchors) for number, one in enumerate(parts, 1)),
        "</main>",
        f"<footer><p>{plain(made)}</p></footer>",
    ]
    return document(title, STYLE, body)


def number(value: float) -> str:
    """Write a number with at most three decimals; what is not defined is a dash."""
    if value != value:  # noqa: PLR0124
        return "–"
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "-∞"
    if 0 < abs(value) < 0.0005:
        return "<0.001" if value > 0 else ">-0.001"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def limits(low: float, high: float) -> str:
    """Write an interval."""
    return f"[{number(low)}, {number(high)}]"


def measure(value: float, low: float, high: float) -> str:
    """Write a number with its interval; one that is not defined is a dash."""
    if value != value:  # noqa: PLR0124
        return "–"
    return number(value) if low != low else f"{number(value)} {limits(low, high)}"  # noqa: PLR0124


def _summary(one: Summary, anchors: set[str]) -> str:
    facts = "".join(f"<dt>{plain(name)}</dt><dd>{plain(text)}</dd>" for name, text in one.facts)
    verdicts = "".join(
        f"<li>{_tag(tag)}<span>{plain(said)}{_more(anchor, anchors)}</span></li>" for tag, said, anchor in one.verdicts
    )
    return (
        f'<section class="summary" aria-label="Summary"><div><h2>{plain(one.label)}</h2><p class="big">{plain(one.value)}</p>'
        f'<p class="interval">{plain(one.interval)}</p><p class="soft">{plain(one.rests_on)}</p></div>'
        f"<div><h2>{plain(one.about)}</h2><dl>{facts}</dl></div>"
        + (f'<ul class="verdicts">{verdicts}</ul>' if verdicts else "")
        + "</section>"
    )


def _more(anchor: str, anchors: set[str]) -> str:
    return f' <a href="#{plain(anchor)}">more</a>' if anchor in anchors else ""


def _part(place: int, one: Part, anchors: set[str]) -> str:
    says = "".join(f"<li>{plain(sentence)}</li>" for sentence in one.says)
    drawings = "".join(f"<figure>{picture(drawing.svg, drawing.said)}</figure>" for drawing in one.drawings)
    kind = "chapter" + (" flows" if one.flows else "") + (" across" if one.across else "")
    return (
        f'<section class="{kind}">'
        f'<h2 id="{plain(one.anchor)}"><span class="number">{place}</span>{plain(one.title)}</h2>'
        + (f'<ul class="{"says" if one.lead else "listed"}">{says}</ul>' if says else "")
        + (f'<div class="figures">{drawings}</div>' if drawings else "")
        + one.html
        + "".join(_sheet(sheet, anchors) for sheet in one.sheets)
        + "</section>"
    )


def _sheet(sheet: Sheet, anchors: set[str]) -> str:
    if not sheet.rows:
        return ""
    right = [
        all(_is_number(row[place]) for row in sheet.rows) and any(row[place] is not None for row in sheet.rows)
        for place in range(len(sheet.columns))
    ]
    sides = [' class="right"' if one else "" for one in right]
    heads = "".join(f'<th scope="col"{side}>{plain(name)}</th>' for name, side in zip(sheet.columns, sides, strict=True))
    rows = "".join(
        "<tr>"
        + "".join(f"<td{side or _whole(cell)}>{_cell(cell, anchors)}</td>" for cell, side in zip(row, sides, strict=True))
        + "</tr>"
        for row in sheet.rows[:MOST_ROWS]
    )
    table = f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    count = len(sheet.rows)
    note = f'<p class="soft">{plain(sheet.note)}</p>' if sheet.note else ""
    if count > MOST_ROWS:
        note += (
            f'<p class="soft">The first {MOST_ROWS} of {count:,} rows; all of them stand in the table kept with the run.</p>'
        )
    if sheet.folded or (sheet.folded is None and count > SHOWN_ROWS):
        lines = f"{count:,} {'row' if count == 1 else 'rows'}"
        opened = ' class="printed"' if sheet.printed else ""
        return f"<details{opened}><summary>{plain(sheet.title)} ({lines})</summary>{note}{table}</details>"
    return (f"<h3>{plain(sheet.title)}</h3>" if sheet.title else "") + note + table


def _whole(cell: object) -> str:
    return ' class="whole"' if _is_measure(cell) else ""


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)) or _is_measure(cell)


def _is_measure(cell: object) -> bool:
    """Tell whether a text is a number, or one with its interval."""
    return isinstance(cell, str) and bool(cell) and not set(cell) - set("0123456789.,-–[] <>∞%+")


def _cell(cell: object, anchors: set[str]) -> str:
    if isinstance(cell, Tag):
        return _tag(cell)
    if isinstance(cell, Link):
        return f'<a href="#{plain(cell.anchor)}">{plain(cell.text)}</a>' if cell.anchor in anchors else plain(cell.text)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return plain(number(cell) if isinstance(cell, float) else "" if cell is None else cell)


def _tag(tag: Tag) -> str:
    return f'<span class="tag {tag.tone}">{plain(tag.text)}</span>'
