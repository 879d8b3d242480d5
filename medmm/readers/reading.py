"""What a run may ask of the image readers; as it stands, real values and no resampling."""

from typing import Literal

from medmm.settings import Settings


class Reading(Settings):
    """How DICOM images are read."""

    tilt: Literal["refuse", "resample"] = "refuse"
    """The sheared stack of a tilted gantry: refuse it, or put it straight by moving each slice within its plane."""

    pet: Literal["stored", "suv"] = "stored"
    """PET values: in the unit they are stored in, mostly Bq/ml, or as SUV by body weight."""

    values: Literal["real", "presentation"] = "real"
    """All values: in real units, or from 0 to 1 as the header's first VOI window or lookup table shows them on a screen."""


AS_STORED = Reading()
