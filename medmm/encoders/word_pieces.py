"""Words of notes and the tokenizers that are learned from them: no word of a few patients, so no name, enters a vocabulary."""

import re
from collections import defaultdict
from collections.abc import Sequence
from string import ascii_lowercase

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from medmm.readers.negation import Kind
from medmm.readers.note_sections import SECTIONS
from medmm.settings import Plain

SPECIAL = ["[PAD]", "[UNK]"]  # padding has the id 0
MARKERS = [*(f"[{name}]" for name in SECTIONS), *(f"[{end}{kind}]" for kind in Kind for end in ("", "/"))]
"""Tokens of their own: a section begins; a negated or uncertain part begins, or ends."""

WORD = re.compile(r"\w+|[^\w\s]")


def common_words(notes: Sequence[str], patients: Sequence[str], min_patients: int) -> list[str]:
    """Give the notes without the words that fewer than `min_patients` patients' notes hold."""
    holders: dict[str, set[str]] = defaultdict(set)
    for note, patient in zip(notes, patients, strict=True):
        for word in WORD.findall(note.lower()):
            holders[word].add(patient)
    return [" ".join(word for word in WORD.findall(note.lower()) if len(holders[word]) >= min_patients) for note in notes]


def byte_pairs(notes: Sequence[str], patients: Sequence[str], vocabulary: int, min_patients: int, max_tokens: int) -> Plain:
    """Learn pieces of words; give the state that a text encoder without pretrained weights is built from.

    Args:
        notes: The notes of the training studies.
        patients: Whose note each is.
        vocabulary: Most pieces.
        min_patients: A word is learned from only if the notes of that many patients hold it.
        max_tokens: Longest note, or chunk of a note, in tokens.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Byte pairs without a word mark: the trainers that add one number their pieces by the order of a hash table.
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL + MARKERS,
        show_progress=False,
        initial_alphabet=list(ascii_lowercase),
    )
    tokenizer.train_from_iterator(common_words(notes, patients, min_patients), trainer)
    return {
        "tokenizer": tokenizer.to_str(),
        "tokens": tokenizer.get_vocab_size(),
        "padding": 0,
        "markers": {marker: tokenizer.token_to_id(marker) for marker in MARKERS},
        "max_tokens": max_tokens,
    }
