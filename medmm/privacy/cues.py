"""Names and places of anybody, told by the words around them: "Dr.", "daughter", "signed by", "lives in", "Hospital".

After a title or "name:" a word goes whatever it is, so a surgeon called Foley goes too; after other cues it stays where it is a
word of clinical notes or an eponym.
"""

import re
from collections.abc import Iterator

from medmm.privacy.eponyms import EPONYMS, GIVEN_NAMES, PHRASES
from medmm.privacy.folded import Folded, Span
from medmm.privacy.struck import LETTERS, NAME, PLACE
from medmm.privacy.vocabulary import is_word

TITLES = (
    r"mr|mrs|ms|miss|mx|messrs|dr|drs|doctor|prof|professor|sir|dame|lord|lady|madam|herrn?|frau|hr|fr|mme|monsieur|madame|senor|senora"
    r"|rev|reverend|pastor|father|rabbi|imam|capt|captain|sgt|lt|col|nurse|attorney|judge"
)
RELATIONS = (
    r"wife|husband|spouse|partner|son|daughter|mother|father|mom|mum|dad|brother|sister|aunt|uncle|niece|nephew|cousin|grandson"
    r"|granddaughter|grandmother|grandfather|friend|neighbou?r|carer|caregiver|guardian|kin|boyfriend|girlfriend|fiancee?|tochter|sohn"
    r"|ehefrau|ehemann|mutter|vater|bruder|schwester|twin|baby|boy|girl|employer|teacher|colleague|roommate|landlord"
)
PEOPLE = (
    r"patients?|pat|pt|surgeon|physician|doctor|consultant|registrar|resident|radiologist|cardiologist|oncologist|pathologist|gp|pcp"
    r"|attending|anaesthetist|anesthesiologist|technologist|technician|midwife|therapist|pharmacist|practitioner|intern|nurse|social\sworker"
    r"|referrer|author|reporter|reader|interpreter|donor|patientin|patienten|hausarzt|arzt|oberarzt|chefarzt|operator"
)
ACTS = (
    r"signed|dictated|transcribed|typed|reviewed|reported|verified|seen|referred|examined|accompanied|approved|authored|attested|performed|read"
    r"|discussed|spoke|written|prepared|interpreted|supervised|assisted|entered|electronically\ssigned|e-signed|communicated|called|informed"
    r"|authenticated|validated|consented|treated|managed|admitted|discharged|assessed|operated|unterschrieben|diktiert|gezeichnet|befundet"
)
LABELS = (
    r"(?:(?:patient|full|first|last|family|given|maiden|middle)(?:'s)?[\s_-]?)?names?(?:\sof\spatient)?|surname|vorname|nachname"
    r"|familienname|dear|attn|attention|cc(?=[ \t]{0,3}:)"
    r"|signature|signed|gez|next\sof\skin|emergency\scontact|known\sas|aka|a\.k\.a\."
    r"|named|called|nee|geb|geborene"
)
WORD = r"[^\W\d_]+(?:['\-][^\W\d_]+)*"
PARTICLES = r"(?:(?:von|van|de|der|den|del|della|la|le|di|da|du|el|al|bin|ibn|zu|zur|st\.?|o'|mc|mac)\s){0,3}"
NEXT = re.compile(rf"(?P<sep>[ \t]?[.,]?[ \t]{{0,3}}|[ \t]?\n[ \t]?)(?P<word>{PARTICLES}{WORD})\.?", re.IGNORECASE)

TITLE = re.compile(
    rf"(?<![^\W_])(?P<title>{TITLES})(?![^\W_])\.?[ \t]{{0,3}}(?:(?:{TITLES}|med)\.?[ \t]{{1,3}}){{0,2}}", re.IGNORECASE
)
LABEL = re.compile(
    rf"(?<![^\W_])(?:{LABELS})(?:[\"']?[ \t]{{0,3}}(?P<mark>[:=>|])[ \t]{{0,3}}[\[\"']{{0,2}}|[ \t])[ \t]{{0,3}}", re.IGNORECASE
)
"""Also as JSON, XML and HL7 write it."""

