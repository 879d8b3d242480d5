"""Names and places of anybody, told by what stands before or after them: "Dr.", "daughter", "signed by", "lives in", "Hospital".

After a title or "name:" a word goes whatever it is, so a surgeon called Foley goes too; after other cues it stays where it is a word
of clinical notes or an eponym.
"""

import re
from collections.abc import Iterator

from medmm.privacy.eponyms import EPONYMS, GIVEN_NAMES, PHRASES
from medmm.privacy.folded import Folded, Span
from medmm.privacy.struck import NAME, PLACE
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
    r"(?:(?:patient|full|first|last|family|given|maiden|middle)(?:'s)?[\s_-]?)?names?(?:\sof\spatient)?|surname|vorname|nachname|familienname"
    r"|dear|attn|attention|cc|signature|signed|gez|next\sof\skin|emergency\scontact|known\sas|aka|a\.k\.a\.|named|called|nee|geb|geborene"
)
WORD = r"[^\W\d_]+(?:['\-][^\W\d_]+)*"
PARTICLES = r"(?:(?:von|van|de|der|den|del|della|la|le|di|da|du|el|al|bin|ibn|zu|zur|st\.?|o'|mc|mac)\s){0,3}"
NEXT = re.compile(rf"(?P<sep>[ \t]?[.,]?[ \t]{{0,3}}|[ \t]?\n[ \t]?)(?P<word>{PARTICLES}{WORD})\.?", re.IGNORECASE)
GAP = r"[.:]{0,2}[ \t]{0,3}\n?[ \t]{0,3}"

TITLE = re.compile(
    rf"(?<![^\W_])(?:{TITLES})(?![^\W_])\.?[ \t]{{0,3}}(?:(?:{TITLES}|med)\.?[ \t]{{1,3}}){{0,2}}", re.IGNORECASE
)
LABEL = re.compile(rf"(?<![^\W_])(?:{LABELS})(?:[ \t]{{0,3}}[:=]|[ \t])[ \t]{{0,3}}", re.IGNORECASE)
CUE = re.compile(
    rf"(?<![^\W_])(?:(?:{RELATIONS}|{PEOPLE})(?![^\W_])(?:[ \t]{{0,2}}[,(:])?(?:\s(?:is|was|named|called|name\sis|name))?"
    rf"|(?:{ACTS})(?:[ \t]{{1,2}}(?:by|with|to|from|von|mit|electronically|over\sthe\sphone)){{1,2}}(?:[ \t]the)?(?:[ \t](?:{PEOPLE}))?(?![^\W_]))[ \t]{{0,2}}:?[ \t]{{0,3}}",
    re.IGNORECASE,
)
CREDENTIALS = re.compile(
    rf"(?P<name>(?:[A-Z][\w'\-]{{0,30}}\.?\s){{0,2}}[A-Z][\w'\-]{{1,30}}),?\s(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|Ph\.?D\.?|NP|PA-C|FRCR|FRCS|FRCP|FACR|MBBS|MBChB|MRCP|BSN|CRNP|LPN|RT|DDS|PharmD|Esq|Jr|Sr)(?![\w])\.?"
)
PLACES = re.compile(
    r"(?<![^\W_])(?:liv(?:es?|ed|ing)|resid(?:es?|ed|ing)|resident|native|inhabitant|citizen|comes?|came|mov(?:ed|ing)|travel(?:s|led|ed|ling|ing)?|trip"
    r"|flew|visit(?:s|ed|ing)?|return(?:ed|ing)?|born|grew\sup|emigrated|immigrated|transferred|transfer|admitted|discharged|referred|employed|works?"
    r"|worked|working|retired|stay(?:ed|ing)?|wohnhaft|wohnt|lebt|stammt|geboren|works)[ \t]{1,2}(?:(?:back|alone|home|here|with\s\w{3,12})[ \t]{1,2})?"
    r"(?:in|of|at|to|from|near|for|around|outside|aus|nach|bei)[ \t]{1,2}(?:the[ \t])?",
    re.IGNORECASE,
)
WHENCE = re.compile(
    r"(?<![^\W_])(?:from|near|hometown|city|town|county|village|address|home\saddress|wohnort|adresse|anschrift|ort)(?:[ \t]{0,2}:|[ \t](?:of[ \t])?)[ \t]{0,2}(?:the[ \t])?",
    re.I,
)
FACILITY = re.compile(
    r"(?<![^\W_])(?P<place>(?:(?:St\.?|[A-Z][\w'\-]{0,30}\.?)[ \t](?:of[ \t]|and[ \t]|&[ \t])?){1,5}(?:Hospitals?|Clinic|Medical\sCent(?:er|re)|Infirmary|Klinikum|Krankenhaus"
    r"|University|College|School|Nursing\sHome|Care\sHome|Hospice|Church|Prison|Health\s(?:Center|Centre|System)|Inc|Ltd|LLC|GmbH|AG|Corp|Company))(?![^\W_])"
)
FACILITY_AFTER = re.compile(
    r"(?<![^\W_])(?:University|Universitatsklinikum|Universitat|Klinikum|Krankenhaus|Hospital)[ \t](?:of[ \t])?(?P<place>[A-Z][\w'\-]{2,30})"
)
GIVEN = re.compile(r"(?<![^\W_])(?P<given>[A-Z][a-z]{1,14}|[A-Z]{2,14})(?P<rest>(?:[ \t][A-Z]\.?){0,2}[ \t][A-Z][\w'\-]{1,30})")
SURNAME_FIRST = re.compile(
    r"(?<![^\W_])(?P<rest>[A-Z][\w'\-]{1,30}),[ \t]?(?P<given>[A-Z][a-z]{1,14}|[A-Z]{2,14})(?![^\W_])(?:[ \t][A-Z]\.?(?![^\W_]))?"
)
LONGEST_NAME = 4


