"""The text of a DICOM structured report, as a note with a heading a line.

Of the tree only texts, codes and measurements are carried on, each after its concept name. Names of persons, dates, identifiers
and references are not, nor is the context of the observation (who observed, and whom), nor the title of the document; a name
that somebody wrote into a text stays there, as in any note.

A report that is PARTIAL is refused: what is missing may be the finding. One that is UNVERIFIED is read: many systems never set
the flag (nobody verifies what a device measured), and a model meets such reports when it is used.

Source: DICOM PS3.3, section C.17.2 (document general: completion, verification) and C.17.3 (document content).
"""

from collections.abc import Iterator
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_file import read_header

REPORTS = "1.2.840.10008.5.1.4.1.1.88."
"""SOP classes of documents begin so (PS3.4, annex B.5)."""

TEXT_REPORTS = frozenset(f"{REPORTS}{number}" for number in (1, 2, 11, 22, 33, 34, 35))
"""Basic text, enhanced, comprehensive, comprehensive 3D and extensible reports, and the trial versions of the first two; not
dose reports, logs, key images or what a computer detected."""

KEYWORDS = ("SpecificCharacterSet", "SOPClassUID", "CompletionFlag", "ContentSequence")

CONTEXT = frozenset(("HAS OBS CONTEXT", "HAS ACQ CONTEXT"))
"""Relationships to who observed whom, and with what (PS3.3, table C.17.3-8)."""

MODIFIER = "HAS CONCEPT MOD"
"""Under the title: the language of the document. Further down: what a finding is worth, such as its side."""


def read_report(file: Path, where: str, limit: int) -> str:
    """Read a structured report as lines of "heading: text"; "" where it holds no text.

    Args:
        file: A DICOM file.
        where: Which file it is, in words that hold no patient.
        limit: Most characters.

    Raises:
        Rejected: UNSUPPORTED (another kind of DICOM object, or a partial report), EMPTY, TOO_LARGE, or why the file cannot be
            read: MALFORMED (nested beyond the limit among others), TRUNCATED.
    """
    report = read_header(file, where, KEYWORDS, whole=True).attributes
    if report.text("SOPClassUID") not in TEXT_REPORTS:
        found = "a DICOM object that is no report of text"
        raise Rejected(Code.UNSUPPORTED, where, found, "text, or a structured report", "give the note itself")
    if report.text("CompletionFlag") == "PARTIAL":
        raise Rejected(Code.UNSUPPORTED, where, "a partial report", "a complete one", "export it once it is complete")
    if not report.has("ContentSequence"):  # also what is left of a file that ends right before it
        raise Rejected(Code.EMPTY, where, "a report without content", "a report", "export it again")
    lines: list[str] = []
    size = 0
    for line in _lines(report, top=True):
        size += len(line) + 1
        if size > limit:
            raise Rejected(Code.TOO_LARGE, where, "a report beyond the limit", f"at most {limit >> 20} MiB", "give one report")
        lines.append(line)
    return "\n".join(lines)


def _lines(parent: Attributes, *, top: bool = False) -> Iterator[str]:
    """Give the lines of what stands under a node of the tree, whose depth the reader of the file has limited."""
    for node in parent.items("ContentSequence"):
        relationship = node.text("RelationshipType")
        if relationship in CONTEXT or (top and relationship == MODIFIER):
            continue
        name, value = _meaning(node, "ConceptNameCodeSequence"), _value(node)
        if value:
            yield f"{name}: {value}" if name else value
        elif name and node.text("ValueType") == "CONTAINER":
            yield f"{name}:"
        yield from _lines(node)


def _value(node: Attributes) -> str:
    """Give the value of a text, code or measurement; "" for all else, names of persons among them."""
    kind = node.text("ValueType")
    if kind == "TEXT":
        text = node.text("TextValue").replace("\r\n", "\n").replace("\r", "\n")
        return text.replace("\0", " ").strip()
    if kind == "CODE":
        return _meaning(node, "ConceptCodeSequence")
    if kind == "NUM":
        for measured in node.items("MeasuredValueSequence")[:1]:
            unit = next((one.text("CodeValue") for one in measured.items("MeasurementUnitsCodeSequence")), "")
            number = next(iter(measured.words("NumericValue")), "")
            return _line(f"{number} {unit}") if number else ""
    return ""


def _meaning(node: Attributes, keyword: str) -> str:
    return next((_line(code.text("CodeMeaning")) for code in node.items(keyword)), "")


def _line(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())
