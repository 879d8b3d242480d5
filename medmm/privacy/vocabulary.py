"""Whether a word is one of clinical notes and tables: what begins with a capital letter and is none of them may be a name."""

from medmm.privacy.clinical_words import ABBREVIATIONS, CLINICAL, FURTHER, SECTIONS
from medmm.privacy.ordinary_words import GERMAN, ORDINARY

WORDS = frozenset(" ".join((ORDINARY, CLINICAL, FURTHER, GERMAN, ABBREVIATIONS, SECTIONS)).split())
"""In plain letters and lower case; of eponyms see there."""

ENDINGS = ("s", "es", "ed", "ing", "ly", "al", "ally", "ic", "itis", "ness", "er", "d")

ENDS = """
    itis osis emia aemia ectomy otomy ostomy oscopy opathy algia plasty graphy cillin mycin olol pril sartan
    statin azole prazole oxacin cycline mab nib vir opril dipine xaban tidine plegia paresis megaly uria pnoea
    pnea oma omas oid aneous ation ations ility ular ment ments thorax cardia
"""

CLINICAL_ENDINGS = tuple(ENDS.split())
"""How words of medicine end and names hardly do; "oma" and "mab" end some, so the rest must be five letters at least."""

LEAST_STEM = 5


def word_set(words: str) -> frozenset[str]:
    """Give the words of a text with space between them."""
    return frozenset(words.split())


def is_word(word: str) -> bool:
    """Tell whether a word, in plain letters, is one of a note and nobody's name as far as is known."""
    low = word.casefold()
    if low in WORDS:
        return True
    if any(low.endswith(end) and low[: -len(end)] in WORDS and len(low) - len(end) > 2 for end in ENDINGS):
        return True
    return any(low.endswith(end) and len(low) - len(end) >= LEAST_STEM for end in CLINICAL_ENDINGS)
