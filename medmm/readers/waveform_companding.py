"""Sound in 8 bits on a logarithmic scale (mu-law, A-law), as 16-bit numbers.

Source: ITU-T G.711 (1988), tables 1a to 2b.
"""

import numpy as np

from medmm.types import Array

MU_BIAS = 0x84
"""Added before the logarithm is taken, so that the smallest segment is like the others."""


def mu_law() -> Array:
    """Give the (256,) int16 values of the mu-law codes."""
    codes = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = codes >> 4 & 7, codes & 15
    size = (((step << 3) + MU_BIAS) << segment) - MU_BIAS
    return np.where(codes & 0x80, -size, size).astype(np.int16)


def a_law() -> Array:
    """Give the (256,) int16 values of the A-law codes."""
    codes = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = codes >> 4 & 7, codes & 15
    size = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(codes & 0x80, size, -size).astype(np.int16)
