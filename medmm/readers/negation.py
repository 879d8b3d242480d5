"""What a note denies and what it leaves open: the words in the scope of a negation or of a hedge. English.

A small implementation of two published algorithms. A trigger before ("no evidence of") or after ("has been excluded") its
words marks them up to the end of the sentence, a word that ends the scope ("but"), or the next trigger. A phrase that only
looks like a trigger ("no increase in") marks nothing. Where it differs from the papers: a word has one mark, so the nearest
trigger wins; and a trigger after its words reaches back to a comma, or over the commas of a list that ends in "and" or "or".

Known limits: a comma does not end the scope of a trigger before its words ("no fever, cough" denies both); whose finding it
is, and when, is not told apart; other languages are left unmarked.

Source: Chapman et al. 2001, A simple algorithm for identifying negated findings and diseases in discharge summaries (NegEx);
Harkema et al. 2009, ConText. The tables are this project's own.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from medmm.readers.note_sections import NOTE_END


class Kind(StrEnum):
    """What is said of some words."""

    NEGATED = "neg"
    """They are denied."""

    UNCERTAIN = "unc"
    """They are suspected, possible, or still to be shown."""


BEFORE = {
    Kind.NEGATED: (
        "no|not|without|w/o|never|neither|nor|nil|deny|denies|denied|denying|absent|absence of|lack of|lacks|lacking|free of|"
        "free from|clear of|negative for|no evidence of|no evidence for|no evidence to suggest|no evidence that|no sign of|"
        "no signs of|no features of|no features to suggest|no specific features to suggest|no indication of|no suggestion of|"
        "no history of|no known history of|no past history of|no complaint of|no complaints of|no symptoms of|no finding of|"
        "no findings of|no findings to suggest|no focus of|nothing to suggest|without evidence of|without any evidence of|"
        "without sign of|without signs of|no longer|not have|not had|not show|not reveal|not demonstrate|fails to show|"
        "failed to show|fails to reveal|failed to reveal|failed to demonstrate|ruled out for|rules out|excludes|rather than|"
        "instead of|resolution of|isn't|aren't|wasn't|weren't|doesn't|don't|didn't|hasn't|haven't|hadn't|cannot|can't|couldn't"
    ),
    Kind.UNCERTAIN: (
        "possible|possibly|probable|probably|may|might|could|may represent|may be|might be|could be|could represent|perhaps|"
        "maybe|likely|unlikely|unlikely to be|presumed|presumably|suspect|suspects|suspected|suspicion of|suspicion for|"
        "suspicious for|suspicious of|concern for|concern of|concerned for|concerned about|concerning for|worrisome for|"
        "question of|questionable|query|queried|?|equivocal|equivocal for|rule out|to rule out|r/o|exclude|to exclude|"
        "evaluate for|evaluation for|assess for|look for|looking for|cannot exclude|cannot rule out|can not exclude|"
        "can not rule out|can't exclude|can't rule out|could not exclude|could not rule out|couldn't exclude|does not exclude|"
        "do not exclude|did not exclude|doesn't exclude|does not rule out|not exclude|not rule out|unable to exclude|"
        "unable to rule out|suggest|suggests|suggested|suggesting|suggestive of|suggestion of|unclear if|unclear whether|"
        "not clear if|not clear whether|not certain if|not certain whether|uncertain if|uncertain whether|not sure if|"
        "not sure whether|not certain|not sure|consider|differential includes|at risk of|at risk for|if|watch for|"
        "no certain|versus"
    ),
}
"""Triggers that stand before their words; "?" is the clinician's mark before a suspected word."""

AFTER = {
    Kind.NEGATED: (
        "ruled out|is ruled out|are ruled out|was ruled out|were ruled out|been ruled out|has been ruled out|"
        "have been ruled out|excluded|is excluded|are excluded|was excluded|were excluded|has been excluded|"
        "have been excluded|absent|is absent|are absent|was absent|were absent|denied|was denied|were denied|negative|"
        "is negative|are negative|was negative|were negative|came back negative|not seen|not present|not identified|"
        "not detected|not demonstrated|not visualised|not visualized|not evident|not appreciated|not found|not noted|"
        "not observed|not shown|not visible|not apparent|is not seen|is not present|are not seen|are not present|"
        "was not seen|were not seen|was not present|is not identified|are not identified|was not identified|"
        "was not detected|were not detected|is not evident|has resolved|have resolved|never developed"
    ),
    Kind.UNCERTAIN: (
        "cannot be excluded|cannot be ruled out|can not be excluded|can not be ruled out|can't be excluded|"
        "can't be ruled out|could not be excluded|could not be ruled out|couldn't be excluded|not excluded|is not excluded|"
        "was not excluded|not been excluded|has not been excluded|have not been excluded|not be excluded|not ruled out|"
        "is not ruled out|was not ruled out|not been ruled out|has not been ruled out|not be ruled out|possible|is possible|"
        "are possible|was possible|probable|is probable|likely|is likely|are likely|unlikely|is unlikely|are unlikely|"
        "was unlikely|is less likely|less likely|suspected|is suspected|are suspected|was suspected|were suspected|"
        "questionable|is questionable|in question|is uncertain|is equivocal|to be excluded|should be excluded|"
        "must be excluded|needs to be excluded|to be ruled out|should be ruled out|must be ruled out|should be considered|"
        "must be considered|could be considered|may be considered"
    ),
}
"""Triggers that stand after their words. One that is listed above too stands before them where a word follows it."""

