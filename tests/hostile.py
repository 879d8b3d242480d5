"""Texts that try to be more than text, and a reader of pages that tells whether one of them succeeded."""

from collections.abc import Collection
from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "<img src='https://example.org/x.png'>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href='javascript:alert(1)'>more</a>",
    "javascript:alert(1)",
    "<!-- ",
    "--> <b>",
    "]]></svg><script>alert(1)</script>",
    "<base href=https://example.org/>",
    "<meta http-equiv=refresh content=0;url=https://example.org>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<style>*{display:none}</style>",
    "</table></main></body></html>",
    "<plaintext>",
    "<textarea>",
    "<form action=https://example.org><input name=q>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    r"$\frac{1}{0",
    r"$$\input{/etc/passwd}$$",
    "=cmd|' /C calc'!A0",
    "../../../etc/passwd",
    "\x1b[31mred\x1b]0;title\x07",
    "zero\0byte \ud800 \ufffe",
    "\u202egnp.exe\u2066 \u200b\u2028next",
    "[red]markup[/red] | **bold** `code` [x](javascript:alert(1))",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "\x1b]8;;https://example.org\x1b\\here\x1b]8;;\x1b\\",
    "\x9b31mred\x9d0;title\x9c",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<svg><script>alert(1)</script></svg>",
    "<img src=x onerror=&#97;lert(1)>",
    "<details open ontoggle=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "a\r\nE_GAP: a line\rof one's own\b\b",
    "@import 'https://example.org/x.css';",
    "url(https://example.org/x.png)",
    ":smile: [/] [link=https://example.org]x[/link]",
)
ALONE = {"meta", "br", "img"}
WORDS = """html head title style body header section div h1 h2 h3 p dl dt dd ul li nav ol a span main figure
    details summary table thead tbody tr th td small footer"""
KNOWN = ALONE | set(WORDS.split())


class Seen(HTMLParser):
    """Reads a page: its tags with the names of their attributes, its texts, its links, and the words for its pictures.

    Args:
        page: Its HTML.
        more: Tags that it has beside those of the report.
    """

    def __init__(self, page: str, more: Collection[str] = ()) -> None:
        super().__init__(convert_charrefs=True)
        self._known = KNOWN | set(more)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.pictures: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self._known, f"a tag that no page of ours has: {tag}"
        found = {name: value or "" for name, value in attrs}
        assert not [name for name in found if name.startswith("on") or name == "style"]
        self.tags.append((tag, tuple(found)))
        if "href" in found:
            assert found["href"].startswith("#"), found["href"]
            self.links.append(found["href"][1:])
        if "src" in found:
            assert found["src"].startswith("data:image/"), found["src"][:40]
            self.pictures.append((found["src"], found["alt"]))
        if "id" in found:
            self.anchors.append(found["id"])
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")
