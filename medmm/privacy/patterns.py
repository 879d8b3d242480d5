"""What the identifiers of 45 CFR 164.514(b)(2) look like, whoever they are of: numbers, addresses of every kind, ages.

Names and places by what stands before them are in `cues.py`, dates in `written_dates.py`. Every repetition has a limit, so that
no text takes much longer than its length.

Source:
    45 CFR 164.514(b)(2)(i), (A) to (R).
"""

import re
from collections.abc import Iterator

from medmm.privacy.folded import Folded, Span
from medmm.privacy.struck import CONTACT, DATE, NUMBER, PLACE
from medmm.privacy.written_dates import WORD

AGE = "90"
"""Instead of an age above 89."""

STREETS = (
    "street|st|avenue|ave|road|rd|lane|ln|drive|boulevard|blvd|court|ct|way|place|square|sq|terrace"
    "|highway|hwy|parkway|pkwy|close|crescent"
)
TENS = r"(?:ninety(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?|(?:one|a)\shundred(?:\s(?:and\s)?\w{3,6})?)"
STATES = "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"

CUED = (
    r"mrn|m\.r\.n\.|medical\s{1,3}record|hospital|patient|pat|chart|case|accession|acc|account|acct|policy|member(?:ship)?|insurance|insured"
    r"|health\s{1,3}plan|group|medicare|medicaid|beneficiary|certificate|licen[cs]e|driver'?s?\s{1,3}licen[cs]e|dea|npi|passport|plate|plates"
    r"|registration|vin|vehicle|serial|s/n|sn|device|lot|udi|implant|pacemaker|nhs|id|ident|identifier|encounter|visit|order|specimen|sample"
    r"|admission|episode|file|record|study|ssn|social\s{1,3}security|tax|iban|invoice|claim|room|bed|fallnummer|fall|versichertennummer"
    r"|versicherungsnummer|patientennummer|aktenzeichen|kennzeichen|seriennummer|personalausweis"
)
MARK = r"(?:\s{0,3}(?:numbers?|num|nummer|no|nr|code|id|ending(?:\sin)?|is|was)\b\.?|\s{0,3}[#:=]){1,4}"
CUE_VALUE = re.compile(
    rf"(?<![^\W_])(?:{CUED})(?![^\W_])(?=(?P<mark>{MARK})?(?P<gap>[\s.:#=]{{0,4}})"
    r"(?P<value>[a-z0-9][a-z0-9\-./]{0,40})(?:\s(?P<more>\d{2,8}))?)",
    re.IGNORECASE,
)

PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (CONTACT, re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}")),
    (CONTACT, re.compile(r"(?<![\w.+%-])[\w+%-][\w.+%-]{0,63} ?@ ?[\w-]{1,63}(?: ?\. ?[\w-]{2,63}){1,5}")),
    (
        CONTACT,
        re.compile(
            r"(?<![\w.+%-])[\w.+%-]{1,64} ?[(\[]at[)\]] ?[\w-]{1,63}(?: ?(?:\.|[(\[]dot[)\]]) ?[\w-]{1,63}){0,5}", re.IGNORECASE
        ),
    ),
    (CONTACT, re.compile(r"(?:https?|ftp|file|smb)://[^\s<>\"]{1,2000}|(?<!\w)www\.[^\s<>\"]{1,500}", re.IGNORECASE)),
    (
        CONTACT,
        re.compile(
            r"(?<![\w.-])(?:[a-z0-9-]{2,63}\.){1,4}(?:com|org|net|edu|gov|info|io|de|ch|at|uk|fr|eu|ca|au)(?![\w-])(?:/[^\s<>\"]{0,500})?",
            re.IGNORECASE,
        ),
    ),
    (CONTACT, re.compile(r"(?<!\w)@[\w.]{2,40}")),
    (CONTACT, re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]\d|\d)")),
    (CONTACT, re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}(?::?[0-9a-f]{1,4}){1,4}(?![\w:])", re.IGNORECASE)),
    (CONTACT, re.compile(r"(?<![\w:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:-])", re.IGNORECASE)),
    (NUMBER, re.compile(r"(?<![\d.-])\d{3}[-. ]\d{2}[-. ]\d{4}(?![\d-]|\.\d)")),
    (
        CONTACT,
        re.compile(
            r"(?<![\w.])(?:\+?1[\s.\-]{0,2})?\(?\d{3}\)?[\s./\-]{1,2}\d{3}[\s.\-]{1,2}\d{4}(?!\d)(?:\s{0,2}(?:x|ext\.?)\s?\d{1,6})?"
        ),
    ),
    (CONTACT, re.compile(r"(?<![\w+])\+\d{1,3}(?:[\s()./\-]{0,3}\d){6,14}(?!\d)")),
    (CONTACT, re.compile(r"(?<![\w.,/])\(?0\d{1,5}\)?[\s/\-]{1,3}\d{3,8}(?:[\s\-]\d{2,6}){0,4}(?!\d)")),
    (CONTACT, re.compile(r"(?<![\w.-])\d{3}-\d{4}(?![\w-])")),
    (
        CONTACT,
        re.compile(
            r"(?<![^\W_])(?:tele)?(?:phone|fon|tel|fax|mobile|cell|pager|bleep|ext|extension|call|callback|handy|whatsapp|sms)\b[\s.:#]{0,4}"
            r"(?:(?:number|no|nr|at|on|is|back|her|him|them)\b[\s.:#]{0,3}){0,3}(?P<value>[+(]?\d(?:[\s()./\-]{0,3}\d){2,15})(?!\d)",
            re.IGNORECASE,
        ),
    ),
    (PLACE, re.compile(rf"(?<![\w.])\d{{1,6}}[a-z]?\s{{1,3}}(?:[A-Z][\w.'\-]{{0,30}}\s{{1,3}}){{1,4}}(?i:{STREETS})\b\.?")),
    (
        PLACE,
        re.compile(r"(?<![\w.])\d{1,6}\s{1,3}(?:[a-z'\-]{2,30}\s{1,3}){1,2}(?:street|avenue|road|lane|boulevard)\b"),
    ),
    (
        PLACE,
        re.compile(
            r"(?<!\w)[A-Z][\w\-]{1,40}(?:str\.|strasse|straße|weg|allee|platz|gasse|damm|ring|ufer)\s{0,2}\d{1,4}\s?[a-z]?\b"
            r"(?:,?\s{1,3}(?:D-)?\d{5}(?:\s[A-Z][\w\-]{1,40})?)?"
        ),
    ),
    (
        PLACE,
        re.compile(
            r"(?<!\w)(?:apt|apartment|suite|flat|unit)\b\.?\s{0,2}#?\s?(?:\d{1,5}[a-z]?|[a-z]\d{1,4})(?!\w)", re.IGNORECASE
        ),
    ),
    (PLACE, re.compile(r"(?<!\w)p\.?\s?o\.?\s{0,2}box\s{0,2}\d{1,8}|(?<!\w)postfach\s\d{1,8}", re.IGNORECASE)),
    (
        PLACE,
        re.compile(
            rf"(?<![\w.])(?:[A-Z][a-z.\-]{{1,30}}\s?){{0,3}},?\s{{0,2}}(?:{STATES})[\s,]{{1,3}}\d{{5}}(?:-\d{{4}})?(?!\d)"
        ),
    ),
    (
        PLACE,
        re.compile(
            r"(?<![^\W_])(?:zip|zip\s?code|postal\s?code|postcode|plz)\b[\s.:#]{0,4}(?:is\s)?"
            r"(?P<value>[a-z0-9]{2,5}(?:[- ][a-z0-9]{3,4})?)",
            re.IGNORECASE,
        ),
    ),
    (PLACE, re.compile(r"(?<![\w.])\d{5}-\d{4}(?![\w-])|(?<![\w.])D-\d{5}(?!\d)(?:\s[A-Z][\w\-]{1,40})?")),
    (PLACE, re.compile(r"(?<!\w)[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}(?!\w)")),
    (NUMBER, re.compile(r"(?<!\w)[A-HJ-NPR-Z0-9]{3}(?=[A-Z0-9]{0,13}\d)(?=[A-Z0-9]{0,13}[A-Z])[A-HJ-NPR-Z0-9]{14}(?!\w)")),
    (NUMBER, re.compile(r"(?<!\w)(?:[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?)(?!\w)")),
    (
        NUMBER,
        re.compile(
            r"(?<![^\W_])(?:plates?|kennzeichen|registration)\b(?:\s(?:number|no|nr|is)\b\.?){0,2}[\s:#]{0,3}"
            r"(?P<value>[a-z0-9]{1,4}(?:[- ][a-z0-9]{1,4}){0,2}[- ]?\d{1,4}(?!\w))",
            re.IGNORECASE,
        ),
    ),
    (NUMBER, re.compile(r"(?<![\d.])[012](?:\.\d{1,30}){5,20}(?![\d])")),
    (NUMBER, re.compile(r"(?<!\w)(?:\d[ -]?){13,19}(?!\w)")),
    (NUMBER, re.compile(r"(?<!\w)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?!\w)", re.IGNORECASE)),
    (DATE, re.compile(rf"(?<![\w.])\d{{1,2}}(?:st|nd|rd|th|\.)?\s{{0,2}}(?:of\s)?(?:{WORD})(?![^\W_])\.?", re.IGNORECASE)),
    (
        DATE,
        re.compile(
            rf"(?<!\w)(?:{WORD.title()}|{WORD.upper()})\.?\s{{0,2}}(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?(?![\w/]|\.\d|\s{{0,2}}(?:mg|ml|%))"
        ),
    ),
    (
        DATE,
        re.compile(
            r"(?<!\w)(?:on|dated?|since|until|till|seen|am|vom|seit|bis|admitted|discharged|dob|born|birth|geb)\b[\s.:]{0,3}(?P<value>\d{1,2}[./-]\d{1,2}\.?)(?![\d/]|\.\d)",
            re.IGNORECASE,
        ),
    ),
    (
        DATE,
        re.compile(
            r"(?<!\w)(?:born|birth|dob|d\.o\.b\.|birthday|geb|geboren|birth\s?date|jahrgang|b\.)[\s.:,*]{0,4}"
            r"(?:(?:in|on|the|is|year|am|im|of)\b[\s:.]{0,3}){0,3}(?P<value>(?:18|19|20)\d\d|'?\d\d)(?![\w/.-]?\w)",
            re.IGNORECASE,
        ),
    ),
)
"""What is struck -> what it looks like; where there is a group `value`, that alone goes."""