PSEUDO = (
    "no increase|no increase in|no decrease|no decrease in|no change|no change in|no changes|no changes in|"
    "no significant change|no significant change in|no significant increase in|no interval change|"
    "no interval change in|no significant interval change|no significant interval change in|no interval increase in|"
    "no difference|no further|no improvement|no improvement in|no significant improvement|no worsening|"
    "no worsening of|no progression|no progression of|no regression|no regression of|no sign of improvement|"
    "no sign of improvement in|no sign of regression|no sign of regression in|no reduction in|no resolution|"
    "no resolution of|no response to|no relief|no better|no worse|no more than|no less than|no longer than|no doubt|"
    "no doubt of|without doubt|without a doubt|without change|without change in|without changes|without changes in|"
    "without increase in|without improvement|without relief|without difficulty|not only|not just|not necessarily|"
    "not without|not absent|not negative|not negative for|not free of|no absence of|no lack of|not deny|"
    "does not deny|did not deny|doesn't deny|didn't deny|cannot deny|no denying|not lacking|not changed|"
    "not increased|not decreased|not improved|not improving|not worsened|not resolved|has not resolved|"
    "have not resolved|not responded|not responding|not respond|not relieved|not controlled|not unlikely|"
    "not uncommon|gram negative|false negative|negative pressure|if any"
)
"""Phrases that hold a trigger and deny nothing, two negations that cancel each other among them."""

ENDS = (
    "but|however|although|though|except|except for|apart from|aside from|other than|besides|nevertheless|nonetheless|yet|which|"
    "who|whereas|while|despite|because|because of|since|due to|secondary to|caused by|causing|then|reports|complains of|"
    "complaining of|presents with|presented with|presenting with|admits|admits to|admitted|endorses|shows|showed|demonstrates|"
    "demonstrated|reveals|revealed|has|had|developed|develops|remains|remain|persists|persist|continues|there is|there are|"
    "there was|there were|positive|positive for|now|patient|the patient|he|she|:"
)
"""What ends a scope: another clause begins."""

LINKS = (
    "a|all|also|an|and|any|are|as|at|be|been|being|both|by|did|do|does|either|for|from|had|has|have|he|her|his|i|if|in|into|is|it|"
    "its|nor|of|on|or|she|than|that|the|their|there|these|they|this|to|was|we|were|with"
)
"""Words that carry no finding; a mark neither starts nor ends with one."""

VERBS = frozenset(("is", "are", "was", "were", "seen", "reported", "noted", "identified", "performed", "evident", "present"))
"""What follows these is no longer denied by a trigger before them: "no effusion is seen on either side"."""

ABBREVIATIONS = frozenset(
    (
        "approx",
        "dept",
        "dr",
        "etc",
        "fig",
        "figs",
        "inc",
        "max",
        "min",
        "mr",
        "mrs",
        "ms",
        "mt",
        "prof",
        "resp",
        "st",
        "temp",
        "vs",
    )
)
"""Words whose full stop ends no sentence. "No." is one only before a number."""


class Mark(NamedTuple):
    """Words that share what is said of them.

    Attributes:
        start: First character.
        end: Past the last character.
        kind: What is said.
    """

    start: int
    end: int
    kind: Kind


_LINKS = frozenset(LINKS.split("|"))
_TOKEN = re.compile(r"\b[rw]/o\b|\d+(?:[.,]\d+)+|\w+(?:[-'\u2019]\w+)*|(?<!\S)\?(?=\s?\w)|[,:]", re.IGNORECASE)
_STOP = re.compile(
    rf"(?<![.!?])[.!?]++(?=[\"')\]]{{0,4}}(?:\s|\Z))|(?<=[a-z)])\.(?=[A-Z][a-z])|;|[\n\r\f\v\u2028\u2029]+|{NOTE_END}"
)
_LAST_WORD = re.compile(r"[\w.]+\Z")
_BULLET = re.compile(r"\s*(?:[-*\u2022\u00b7>#]|\(?\d{1,3}[.)]\s)")
_LOOK_CHARACTERS = 32  # around a possible end of a sentence


