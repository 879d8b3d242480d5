"""How long studies were followed up. S studies, H horizons."""

from collections.abc import Sequence

from medmm.errors import DataError
from medmm.types import Array


def check_horizons(horizons: Sequence[float], target: Array) -> None:
    """Make sure that risks by the horizons can be learned.

    Args:
        horizons: (H,)
        target: (S, 2) time and event of the training studies.

    Raises:
        DataError: There is no event, or no study was followed up until the last horizon.
    """
    time, event = target[:, 0], target[:, 1] > 0
    if not event.any():
        raise DataError(f"none of the {len(time)} training studies has the event, so there is nothing to learn")
    if horizons[-1] > time.max():
        raise DataError(
            f"target.horizons: the last is {horizons[-1]:g}, but no training study was followed up longer than {time.max():g}: "
            "take a shorter horizon"
        )
