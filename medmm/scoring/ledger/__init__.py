"""What has been scored, kept so that nothing is lost, doubled or mixed whatever is killed."""

from collections.abc import Callable
from pathlib import Path

from medmm.errors import ConfigError
from medmm.scoring.ledger.base import FOLDER, Ledger
from medmm.scoring.ledger.disks import is_shared
from medmm.scoring.ledger.partitions import PARTITIONS, PartitionLedger
from medmm.scoring.ledger.sqlite import FILE, SqliteLedger
from medmm.tables import Table

AUTO = "auto"

LEDGERS: Table[Callable[[Path, str], Ledger]] = Table(
    "ledger",
    {
        "sqlite": SqliteLedger,
        "partitions": PartitionLedger,
    },
)

PLACES = {"sqlite": FILE, "partitions": PARTITIONS}
"""What stands in the folder of a ledger of each kind."""


def open_ledger(out: Path, model: str, kind: str = AUTO, *, sharded: bool = False) -> Ledger:
    """Open the ledger of an output folder.

    Args:
        out: The output folder.
        model: Digest of the model.
        kind: A name in `LEDGERS`; `auto` takes what the folder has, else `partitions` for shards and on network disks.
        sharded: Whether the scorer does one shard of several.

    Raises:
        ConfigError: No such kind, or the folder has a ledger of another kind.
        DataError: The ledger there is damaged or of another version.
    """
    there = [name for name, place in PLACES.items() if (out / FOLDER / place).exists()]
    if kind == AUTO:
        kind = there[0] if there else "partitions" if sharded or is_shared(out) else "sqlite"
    opened = LEDGERS.pick(kind)
    if there and kind not in there:
        raise ConfigError(f"the output folder has a ledger of the kind {there[0]}: leave out --ledger, or give another --out")
    return opened(out, model)