def mark_negation(text: str) -> list[Mark]:
    """Find the words that a text denies or leaves open, in order and without overlap, in time linear in its length."""
    return [mark for start, end in sentences(text) for mark in _marks(text, start, end)]


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Give start and end of each sentence. A line break ends one unless the next line plainly goes on with it."""
    start = 0
    for stop in _STOP.finditer(text):
        if _is_end(text, stop[0], stop.start(), stop.end()):
            yield start, stop.end()
            start = stop.end()
    if start < len(text):
        yield start, len(text)


def _is_end(text: str, stop: str, start: int, end: int) -> bool:
    found = _LAST_WORD.search(text, max(0, start - _LOOK_CHARACTERS), start)
    word = found[0].lower() if found else ""
    after = text[end : end + _LOOK_CHARACTERS]
    if stop == "?":
        return not (start == 0 or text[start - 1].isspace())  # a "?" of its own stands before what is asked
    if stop == ".":
        number = word == "no" and after.lstrip()[:1].isdigit()
        return not (number or word in ABBREVIATIONS or "." in word.strip("."))
    if stop.isspace():
        follows = after.lstrip(" \t")[:1]
        goes_on = follows.islower() or word in _LINKS or word in ("no", "without") or text[start - 1 : start] == ","
        return stop.count("\n") > 1 or not goes_on or _BULLET.match(after) is not None
    return True


class _Event(NamedTuple):
    """A trigger in a sentence: its tokens from `first` up to `last`, what it says of the words after and before it."""

    first: int
    last: int
    forward: Kind | None
    backward: Kind | None


def _marks(text: str, start: int, end: int) -> list[Mark]:
    """Mark one sentence."""
    tokens = list(_TOKEN.finditer(text, start, end))
    words = [_plain(token[0], place) for place, token in enumerate(tokens)]
    said: list[Kind | None] = [None] * len(tokens)
    state: Kind | None = None
    free = place = 0  # the first token that a trigger may still reach back to
    while place < len(tokens):
        event = _event(words, place)
        if event is None:
            state = None if words[place] in VERBS else state
            said[place] = state
            place += 1
            continue
        if event.backward is not None:
            for back in range(_reach(words, free, event.first), event.first):
                said[back] = event.backward
        state, free, place = event.forward, event.last, event.last
    return _joined(tokens, words, said)


def _event(words: list[str], place: int) -> _Event | None:
    """Give the longest trigger that starts at a token."""
    for length, roles in _triggers().get(words[place], ()):
        last = place + len(length)
        if tuple(words[place:last]) == length:
            before, after = roles
            if before and after:
                follows = last < len(words) and words[last] not in (",", ":") and words[last] not in _LINKS
                before, after = (before, None) if follows else (None, after)
            return _Event(place, last, before, after)
    return None


def _reach(words: list[str], free: int, end: int) -> int:
    """Give the first token that a trigger after its words reaches: after a comma, or the first of a list with "and" or "or"."""
    in_list = False
    for place in range(end - 1, free - 1, -1):
        if words[place] == ",":
            in_list = in_list or words[place + 1] in ("and", "or", "nor")
            if not in_list:
                return place + 1
    return free


def _joined(tokens: list[re.Match[str]], words: list[str], said: list[Kind | None]) -> list[Mark]:
    """Join neighbouring words of one kind to marks, without the links at either end."""
    marks: list[Mark] = []
    place = 0
    while place < len(said):
        kind, last = said[place], place
        while last < len(said) and said[last] is kind:
            last += 1
        run = [at for at in range(place, last) if kind and words[at] not in _LINKS and words[at] not in (",", ":", "?")]
        if kind and run:
            marks.append(Mark(tokens[run[0]].start(), tokens[run[-1]].end(), kind))
        place = last
    return marks


def _plain(word: str, place: int) -> str:
    """Give a word as the tables have it; "May" within a sentence is the month."""
    return word if word == "May" and place else word.lower().replace("\u2019", "'")


@cache
def _triggers() -> dict[str, list[tuple[tuple[str, ...], tuple[Kind | None, Kind | None]]]]:
    """Give the triggers by their first word, the longest first: their words, and what they say of what follows and precedes."""
    found: dict[tuple[str, ...], tuple[Kind | None, Kind | None]] = {}
    for kind, phrases in BEFORE.items():
        found |= {tuple(phrase.split()): (kind, None) for phrase in phrases.split("|")}
    for kind, phrases in AFTER.items():
        for phrase in phrases.split("|"):
            words = tuple(phrase.split())
            found[words] = (found.get(words, (None, None))[0], kind)
    found |= {tuple(phrase.split()): (None, None) for phrase in f"{PSEUDO}|{ENDS}".split("|")}
    by_first: dict[str, list[tuple[tuple[str, ...], tuple[Kind | None, Kind | None]]]] = {}
    for words in sorted(found, key=len, reverse=True):
        by_first.setdefault(words[0], []).append((words, found[words]))
    return by_first
