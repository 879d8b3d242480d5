"""A hospital export on disk with known truth: for the demonstration, the tests, and to see what a method can find."""

from medmm.cohort.synthetic.export import make_cohort
from medmm.cohort.synthetic.settings import SyntheticSettings

__all__ = ["SyntheticSettings", "make_cohort"]
