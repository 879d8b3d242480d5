"""Temperature scaling: one number that makes a network's probabilities as sure as they should be.

Source:
    Guo, Pleiss, Sun & Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
"""

import numpy as np
from scipy.special import logsumexp

from medmm.errors import DataError
from medmm.evaluation.tasks import has_both
from medmm.types import Array, Task

TEMPERATURES = (0.2, 20.0)
"""Where the temperature is sought. Logits that separate the studies perfectly ask for 0, logits that say nothing for infinity;
the limits keep a small validation set from making a model more than five times as sure as it was."""


def fit_temperature(logits: Array, target: Array, task: Task, weights: Array | None = None) -> float:
    """Find the temperature with the smallest negative log-likelihood of the validation studies.

    The likelihood is convex in 1 / T, hence has one minimum in log T, where it is sought.

    Args:
        logits: (S, C) of the validation split.
        target: (S, C) of 0 and 1; one-hot for a multiclass task.
        task: Decides between sigmoid and softmax.
        weights: (S,) how much each study counts; all alike by default.

    Returns:
        T within `TEMPERATURES`; above 1 the model was too sure, below 1 not sure enough.

    Raises:
        DataError: A logit is missing or infinite, or no class has both positives and negatives.
    """
    from scipy.optimize import minimize_scalar

    logits = np.asarray(logits, np.float64)
    if not np.isfinite(logits).all():
        raise DataError("a logit is missing or infinite: the model diverged; lower training.learning_rate and train again")
    if not has_both(target).any():
        raise DataError(
            f"the {len(target)} validation studies hold one class only, so no temperature fits: enlarge the validation split"
        )

    def loss(log_temperature: float) -> float:
        return float(np.average(_nll(logits / np.exp(log_temperature), target, task), weights=weights))

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))


def _nll(logits: Array, target: Array, task: Task) -> Array:
    if task == "multiclass":
        return np.asarray(logsumexp(logits, axis=1) - (target * logits).sum(axis=1))  # (S,)
    return np.asarray((np.logaddexp(0, logits) - target * logits).sum(axis=1))  # (S,)