def cue_spans(folded: Folded) -> Iterator[Span]:
    """Find names and places of anybody by the words around them; the cue itself stays."""
    text = folded.plain
    for cue, boldly in ((TITLE, True), (LABEL, True), (CUE, False)):
        for match in cue.finditer(text):
            if boldly and cue is LABEL and ":" not in match[0] and "=" not in match[0]:
                span = _named(text, match.end(), False)
            else:
                span = _named(
                    text,
                    match.end(),
                    boldly,
                    lower=cue is TITLE
                    and not match[0]
                    .casefold()
                    .startswith(("father", "lady", "nurse", "judge", "doctor", "sir ", "lord", "fr", "ms", "col", "lt")),
                )
            if span:
                yield folded.span(*span, NAME)
    for match in CREDENTIALS.finditer(text):
        if not all(is_word(word) for word in re.findall(WORD, match["name"])):
            yield folded.span(*match.span("name"), NAME)
    for cue in (PLACES, WHENCE):
        for match in cue.finditer(text):
            if span := _named(text, match.end(), False):
                yield folded.span(*span, PLACE)
    for match in FACILITY.finditer(text):
        if not all(is_word(word) for word in re.findall(WORD, match["place"])):
            yield folded.span(*match.span("place"), PLACE)
    for match in FACILITY_AFTER.finditer(text):
        if not is_word(match["place"]):
            yield folded.span(*match.span("place"), PLACE)
    for pattern in (GIVEN, SURNAME_FIRST):
        for match in pattern.finditer(text):
            if match["given"].casefold() in GIVEN_NAMES and not _is_phrase(text, match.start()):
                rest = re.findall(r"[^\W\d_]+", match["rest"])[-1]
                if not is_word(rest):
                    yield folded.span(*match.span(), NAME)


def _named(text: str, start: int, boldly: bool, lower: bool = False) -> tuple[int, int] | None:
    """Give where a name stands that begins here; None where none does.

    Args:
        text: In plain letters.
        start: Where it would begin.
        boldly: Whether its first word is one whatever it is.
        lower: Whether the first word may be without a capital letter.
    """
    first = end = None
    at, number = start, 0
    while number < LONGEST_NAME and (match := NEXT.match(text, at)):
        word = match["word"].split()[-1]
        if number == 0 and match["sep"].strip():
            break
        if number and (
            "\n" in match["sep"] or ("." in match["sep"] and len(word) > 1 and len(text[first:end].split()[-1]) > 2)
        ):
            break
        initial = len(word) == 1 and word.isupper()
        capital = word[0].isupper()
        known = is_word(word) or (word.casefold().removesuffix("'s") in EPONYMS and not boldly)
        fits = (number == 0 and boldly and (capital or (lower and not is_word(word)))) or (capital and (initial or not known))
        if not fits or (number and "," in match["sep"] and (not boldly or known)):
            break
        first = match.start("word") if first is None else first
        end = match.end("word")
        at, number = match.end(), number + 1
    if first is None or end is None:
        return None
    only_initial = end - first == 1
    return None if only_initial and not boldly else (first, end)


def _is_phrase(text: str, start: int) -> bool:
    return any(text[start : start + 24].casefold().replace("-", " ").startswith(phrase) for phrase in PHRASES)
