"""A second look at a cleaned note, by looser rules than those that cleaned it: where it trips, the note stays behind.

It sees the note with every date that was moved written as [DATE], so that any other date is one that was missed.
"""

import html
import re
from collections.abc import Collection
from enum import StrEnum
from itertools import pairwise

from medmm.privacy.cues import is_phrase
from medmm.privacy.eponyms import EPONYMS, GIVEN_NAMES
from medmm.privacy.folded import fold
from medmm.privacy.struck import IDEOGRAPH, Known, one_apart
from medmm.privacy.vocabulary import is_word
from medmm.privacy.written_dates import WORD


class Trip(StrEnum):
    """Why a note stays behind."""

    KNOWN = "D_KNOWN"
    """Something like what is known of the patient, or a name in the cohort."""

    NAME = "D_NAME"
    """Words that may be a name or a place."""

    DATE = "D_DATE"
    """What may be a date that could not be read."""

    NUMBER = "D_NUMBER"
    """Digits that may be a number of somebody or something."""

    CONTACT = "D_CONTACT"
    """What may be an address on a network."""

    SCRIPT = "D_SCRIPT"
    """Words in other than Latin letters, or letters written as codes, in which no rule here knows a name."""

    NOBODY = "D_NOBODY"
    """Nothing says whose the note is, so nothing known could be struck from it."""

    RARE = "D_RARE"
    """A word that is in no list and that too few patients share: it may name somebody."""

    LONG = "D_LONG"
    """The note is longer than what is looked through."""


TOKENS = re.compile(r"\[(?:NAME|ID|DATE|PLACE|CONTACT)\]")
CAPITAL = re.compile(r"(?<![^\W_])[A-Z][^\W\d_]*(?:'[^\W\d_]+)?(?![^\W_])")
UNITS = (
    r"\s{0,2}(?:/\s?(?:u|mu|micro)?l\b|/\s?mm|per\b|cells?\b|copies\b|iu\b|i\.u\.|units?\b|u\b|ml\b|mg\b|g\b|mcg\b|x\s?10|\*\s?10"
    r"|/hpf|/cmm|/cumm|platelets|leu[ck]o)"
)
DIGITS = re.compile(rf"(?<![\d.])\d{{5,}}(?!{UNITS})(?!\d)|(?<![\d.])\d(?:[ \-]\d|\d){{7,}}(?!{UNITS})(?!\d)", re.IGNORECASE)
DATES = re.compile(
    rf"(?<!\d)\d{{1,4}}[./\-]\d{{1,2}}[./\-]\d{{2,4}}(?!\d)|(?<!\w)\d{{1,2}}(?:st|nd|rd|th)?[ .\-](?:of )?(?i:{WORD})(?![^\W_])"
    rf"|(?<![^\W_])(?:{WORD.title()}|{WORD.upper()})[ .\-]{{1,2}}\d{{1,4}}(?![\w/%.]|\s?(?:mg|ml))"
    r"|(?<![\w./-])(?:[1-9]|1[0-2])-(?:19|20)\d\d(?![\w/-])"
    r"|(?<!\w)(?:19|20)\d\d-?W\d\d(?!\w)|(?<!\w)[QK][1-4][ /\-]{0,2}(?:19|20)\d\d(?!\w)",
)
CONTACTS = re.compile(r"@|https?:|www\.|://|\.com\b|\(at\)", re.IGNORECASE)
SCRIPT = re.compile("[^\\W\\d_A-Za-z]{2,}|" + IDEOGRAPH.pattern)
CODED = re.compile(
    r"\\u(?P<u>[0-9a-f]{4})|\\x(?P<x>[0-9a-f]{2})|(?P<entity>&(?:#x?[0-9a-f]{2,6}|[a-z]{3,8});)|[%=]C[3-5][%=][89AB][0-9A-F]",
    re.IGNORECASE,
)
"""How JSON, HTML, web addresses and mail write letters with accents."""

GREEK = re.compile("[\u0370-\u03ff\u00b5]")
CODE = re.compile(r"(?<![A-Za-z\d])(?=[A-Z]{0,40}\d)(?=\d{0,40}[A-Z])[A-Z\d]{8,}")
LEAST_NAME, LEAST_DIGITS = 4, 6
TWO_APART = 8
"""Letters of a name from which on two may be wrong."""

LONGEST = 1 << 20


