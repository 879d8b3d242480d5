"""Networks in tiles of a fixed number of rows, so that what they say of a row depends on nothing but the row.

Libraries of linear algebra choose their way of adding up by the shape of what they are given, so a row among 32 others comes
out a bit in the seventh digit away from the same row alone. In a tile every call has the same shape, filled up with copies of
its last row: then neighbours, place, order and the number of threads change no bit. Whether that holds of a network is tried
where a package is made (`medmm.exact`); a tile of one row always does.

R rows of any number, T rows of a tile, B studies.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from medmm.types import Batch, Tokens

Fields = Mapping[str, torch.Tensor]


def in_tiles(network: Callable[[Fields], Tokens], fields: Fields, tile: int) -> Tokens:
    """Give what a network says of rows, asked tile by tile.

    Args:
        network: Fields (T, ...) -> Tokens, as many for every tile.
        fields: (R, ...) each.
        tile: T.
    """
    count = len(next(iter(fields.values())))
    if count == 0:
        return network(fields)
    said = [
        network({name: filled(values[at : at + tile], tile) for name, values in fields.items()}) for at in range(0, count, tile)
    ]
    return Tokens(torch.cat([one.values for one in said])[:count], torch.cat([one.mask for one in said])[:count])


def filled(values: torch.Tensor, tile: int) -> torch.Tensor:
    """Fill rows (R, ...) up to T with copies of the last one."""
    lacking = tile - len(values)
    return values if lacking == 0 else torch.cat([values, values[-1:].expand(lacking, *values.shape[1:])])


def filled_batch(batch: Batch, tile: int) -> Batch:
    """Fill a batch of at most T studies, to be scored, up to T with copies of its last study."""
    inputs = {name: {key: filled(values, tile) for key, values in fields.items()} for name, fields in batch.inputs.items()}
    present = {name: filled(has, tile) for name, has in batch.present.items()}
    return replace(batch, inputs=inputs, present=present, rows=filled(batch.rows, tile))
