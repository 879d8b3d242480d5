"""The report of a run: hostile text stays text, numbers are short, links lead somewhere, and every text can be read."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from hostile import HOSTILE, Seen

from medmm.evaluation.canvas import canvas, svg_of
from medmm.preview.report_page import (
    MOST_ROWS,
    SHOWN_ROWS,
    STYLE,
    Drawing,
    Link,
    Part,
    Sheet,
    Summary,
    Tag,
    measure,
    number,
    report_page,
)

SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


def page_of(text: str) -> str:
    """Give a page with a text wherever one can stand."""
    sheet = Sheet(text, (text, "n", text), [(text, 1, Tag(text, "bad")), (Link(text, "one"), 2, Link(text, text))], note=text)
    long = Sheet(text, (text,), [(text,)] * (SHOWN_ROWS + 1))
    part = Part("one", text, [text, text], [Drawing(SVG, text)], [sheet, long])
    summary = Summary(text, text, text, text, [(text, text)], [(Tag(text, "good"), text, text)], text)
    return report_page(text, text, summary, [part], text)


def svg_text(text: str) -> str:
    figure = canvas(9, 4)
    axes = figure.add_subplot()
    axes.set_title(text)
    axes.plot([1, 2], [1, 2], label=text)
    axes.set_xticks([1, 2], ["", text.encode("utf-8", "replace").decode()])
    axes.legend()
    return svg_of(figure)


def test_there_are_thirty_hostile_texts() -> None:
    assert len(set(HOSTILE)) >= 30


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_changes_no_tag_of_the_page(text: str) -> None:
    harmless, seen = Seen(page_of("harmless")), Seen(page_of(text))
    assert seen.tags == harmless.tags
    assert seen.links == harmless.links
    shown = "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in text)
    assert seen.texts.count(shown) == harmless.texts.count("harmless")
    assert not re.search("[\x00-\x08\x1b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "".join(seen.texts))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_in_a_figure_is_drawn_and_leaves_it_a_picture(text: str) -> None:
    part = Part("one", "title", [], [Drawing(svg_text(text), text)])
    page = report_page("title", "", Summary("", "", "", "", [], []), [part], "")
    ((source, _),) = Seen(page).pictures
    drawn = ET.fromstring(base64.b64decode(source.partition(",")[2]))
    assert not [one for one in drawn.iter() if one.tag.endswith(("script", "foreignObject", "image", "}a"))]


def test_a_page_loads_nothing_and_forbids_a_browser_to() -> None:
    page = page_of("text")
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|<link|<script|src=\"(?!data:)", page)


def test_a_figure_has_words_that_stand_for_it() -> None:
    assert [said for _, said in Seen(page_of("a curve")).pictures] == ["a curve"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (0.0001, "<0.001"), (-0.0001, ">-0.001"), (0.0, "0.000"), (12345.6, "12,346"), (float("nan"), "–")],
)
def test_a_number_has_three_decimals_at_most(value: float, text: str) -> None:
    assert number(value) == text


def test_a_number_stands_with_its_interval_and_one_without_stands_alone() -> None:
    nan = float("nan")
    assert measure(0.8, 0.7, 0.9) == "0.800 [0.700, 0.900]"
    assert measure(0.8, nan, nan) == "0.800"
    assert measure(nan, nan, nan) == "–"


def test_numbers_are_aligned_and_texts_are_not() -> None:
    rows = [("a", 1, "0.800 [0.700, 0.900]", None), ("b", 2, "–", 3.0)]
    sheet = Sheet("t", ("name", "n", "value", "gap"), rows)
    page = report_page("t", "", Summary("", "", "", "", [], []), [Part("one", "t", sheets=[sheet])], "")
    heads = re.findall(r"<th scope=\"col\"( class=\"right\")?>(\w+)", page)
    assert [name for right, name in heads if right] == ["n", "value", "gap"]


def test_a_long_table_is_folded_and_an_endless_one_cut() -> None:
    def shown(rows: int) -> Seen:
        sheet = Sheet("t", ("n",), [(f"row {i}",) for i in range(rows)])
        return Seen(report_page("t", "", Summary("", "", "", "", [], []), [Part("one", "t", sheets=[sheet])], ""))

    assert "details" not in {tag for tag, _ in shown(SHOWN_ROWS).tags}
    folded = shown(SHOWN_ROWS + 1)
    assert "details" in {tag for tag, _ in folded.tags}
    assert sum(one.startswith("row ") for one in folded.texts) == SHOWN_ROWS + 1
    cut = shown(MOST_ROWS + 50)
    assert sum(one.startswith("row ") for one in cut.texts) == MOST_ROWS
    assert any(f"The first {MOST_ROWS} of {MOST_ROWS + 50} rows" in one for one in cut.texts)


def test_a_link_to_nowhere_is_plain_text() -> None:
    rows = [(Link("here", "one"),), (Link("nowhere", "two"),)]
    seen = Seen(
        report_page("t", "", Summary("", "", "", "", [], []), [Part("one", "t", sheets=[Sheet("s", ("c",), rows)])], "")
    )
    assert seen.links == ["one", "one"]  # from the contents, and from the cell
    assert "nowhere" in seen.texts


def luminance(colour: str) -> float:
    """Give the relative luminance of WCAG 2."""
    digits = colour.lstrip("#")
    digits = "".join(one * 2 for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["light", "dark", "paper"])
def test_every_text_has_a_contrast_of_at_least_4_5(place: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", blocks[place]))
    pairs = [(text, ground) for text in ("text", "soft", "link", "bad") for ground in ("page", "card")]
    pairs += [(tone, f"{tone}-bg") for tone in ("good", "open", "bad", "neutral")]
    for text, ground in pairs:
        lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)