AGES = re.compile(
    r"(?<![\w.,/])(?P<a>9\d|1[0-3]\d)(?=[\s-]{0,2}(?:-?\s?(?:years?|yrs?|yr)\b[\s-]{0,2}(?:old|of\sage)?|-?y(?:/?o|\.o\.?)?(?![^\W_])|jahre?\b|-?jahrig|ans\b))"
    r"|(?<![^\W_])(?:aged?|alter)(?:\s(?:of|is|was|at|about))?[\s:=]{1,3}(?P<b>9\d|1[0-3]\d)(?![\w%/]|\.\d|\s{0,2}(?:%|mg|ml))"
    rf"|(?<![^\W_])(?P<c>{TENS})(?=[\s-]years?[\s-]old|\syears?\sof\sage|[\s-]year[\s-]old|-jahrig)",
    re.IGNORECASE,
)
YEARS = re.compile(
    r"(?<![^\W_])(?:in|since|from|until|till|during|year|of|circa|ca\.?|before|after|by|around|seit|anno|to|and|late|early|mid)\s{1,2}(?:the\s)?"
    r"(?P<y>19[2-9]\d|20[0-4]\d)(?![\w/:-]|\.\d|\s{0,2}(?:ml|mg|g|kg|cc|mcg|iu|u|units?|cells?|kcal|steps|m|mm|hours|hrs|copies|%|/))"
    r"|\((?P<z>19[2-9]\d|20[0-4]\d)\)",
    re.IGNORECASE,
)
"""A year alone, which is moved like a date: beside dates that were moved it would tell by how much."""


def pattern_spans(folded: Folded) -> Iterator[Span]:
    """Find what looks like an identifier."""
    text = folded.plain
    for token, pattern in PATTERNS:
        group = "value" if "value" in pattern.groupindex else 0
        for match in pattern.finditer(text):
            yield folded.span(*match.span(group), token)
    for match in CUE_VALUE.finditer(text):
        if _is_number(match):
            end = match.end("more") if match["more"] and match["value"][-1].isdigit() and match["mark"] else match.end("value")
            yield folded.span(match.start("value"), end, NUMBER)
    for match in AGES.finditer(text):
        group = str(match.lastgroup)
        if not match[group].isdigit() or int(match[group]) > int(AGE):
            yield folded.span(*match.span(group), AGE)


def _is_number(match: re.Match[str]) -> bool:
    """Tell whether what follows a word such as record is an identifier, and no measure: 'case 3', 'patient 63-year-old'."""
    value, digits = match["value"].rstrip(".-/"), sum(letter.isdigit() for letter in match["value"])
    if not digits or re.fullmatch(
        r"\d{1,3}-?(?:years?|yrs?|y|yo|y/o|day|days|week|weeks|month|months|hours?|mm|cm|mg|ml|kg)(?:-.*)?", value
    ):
        return False
    if match["mark"]:
        return True
    return bool(match["gap"]) and digits >= 4 and re.fullmatch(r"\d{1,4}[./]\d{1,4}", value) is None