CUE = re.compile(
    rf"(?<![^\W_])(?:(?:{RELATIONS}|{PEOPLE})(?![^\W_])(?:[ \t]{{0,2}}[,(:])?(?:\s(?:is|was|named|called|name\sis|name))?"
    rf"|(?:{ACTS})(?:[ \t]{{1,2}}(?:by|with|to|from|von|mit|electronically|over\sthe\sphone)){{1,2}}(?:[ \t]the)?"
    rf"(?:[ \t](?:{PEOPLE}))?(?![^\W_]))[ \t]{{0,2}}:?[ \t]{{0,3}}",
    re.IGNORECASE,
)
CREDENTIALS = re.compile(
    r"(?P<name>(?:[A-Z][\w'\-]{0,30}\.?\s){0,2}[A-Z][\w'\-]{1,30}),?\s"
    r"(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|Ph\.?D\.?|NP|PA-C|FRCR|FRCS|FRCP|FACR|MBBS|MBChB|MRCP|BSN|CRNP|LPN|RT|DDS|PharmD|Esq|Jr|Sr)"
    r"(?![\w])\.?"
)
PLACES = re.compile(
    r"(?<![^\W_])(?:liv(?:es?|ed|ing)|resid(?:es?|ed|ing)|resident|native|inhabitant|citizen|comes?|came|mov(?:ed|ing)"
    r"|travel(?:s|led|ed|ling|ing)?|trip|flew|visit(?:s|ed|ing)?|return(?:ed|ing)?|born|grew\sup|emigrated|immigrated|transferred"
    r"|transfer|admitted|discharged|referred|employed|works?|worked|working|retired|stay(?:ed|ing)?|wohnhaft|wohnt|lebt|stammt"
    r"|geboren)[ \t]{1,2}(?:(?:back|alone|home|here|with\s\w{3,12})[ \t]{1,2})?"
    r"(?:in|of|at|to|from|near|for|around|outside|aus|nach|bei)[ \t]{1,2}(?:the[ \t])?",
    re.IGNORECASE,
)
WHENCE = re.compile(
    r"(?<![^\W_])(?:from|near|hometown|city|town|county|village|address|home\saddress|wohnort|adresse|anschrift|ort)"
    r"(?:[ \t]{0,2}:|[ \t](?:of[ \t])?)[ \t]{0,2}(?:the[ \t])?",
    re.IGNORECASE,
)
FACILITY = re.compile(
    r"(?<![^\W_])(?P<place>(?:(?:St\.?|[A-Z][\w'\-]{0,30}\.?)[ \t](?:of[ \t]|and[ \t]|&[ \t])?){1,5}"
    r"(?:Hospitals?|Clinic|Medical\sCent(?:er|re)|Infirmary|Klinikum|Krankenhaus|University|College|School|Nursing\sHome|Care\sHome"
    r"|Hospice|Church|Prison|Health\s(?:Center|Centre|System)|Inc|Ltd|LLC|GmbH|AG|Corp|Company))(?![^\W_])"
)
FACILITY_AFTER = re.compile(
    r"(?<![^\W_])(?:University|Universitatsklinikum|Universitat|Klinikum|Krankenhaus|Hospital)[ \t](?:of[ \t])?"
    r"(?P<place>[A-Z][\w'\-]{2,30})"
)
GIVEN = re.compile(r"(?<![^\W_])(?P<given>[A-Z][a-z]{1,14}|[A-Z]{2,14})(?P<rest>(?:[ \t][A-Z]\.?){0,2}[ \t][A-Z][\w'\-]{1,30})")
SURNAME_FIRST = re.compile(
    r"(?<![^\W_])(?P<rest>[A-Z][\w'\-]{1,30}),[ \t]?(?P<given>[A-Z][a-z]{1,14}|[A-Z]{2,14})(?![^\W_])"
    r"(?:[ \t][A-Z]\.?(?![^\W_]))?"
)
TITLES_THAT_ARE_WORDS = frozenset(
    ("father", "lady", "nurse", "judge", "doctor", "sir", "lord", "fr", "ms", "col", "lt", "captain")
)
"""After them, a word without a capital letter is none of a name."""

LONGEST_NAME = 4


def cue_spans(folded: Folded) -> Iterator[Span]:
    """Find names and places of anybody by the words around them; the cue itself stays."""
    for start, end in _names(folded.plain):
        yield folded.span(start, end, NAME)
    for start, end in _places(folded.plain):
        yield folded.span(start, end, PLACE)


def _names(text: str) -> Iterator[tuple[int, int]]:
    for match in TITLE.finditer(text):
        yield from _named(text, match.end(), True, match["title"].casefold() not in TITLES_THAT_ARE_WORDS)
    for match in LABEL.finditer(text):
        yield from _named(text, match.end(), bool(match["mark"]), bool(match["mark"]))
    for match in CUE.finditer(text):
        yield from _named(text, match.end(), False)
    for match in CREDENTIALS.finditer(text):
        if not _all_words(match["name"]):
            yield match.span("name")
    for pattern in (GIVEN, SURNAME_FIRST):
        for match in pattern.finditer(text):
            last = LETTERS.findall(match["rest"])[-1]
            if match["given"].casefold() in GIVEN_NAMES and not is_word(last) and not is_phrase(text, match.start()):
                yield match.span()


def _places(text: str) -> Iterator[tuple[int, int]]:
    for cue in (PLACES, WHENCE):
        for match in cue.finditer(text):
            yield from _named(text, match.end(), False)
    for pattern in (FACILITY, FACILITY_AFTER):
        for match in pattern.finditer(text):
            if not _all_words(match["place"]):
                yield match.span("place")


def _named(text: str, start: int, boldly: bool, lower: bool = False) -> Iterator[tuple[int, int]]:
    """Give where a name stands that begins here, if one does.

    Args:
        text: In plain letters.
        start: Where it would begin.
        boldly: Whether its first word is one whatever it is.
        lower: Whether its words may be without a capital letter.
    """
    end, at, last = start, start, ""
    first = None
    for number in range(LONGEST_NAME):
        match = NEXT.match(text, at)
        if match is None or not _goes_on(match, number, last, boldly, lower):
            break
        first = match.start("word") if first is None else first
        last = match["word"].split()[-1]
        end, at = match.end("word"), match.end()
    if first is not None and (boldly or end - first > 1):
        yield first, end


def _goes_on(match: re.Match[str], number: int, last: str, boldly: bool, lower: bool) -> bool:
    """Tell whether a word belongs to a name of which `number` words came before it."""
    word, between = match["word"].split()[-1], match["sep"]
    known = all(map(is_word, re.split(r"['\-]", word))) or (word.casefold().removesuffix("'s") in EPONYMS and not boldly)
    if not number:
        if between.strip():
            return False
        return (boldly and (word[0].isupper() or (lower and not known))) or (word[0].isupper() and not known)
    if "\n" in between or ("." in between and len(last) > 2 and len(word) > 1):
        return False
    if "," in between and (known or not boldly):
        return False
    return (word[0].isupper() and (len(word) == 1 or not known)) or (lower and not known and len(word) > 1)


def is_phrase(text: str, start: int) -> bool:
    """Tell whether an eponym with a given name in it begins here."""
    return text[start : start + 24].casefold().replace("-", " ").startswith(PHRASES)


def _all_words(text: str) -> bool:
    return all(map(is_word, LETTERS.findall(text)))
