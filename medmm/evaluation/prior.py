"""What is said of a study of which nothing is known. S studies, T numbers of a target, C answers."""

from medmm.cohort.target import TargetSettings
from medmm.evaluation.survival import kaplan_meier
from medmm.types import Array


def prior(target: TargetSettings, label: Array) -> Array:
    """Give the answer (C,) of the training studies as a whole: prevalence, mean value, or risk by the Kaplan-Meier curve.

    Args:
        target: What is predicted.
        label: (S, T) of the training studies.
    """
    return 1 - kaplan_meier(label, target.horizons) if target.task == "survival" else label.mean(axis=0)