def find_trip(masked: str, known: Known, others: Collection[tuple[str, str]] = ()) -> Trip | None:
    """Tell why a cleaned note must stay behind; None where it need not.

    Args:
        masked: The note, moved dates written as [DATE].
        known: Of its patient.
        others: Pairs of parts of names that stand in the cohort, in lower case, the parts in the order of the alphabet.
    """
    text = TOKENS.sub(" | ", fold(masked, joined=True).plain)
    if CONTACTS.search(text):
        return Trip.CONTACT
    words = re.findall(r"[^\W\d_]+", text)
    if _is_known(text, words, known) or _is_other(words, others):
        return Trip.KNOWN
    if DATES.search(text):
        return Trip.DATE
    if DIGITS.search(text) or CODE.search(text):
        return Trip.NUMBER
    if SCRIPT.search(text) or any(map(_is_letter, CODED.finditer(text))):
        return Trip.SCRIPT
    return Trip.NAME if _has_name(text) else None


def _is_known(text: str, words: list[str], known: Known) -> bool:
    """Look for what is known with letters wrong, run together, divided, or with anything between its digits."""
    parts = [part for part in known.names if len(part) >= LEAST_NAME]
    for word in {word for word in words if len(word) >= LEAST_NAME - 1}:
        low = word.casefold()
        for part in parts:
            near = low == part or (len(part) > LEAST_NAME and part in low and not is_word(low))
            if not near and abs(len(low) - len(part)) <= 2:
                far = len(part) >= TWO_APART and not is_word(low) and _two_apart(low, part)
                near = far or (len(part) > LEAST_NAME and not _is_clinical(word) and one_apart(low, part))
            if near:
                return True
    runs = {"".join(words[at : at + many]).casefold() for many in (2, 3) for at in range(len(words) - many + 1)}
    if not runs.isdisjoint(parts):
        return True
    letters = re.sub(r"[\W\d_]+", "", text).casefold()
    long = [part for part in known.names if len(part) > LEAST_NAME]
    if any(a + b in letters for a in long for b in long if a != b):
        return True
    digits = re.sub(r"[^\d\n]+", "", text)
    numbers = [re.sub(r"\D", "", number) for number in known.values.identifiers + known.values.phones]
    return any(len(number) >= LEAST_DIGITS + 1 and number in digits for number in numbers)


def _is_other(words: list[str], others: Collection[tuple[str, str]]) -> bool:
    """Look for somebody else's first and last name beside each other."""
    low = [word.casefold() for word in words]
    return bool(others) and any((min(pair), max(pair)) in others for pair in pairwise(low))


def _is_clinical(word: str) -> bool:
    return is_word(word) or word.casefold() in EPONYMS or word.casefold().removesuffix("s") in EPONYMS


def _is_letter(code: re.Match[str]) -> bool:
    """Tell whether a code stands for a letter that may be one of a name; Greek ones are of units and proteins."""
    digits = code["u"] or code["x"]
    letter = chr(int(digits, 16)) if digits else html.unescape(code["entity"] or "e")
    return letter.isalpha() and GREEK.fullmatch(letter) is None


def _two_apart(a: str, b: str) -> bool:
    """Tell whether two letters wrong make one word of the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1] <= 2


def _has_name(text: str) -> bool:
    """Look for words with a capital letter that no note has: two together, one within a sentence, or a frequent given name."""
    last_end, last_unknown = -9, False
    for match in CAPITAL.finditer(text):
        word = match[0].removesuffix("'s")
        unknown = len(word) > 1 and not _is_clinical(word)
        acronym = word.isupper() and len(word) <= 4
        joined = text[last_end : match.start()] in (" ", ", ", "-", ". ") if last_end >= 0 else False
        given = word.casefold() in GIVEN_NAMES and not is_word(word) and word.casefold() not in EPONYMS
        if given or (unknown and joined and last_unknown and not acronym):
            return True
        begins = word.casefold() in GIVEN_NAMES and re.match(r"[ -][A-Z][a-z]+", text[match.end() : match.end() + 20])
        if begins and not is_phrase(text, match.start()):
            return True
        if unknown and not acronym and len(word) > 2 and _within_sentence(text, match.start()):
            return True
        last_end, last_unknown = match.end(), unknown
    return False


def _within_sentence(text: str, start: int) -> bool:
    """Tell whether a word stands where no sentence, line or item begins, so that its capital letter is its own."""
    before = text[max(0, start - 40) : start].rstrip(" \t\"'(")
    return bool(before) and (before[-1].isalnum() or before[-1] in ",&")
