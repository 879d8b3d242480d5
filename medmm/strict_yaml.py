"""A YAML file read strictly: plain values, no key twice, nothing deep or endless; and where each value of it stands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medmm.errors import ConfigError

DEEPEST = 40
LONGEST = 1_000_000
MOST_NODES = 100_000
"""Values, each counted as often as aliases repeat it."""

ESCAPED = re.compile(r"\\(?:x(..)|u(....)|U(.{8})|(\n\s*)|(.))|''|[\s\S]")
WHITE_ESCAPES = "tn rvf_NLP"  # the others stand for a character that is no white space


@dataclass(frozen=True)
class Place:
    """Where a value stands: line and column from 1, and the line with a caret below the column."""

    line: int
    column: int
    excerpt: str


@dataclass(frozen=True)
class Document:
    """A file as read.

    Attributes:
        name: Of the file, without its folder.
        text: All of it.
        content: Plain values.
        root: The same with their places; None where the file is empty.
    """

    name: str
    text: str
    content: Any
    root: yaml.Node | None

    def place(self, path: Sequence[str | int], offset: int = 0, key: str | None = None) -> Place:
        """Find a value, or the nearest one around it that is there.

        Args:
            path: Keys and indices from the root on.
            offset: Character of the value, where that is a text.
            key: Of the value, a mapping: its place instead of the value's.
        """
        node = self.root
        for step in path:
            inner = _child(node, step)
            if inner is None:
                break
            node = inner
        else:
            if key is not None and isinstance(node, yaml.MappingNode):
                node = next((one for one, _ in node.value if one.value == key), node)
        index = 0 if node is None else _index(self.text, node, offset)
        start = self.text.rfind("\n", 0, index) + 1
        line = self.text[start:].partition("\n")[0]
        shown = "".join(one if one.isprintable() else " " for one in line)
        column = index - start
        return Place(self.text.count("\n", 0, index) + 1, column + 1, f"{shown}\n{' ' * column}^")


def read_document(path: Path, noun: str) -> Document:
    """Read a YAML file.

    Args:
        path: Of the file.
        noun: What it is: "run file".

    Raises:
        ConfigError: It cannot be read, or is no YAML of plain values: says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no {noun} of that name: give the path of a YAML file, such as configs/demo.yaml") from None
    except (OSError, ValueError) as reason:
        raise ConfigError(f"the {noun} cannot be read ({type(reason).__name__}): give a YAML file in UTF-8") from reason
    if len(text) > LONGEST:
        raise ConfigError(f"{path.name} has {len(text):,} characters, at most {LONGEST:,} are read: give a {noun}")
    try:
        loader = StrictLoader(text)
        root = loader.get_single_node()
        if _size(root, {}) > MOST_NODES:
            raise ConfigError(f"{path.name}: its aliases stand for more than {MOST_NODES:,} values: write them out")
        return Document(path.name, text, None if root is None else loader.construct_document(root), root)
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError) as reason:
        mark = getattr(reason, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "unknown line"
        fault = getattr(reason, "problem", None) or "a number or date that is none"
        raise ConfigError(f"{path.name}, {place}: not YAML ({fault}): correct its indentation, brackets or quotes") from reason


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last, and values that are nested too deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node with what is in it."""
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {DEEPEST}", mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a dictionary."""
        keys = [key.value for key, _ in node.value]
        twice = next((key for key, _ in node.value if keys.count(key.value) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice.value!r} stands twice", twice.start_mark)
        return super().construct_mapping(node, deep)


def _size(node: Any, known: dict[int, int]) -> int:
    """Count the values in a node; one that holds itself counts as too many."""
    if id(node) not in known:
        known[id(node)] = MOST_NODES + 1  # stands while the node is being counted
        inner: list[Any] = []
        if isinstance(node, yaml.SequenceNode):
            inner = node.value
        elif isinstance(node, yaml.MappingNode):
            inner = [one for pair in node.value for one in pair]
        known[id(node)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(node)]


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    return None


def _index(text: str, node: yaml.Node, offset: int) -> int:
    """Find a character of a value in the text of the file.

    Folding and quoting change nothing but white space and escapes, so the n-th visible character of the value is the n-th
    visible one of the text.
    """
    start = int(node.start_mark.index)
    if not isinstance(node, yaml.ScalarNode) or offset <= 0:
        return start + (isinstance(node, yaml.ScalarNode) and node.style in ("'", '"'))
    wanted = sum(not one.isspace() for one in node.value[:offset])
    last = start
    for count, (index, width) in enumerate(_visible(text, start, int(node.end_mark.index), node.style)):
        if count == wanted:
            return index
        last = index + width
    return last


def _visible(text: str, start: int, end: int, style: str | None) -> Iterator[tuple[int, int]]:
    """Give place and width of each character of a scalar that is no white space."""
    if style in ("|", ">"):
        start = text.index("\n", start) + 1
    if style in ("'", '"'):
        start, end = start + 1, end - 1
    while start < end:
        width, white = 1, text[start].isspace()
        if (style == '"' and text[start] == "\\") or (style == "'" and text[start] == "'"):
            match = ESCAPED.match(text, start)
            assert match is not None
            width = len(match[0])
            code = match[1] or match[2] or match[3]
            white = bool(match[4]) or (chr(int(code, 16)).isspace() if code else (match[5] or "x") in WHITE_ESCAPES)
        if not white:
            yield start, width
        start += width
