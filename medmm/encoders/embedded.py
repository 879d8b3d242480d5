"""Where an encoder holds the vectors of words or cells: one place to watch them, and to shake them."""

from torch import nn


class Embedded(nn.Identity):
    """Gives vectors (B, ...) on as they are; what is missing is zero. It has no weights.

    Who hooks into it sees, and may change, what an encoder of notes or tables reads.
    """
