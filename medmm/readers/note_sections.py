"""A note as its sections, found by the headings that clinicians write.

A heading is a known title before a colon, wherever it stands; or, alone on its line, in capitals before its text, or before a
dash at the start of a line. Titles that nobody listed start no section: what follows stays in the section before, so that a
strange title never frees text of a section that is left out.

Source: DICOM PS3.16, CID 7001 and 7002 (report sections), and the titles that hospitals' notes and reports carry.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

SectionName: TypeAlias = Literal[
    "history",
    "indication",
    "request",
    "comparison",
    "technique",
    "examination",
    "findings",
    "laboratory",
    "medication",
    "allergies",
    "course",
    "impression",
    "diagnosis",
    "plan",
    "other",
]

SECTIONS: tuple[SectionName, ...] = get_args(SectionName)
"""Every section that there is."""

OTHER: SectionName = "other"
"""Text before the first heading."""

TITLES: dict[SectionName, str] = {
    "history": (
        "history|hx|clinical history|clinical details|clinical information|clinical data|clinical context|clinical background|"
        "background|bg|history of present illness|history of presenting illness|history of presenting complaint|hpi|hpc|"
        "present illness|presenting complaint|presentation|clinical presentation|pc|chief complaint|cc|complaints|symptoms|"
        "past medical history|past history|pmh|pmhx|psh|past surgical history|family history|fh|social history|sh|"
        "review of systems|ros|interval history|subjective|anamnese|vorgeschichte|eigenanamnese|klinische angaben|"
        "klinische information|antécédents|antecedentes|anamnesi"
    ),
    "indication": (
        "indication|indications|reason for exam|reason for examination|reason for study|reason for visit|reason for referral|"
        "reason for admission|reason|clinical indication|clinical question|question|indikation|fragestellung|"
        "rechtfertigende indikation|indicación"
    ),
    "request": "request|requested|requested procedure|referral|auftrag",
    "comparison": (
        "comparison|comparisons|compared with|previous studies|prior studies|previous findings|prior exams|voraufnahmen|"
        "voruntersuchung|vergleich"
    ),
    "technique": (
        "technique|procedure|procedures|procedure description|protocol|method|methods|contrast|acquisition|technik|"
        "untersuchungstechnik|técnica"
    ),
    "examination": (
        "examination|exam|physical examination|physical exam|clinical examination|on examination|o/e|vitals|vital signs|"
        "observations|objective|untersuchung|körperliche untersuchung"
    ),
    "findings": "finding|findings|report|description|observation|results|result|befund|befunde|hallazgos",
    "laboratory": "laboratory|laboratory data|laboratory results|lab results|labs|lab|bloods|blood tests|labor",
    "medication": (
        "medication|medications|current medication|current medications|home medications|discharge medications|meds|drugs|"
        "drug history|dh|treatment history|medikation"
    ),
    "allergies": "allergies|allergy|adverse reactions|allergien",
    "course": "course|hospital course|clinical course|verlauf",
    "impression": (
        "impression|impressions|imp|conclusion|conclusions|opinion|summary|assessment|a/p|a&p|comment|comments|interpretation|"
        "evaluation|formulation|beurteilung|zusammenfassung|conclusión|conclusioni|synthèse"
    ),
    "diagnosis": (
        "diagnosis|diagnoses|dx|ddx|differential|differentials|differential diagnosis|working diagnosis|final diagnosis|"
        "discharge diagnosis|admission diagnosis|problem|problems|diagnose|diagnosen|diagnostic|diagnóstico|diagnosi"
    ),
    "plan": "plan|recommendation|recommendations|management|disposition|follow up|follow-up|advice|procedere|empfehlung",
    "other": "other|other information",
}
"""Section -> its titles in lower case; English first, and what leaves a diagnosis out in some other languages."""

STATES_DIAGNOSIS: tuple[SectionName, ...] = ("impression", "diagnosis", "plan")
"""Sections in which the writer says what it is, or what is done about it."""

NOTE_END = "\x1e"
"""Between two notes of one study (the record separator of ASCII): the next starts without a section."""

TITLE_CHARACTERS = 64
TITLE_WORDS = 6
"""A longer phrase before a colon is a sentence."""

_NAMES = {title: name for name, titles in TITLES.items() for title in titles.split("|")}
_LINE = re.compile(rf"[^\n\r\f\v\u2028\u2029{NOTE_END}]+|{NOTE_END}")
_COLON = re.compile("[:\uff1a]")
_PHRASE_END = re.compile(r"[.;!?|](?=\s)|[:\uff1a\t]")
_DECORATION = re.compile(r"[\s*_#>\u2022\u00b7-]*(?:\(?\d{1,2}[.)])?[\s*_#]*")
_WORD = re.compile(r"[^\W\d_]+(?:[/&'-][^\W\d_]+)*")
_BRACKETS = re.compile(r"\([^()]*\)")
_JOINED = re.compile(r"\s*(?:,|/|&|\+|\band\b|\bund\b)\s*")
_ABOUT = re.compile(r"\s(?:of|at|on|for|from|by|after|before)\s")
_DASH = re.compile(r"\s+[-\u2013\u2014]+\s")


class Section(NamedTuple):
    """A part of a note.

    Attributes:
        name: One of `SECTIONS`.
        heading: As the note has it, with what ends it; empty before the first heading.
        text: What follows, up to the next heading.
    """

    name: SectionName
    heading: str
    text: str


def split_sections(note: str) -> list[Section]:
    """Split a note into its sections; headings and texts, joined, are the note. Takes time linear in its length."""
    sections: list[Section] = []
    name, start, end = OTHER, 0, 0
    for next_name, next_start, next_end in _headings(note):
        if next_start > start:
            sections.append(Section(name, note[start:end], note[end:next_start]))
        name, start, end = next_name, next_start, next_end
    if start < len(note):
        sections.append(Section(name, note[start:end], note[end:]))
    return sections


def keep_sections(note: str, names: Collection[str]) -> str:
    """Give a note without the sections that are not named; "" where nothing but white space and headings would be left."""
    kept: list[str] = []
    any_text = False
    for section in split_sections(note):
        if section.name in names:
            whole = section.heading + section.text
            apart = not kept or kept[-1][-1].isspace() or whole[0].isspace()
            kept += [whole] if apart else ["\n", whole]
            any_text |= bool(section.text.strip(f"{NOTE_END} \t\r\n\f\v*_#-"))
    return "".join(kept).strip() if any_text else ""


def join_notes(notes: Iterable[str]) -> str:
    """Join the notes of a study, none of which holds a `NOTE_END`, so that no section runs on from one into the next."""
    joined: list[str] = []
    headed = False
    for note in notes:
        joined += ["\n" + NOTE_END * headed] * bool(joined) + [note]
        headed = headed or any(section.heading for section in split_sections(note))
    return "".join(joined)


def _headings(note: str) -> Iterator[tuple[SectionName, int, int]]:
    """Give name, start and end of every heading, in order."""
    for found in _LINE.finditer(note):
        line, offset = found[0], found.start()
        if line == NOTE_END:
            yield OTHER, offset, offset + 1
            continue
        colons = 0
        for name, start, end in _before_colons(line):
            colons += 1
            yield name, offset + start, offset + end
        if not colons and (whole := _without_colon(line)):
            yield whole[0], offset, offset + whole[1]


def _before_colons(line: str) -> Iterator[tuple[SectionName, int, int]]:
    """Give the headings of a line that end with a colon."""
    after = 0
    for colon in _COLON.finditer(line):
        low, end = max(after, colon.start() - TITLE_CHARACTERS), colon.start()
        breaks = [found.end() for found in _PHRASE_END.finditer(line, low, end)]
        place = breaks[-1] if breaks else low
        begins = bool(breaks) or low == 0  # a sentence or a line, rather than the middle of one
        after = colon.end()
        words = [(word.start(), word[0]) for word in _WORD.finditer(line, place, end)]
        if not words:
            continue
        known = _capitalised(line, words, end)
        name = _named(line[place:end]) if begins and len(words) <= TITLE_WORDS else None
        if name and not (known and _interrupts(words, known[1])):
            yield name, 0 if _is_decoration(line, place) else place, after
        elif known:
            yield known[0], known[1], after


def _interrupts(words: list[tuple[int, str]], place: int) -> bool:
    """Tell whether a capital title stands after a word that is no part of a title: "no fever today Plan:"."""
    before = [word for start, word in words if start < place]
    return bool(before) and before[-1].islower() and before[-1] not in ("and", "of", "the", "und")


def _is_decoration(line: str, place: int) -> bool:
    """Tell whether nothing but a bullet or a number stands before a place of a line."""
    return place < TITLE_CHARACTERS and _DECORATION.fullmatch(line, 0, place) is not None


def _capitalised(line: str, words: list[tuple[int, str]], end: int) -> tuple[SectionName, int] | None:
    """Give the longest known title that ends here and starts with a capital, within a line that lost its breaks."""
    for start, _ in words[-TITLE_WORDS:]:
        if line[start].isupper() and (name := _NAMES.get(_plain(line[start:end]))):
            return name, start
    return None


def _without_colon(line: str) -> tuple[SectionName, int] | None:
    """Give name and end of the heading that a line starts with, or is, without any colon."""
    begin = line[: 2 * TITLE_CHARACTERS]
    decorated = _DECORATION.match(begin)
    place = decorated.end() if decorated else 0
    if len(line) <= TITLE_CHARACTERS:
        plain = _plain(line[place:])
        known = [_NAMES[part] for part in _JOINED.split(plain) if part in _NAMES]
        if plain in _NAMES or (line.isupper() and len(known) == len(_JOINED.split(plain))):
            return _NAMES.get(plain) or _worst(known), len(line)
    if (dash := _DASH.search(begin, place)) and (name := _NAMES.get(_plain(line[place : dash.start()]))):
        return name, dash.end()
    if line.isupper():
        return None  # the whole line is shouted, so capitals tell nothing
    best = None
    for number, word in enumerate(_WORD.finditer(begin, place)):
        if number == TITLE_WORDS or not word[0].isupper():
            break
        if len(word[0]) > 2 and (name := _NAMES.get(_plain(line[place : word.end()]))):
            best = name, word.end()
    return best


def _named(title: str) -> SectionName | None:
    """Give the section of a title: listed, or made of listed ones ("Findings and impression", "Findings of the CT")."""
    plain = _plain(title)
    if plain in _NAMES:
        return _NAMES[plain]
    parts = [name for part in _JOINED.split(plain) if (name := _ending(_ABOUT.split(part)[0]))]
    return _worst(parts) if parts else None


def _worst(names: Sequence[SectionName]) -> SectionName:
    """Give the section of a heading that names several: one that states the diagnosis, where there is one."""
    return next((name for name in names if name in STATES_DIAGNOSIS), names[0])


def _ending(title: str) -> SectionName | None:
    """Give the section of the longest listed title that ends a title, such as "ct findings"."""
    words = title.split()
    return next((_NAMES[end] for at in range(len(words)) if (end := " ".join(words[at:])) in _NAMES), None)


def _plain(title: str) -> str:
    """Give a title in lower case without brackets, numbers, decoration and spare space."""
    return " ".join(_BRACKETS.sub(" ", title).strip(" \t.,*_#>-\u2022\u00b70123456789()[]").lower().split())
