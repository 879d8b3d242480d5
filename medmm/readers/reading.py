"""What a run may ask of the image readers; as it stands, real values and no resampling."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        tilt: Whether the sheared stack of a tilted gantry is refused, or put straight by moving each slice within its plane.
        pet: Whether PET values stay in the unit they are stored in, mostly Bq/ml, or become SUV by body weight.
        values: `real` units; or `presentation`, 0 to 1 as the header's first VOI window or LUT shows them on a screen.
    """

    tilt: Literal["refuse", "resample"] = "refuse"
    pet: Literal["stored", "suv"] = "stored"
    values: Literal["real", "presentation"] = "real"


AS_STORED = Reading()
