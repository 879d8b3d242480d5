"""Hidden tokens of a note: predicted from the words around them, or from the note as a whole where it is one token.

Letters: B studies, P chunks, L tokens of a note, N tokens of the encoder, H hidden tokens, W words, D width.
"""

import math
from collections.abc import Mapping

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from medmm.encoders.word_pieces import SPECIAL
from medmm.errors import ConfigError
from medmm.settings import Plain
from medmm.training.pretraining.restorer import Counted, Restored, Restorer, hide_some, mean_where
from medmm.types import Tokens

BLANKS = ("[MASK]", "<mask>", "[UNK]", "<unk>")
"""Tokens that can stand for a hidden one, the best first; the tokenizers that a run learns have the third."""


class WordRestorer(Restorer):
    """Puts the tokenizer's own token for a hidden or unknown word in place of some, and predicts which word it was.

    Args:
        name: Of the input, for the refusal.
        state: Of the text encoder.
        width: D.
        share: Of the tokens that are hidden.

    Raises:
        ConfigError: The tokenizer has no such token.
    """

    never: torch.Tensor

    def __init__(self, name: str, state: Plain, width: int, share: float) -> None:
        super().__init__()
        tokenizer = Tokenizer.from_str(state["tokenizer"])
        blank = next((found for one in BLANKS if (found := tokenizer.token_to_id(one)) is not None), None)
        if blank is None:
            raise ConfigError(
                f"pretraining.method: the tokenizer of {name!r} has no token for a hidden word ({', '.join(BLANKS)}): choose "
                "another encoder, or contrastive"
            )
        self.blank, self.share = int(blank), share
        words = tokenizer.get_vocab_size(with_added_tokens=True)
        special = [number for number, one in tokenizer.get_added_tokens_decoder().items() if one.special]
        special += [found for one in SPECIAL if (found := tokenizer.token_to_id(one)) is not None]
        never = torch.zeros(words, dtype=torch.bool)
        never[[self.blank, state["padding"], *special, *state.get("markers", {}).values()]] = True
        self.register_buffer("never", never, persistent=False)
        self.deep = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, words))
        self.usual = Counted(words)

    def hide(
        self, fields: Mapping[str, torch.Tensor], chance: torch.Generator | None
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Hide some words of each note, never the last one of a chunk: a mask (B, L) or (B, P, L)."""
        ids = fields["ids"].long()
        hidden = hide_some((fields["mask"] > 0) & ~self.never[ids], self.share, chance)
        return {**fields, "ids": ids.masked_fill(hidden, self.blank)}, hidden

    def judge(
        self, fields: Mapping[str, torch.Tensor], hidden: torch.Tensor, tokens: Tokens, context: torch.Tensor
    ) -> Restored:
        """Give the cross-entropy of the hidden words over the logarithm of all words."""
        hidden = hidden & tokens.mask.any(1).reshape(-1, *[1] * (hidden.ndim - 1))
        place = hidden.nonzero(as_tuple=True)
        values = tokens.values
        if hidden.ndim == 2:  # of an encoder that gives a single token, every word is predicted from that
            word = place[1] if values.shape[1] == hidden.shape[1] else torch.zeros_like(place[1])
        else:  # of several chunks each has one token
            word = place[1]
        truth = fields["ids"].long()[place]  # (H,)
        said = self.deep(values[place[0], word] + context[place[0]]).float()  # (H, W)
        own = functional.cross_entropy(said, truth, reduction="none")
        pairs = (torch.zeros(hidden.shape, device=hidden.device).index_put(place, one) for one in (own, self.usual(truth)))
        error, usual = (mean_where(one / math.log(len(self.never)), hidden) for one in pairs)
        return Restored(error, usual, hidden.flatten(1).any(1))
