"""What is known of a patient, in the forms in which it is written: found in a text in plain letters."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from medmm.privacy.eponyms import EPONYMS
from medmm.privacy.folded import Folded, Span, plain_letters, spellings
from medmm.privacy.known import KnownValues
from medmm.privacy.vocabulary import is_word, word_set

NAME, NUMBER, DATE, PLACE, CONTACT = "[NAME]", "[ID]", "[DATE]", "[PLACE]", "[CONTACT]"

NO_NAMES = word_set(
    """dr mr mrs ms miss prof professor herr frau md phd med dipl jr sr ii iii iv von van de der den del della la le di da
    du el al bin ibn zu zum zur and und y anon anonym anonymous anonymized anonymised name none patient removed test
    unknown unbekannt male female nn na null nan"""
)
"""Parts of a name that are on their own nobody's."""

NOT_IN_ADDRESS = word_set(
    """street st str strasse road rd avenue ave lane ln drive dr court ct way place pl square north south east west n s e w
    apt suite unit floor no nr the of am an der die das in im upper lower main high long park church hill new old united
    states usa uk us germany deutschland england"""
)
"""Parts of an address that stand in notes for other things."""

LEAST_TYPO = 5
"""Letters of a name of which one may be wrong: among shorter ones too many other words are so near."""

LEAST_SPACED, LEAST_PAIRED, LEAST_ALONE, LEAST_BARE = 4, 3, 4, 5
SPACES = r"[\s.\-_/]"
LETTERS = re.compile(r"[^\W\d_]+")
IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
UNSPACED = "\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3040-\u30ff\uac00-\ud7a3"
LEAST_WITHIN = re.compile(rf"{IDEOGRAPH.pattern}+|[{UNSPACED}]{{2,}}|[^\W\d_a-z]{{3,}}")
"""What is found within a word too: names in scripts that put no space between words, or that bend them."""

LONGEST_NAMES = 200
"""Parts of names of one patient; more are no one's."""


@dataclass(frozen=True)
class Known:
    """What is known of one patient, ready to be looked for.

    Attributes:
        values: As headers and tables say it.
    """

    values: KnownValues

    @cached_property
    def names(self) -> frozenset[str]:
        """Parts of names, in plain letters and lower case; each also as ue for an umlaut, and the other way round."""
        parts: dict[str, None] = {}
        for value in self.values.names:
            for form in sorted(spellings(value)):
                for part in LETTERS.findall(form):
                    if (len(part) > 1 or IDEOGRAPH.fullmatch(part)) and part not in NO_NAMES:
                        parts[part] = None
                        short = re.sub("([aou])e", r"\1", part)
                        if len(part) > LEAST_PAIRED and not is_word(short):
                            parts[short] = None
        return frozenset(itertools.islice(parts, LONGEST_NAMES))

    @cached_property
    def initials(self) -> str:
        """First letters of the parts of the names."""
        return "".join(sorted({part[0] for part in self.names}))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Identifiers, letters and digits only, in lower case; also without the zeros before them."""
        plain = {re.sub(r"[\W_]", "", plain_letters(value)) for value in self.values.identifiers}
        plain |= {bare for one in plain if len(bare := re.sub(r"^[^\W\d_]+", "", one)) >= LEAST_BARE}
        return tuple(sorted({form for one in plain for form in (one, one.lstrip("0")) if form}, key=len, reverse=True))

    @cached_property
    def patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """What is looked for as a whole: identifiers, telephone numbers, addresses, and names in unusual forms."""
        found = [(NUMBER, number_pattern(number)) for number in self.numbers]
        for born in self.values.birth_dates:
            year, month, day = born.split("-")
            short = year[2:]
            orders = (day + month + year, month + day + year, day + month + short, month + day + short, short + month + day)
            found.append((DATE, re.compile(rf"(?<!\d)(?:{'|'.join(orders)})(?!\d)")))
        for phone in self.values.phones:
            digits = re.sub(r"\D", "", phone)
            forms = {digits, digits.lstrip("0"), re.sub(r"^(?:00)?(?:1|49|44|43|41|33)", "", digits)}
            found += [(CONTACT, _spaced(form, r"[\s()./\-]{0,3}")) for form in sorted(forms) if len(form) > 5]
        for address in self.values.addresses:
            found += [(PLACE, pattern) for pattern in _address(address)]
        long = sorted(part for part in self.names if len(part) >= LEAST_PAIRED)[:12]
        pairs = "|".join(re.escape(a + b) for a, b in itertools.permutations(long, 2))
        if pairs:
            found.append((NAME, re.compile(rf"(?<![^\W\d_])(?:{pairs})(?![^\W\d_])", re.IGNORECASE)))
        for part in sorted(self.names):
            if len(part) >= LEAST_SPACED:
                spaced = rf"{part[0]}(?P<s>{SPACES}{{1,2}})" + "(?P=s)".join(map(re.escape, part[1:]))
                found.append((NAME, re.compile(rf"(?<![^\W\d_]){spaced}(?![^\W\d_])", re.IGNORECASE)))
        foreign = sorted((part for part in self.names if LEAST_WITHIN.fullmatch(part)), key=len, reverse=True)
        if foreign:
            found.append((NAME, re.compile("|".join(map(re.escape, foreign)), re.IGNORECASE)))
        if len(self.initials) > 1:
            one = rf"[{self.initials.upper()}]"
            found.append((NAME, re.compile(rf"(?<!\w){one}\.[ -]?{one}\.(?:[ -]?{one}\.)?(?!\w)")))
        return tuple(found)

    @cached_property
    def _wrong(self) -> dict[str, bool]:
        return {}

    def is_name(self, word: str) -> bool:
        """Tell whether a word, in plain letters as it stands, is a part of the name, or one with a letter wrong."""
        low = word.casefold()
        if low in self.names:
            return len(low) > 2 or word[0].isupper()
        for end in ("s", "es", "en", "sche", "schen", "scher"):
            if low.endswith(end) and low[: -len(end)] in self.names and len(low) - len(end) > 2:
                return True
        if len(low) < LEAST_TYPO - 1 or is_word(word) or low.removesuffix("s") in EPONYMS or low in EPONYMS:
            return False
        if low not in self._wrong:
            self._wrong[low] = any(len(part) >= LEAST_TYPO and one_apart(low, part) for part in self.names)
        return self._wrong[low]

    def spans(self, folded: Folded) -> Iterator[Span]:
        """Find what is known in a text."""
        text = folded.plain
        for start, end in self._name_places(text):
            yield folded.span(start, end, NAME)
        for token, pattern in self.patterns:
            for match in pattern.finditer(text):
                yield folded.span(*match.span(), token)

    def _name_places(self, text: str) -> Iterator[tuple[int, int]]:
        """Find names word by word, with the initials beside them."""
        if not self.names:
            return
        one = rf"(?:[{self.initials}{self.initials.upper()}](?![^\W\d_])\.?)"
        before = re.compile(rf"(?<![^\W\d_])(?:{one}[ \-]{{0,2}}){{1,3}}$")
        after = re.compile(rf",?[ \-]{{0,2}}(?:{one}[ \-]{{0,2}}){{1,3}}(?![^\W\d_])")
        for match in LETTERS.finditer(text):
            if self.is_name(match[0]):
                start, end = match.span()
                if initial := before.search(text[max(0, start - 12) : start]):
                    start -= len(initial[0])
                if follows := after.match(text, end):
                    end = follows.start() + len(follows[0].rstrip(" -"))
                possessive = re.match(r"'s?(?![^\W\d_])", text[end : end + 3])
                yield start, end + (len(possessive[0]) if possessive else 0)


def one_apart(a: str, b: str) -> bool:
    """Tell whether one letter added, left out, changed, or exchanged with the next makes one word of the other."""
    if a == b:
        return True
    if abs(len(a) - len(b)) > 1:
        return False
    first = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        swapped = a[first : first + 2] == b[first : first + 2][::-1] and a[first + 2 :] == b[first + 2 :]
        return swapped or a[first + 1 :] == b[first + 1 :]
    short, long = sorted((a, b), key=len)
    return short[first:] == long[first + 1 :]


def number_pattern(number: str) -> re.Pattern[str]:
    """Give the pattern of an identifier, with separators or without; a short one alone only after a word for identifiers."""
    if len(number) >= LEAST_ALONE:
        return _spaced(number, r"[\s\-./_:]{0,2}")
    cue = r"(?:id|mrn|pid|patient|case|chart|file|no|nr|number|record|study|accession)"
    return re.compile(rf"(?<![^\W_]){cue}[\s.:#=]{{0,4}}{re.escape(number)}(?!\w)", re.IGNORECASE)


def merged_values(values: Iterable[KnownValues]) -> KnownValues:
    """Put together what several sources say of one patient."""
    all_values = list(values)

    def of(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for part in all_values for one in getattr(part, name) if one.strip()))

    return KnownValues(of("names"), of("identifiers"), of("birth_dates"), of("addresses"), of("phones"))


def find_numbers(folded: Folded, numbers: Mapping[str, object]) -> Iterator[Span]:
    """Find identifiers of anybody in the cohort that stand as they are.

    Args:
        folded: The text.
        numbers: In lower case.
    """
    for match in re.finditer(r"[^\W_](?:[\w.\-/]{0,98}[^\W_])?", folded.plain):
        if match[0].casefold() in numbers:
            yield folded.span(*match.span(), NUMBER)


def _spaced(letters: str, between: str) -> re.Pattern[str]:
    edge = r"\d" if letters[0].isdigit() else r"[^\W\d_]"
    end = r"\d" if letters[-1].isdigit() else r"[^\W\d_]"
    return re.compile(rf"(?<!{edge}){between.join(map(re.escape, letters))}(?!{end})", re.IGNORECASE)


def _address(address: str) -> Iterator[re.Pattern[str]]:
    """Give patterns of an address as a whole, of its house number and street, and of its telling words."""
    for form in spellings(address):
        words = re.findall(r"[^\W_]+", form)
        if len(words) > 1:
            yield _words(words)
        for line in re.split(r"[,\n^;|]", form):
            parts = re.findall(r"[^\W_]+", line)
            if len(parts) > 1:
                yield _words(parts)
        for word in words:
            if (word.isdigit() and len(word) > 4) or (len(word) > 3 and not word.isdigit() and word not in NOT_IN_ADDRESS):
                yield re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", re.IGNORECASE)


def _words(words: list[str]) -> re.Pattern[str]:
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,4}".join(map(re.escape, words)) + r"(?![^\W_])", re.IGNORECASE)
