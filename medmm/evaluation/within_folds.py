"""AUROC of out-of-fold scores: only studies of one fold, which one model scored, are compared with each other.

Scores of different models stand on different scales, so that a pair of studies from two folds says little of any model; put
together they make an AUROC too low, and the more so the fewer studies calibrate a model.

Letters: S studies, R resamples, F folds.

Source:
    Forman & Scholz, Apples-to-apples in cross-validation studies, ACM SIGKDD Explorations 12 (2010) 49-57.
    Airola et al., A comparison of AUC estimators in small-sample studies, MLSB 2009, PMLR 8 (2010) 3-13.
"""

from collections.abc import Sequence

import numpy as np

from medmm.evaluation.delong import placements
from medmm.evaluation.metrics import auroc
from medmm.evaluation.tasks import has_both
from medmm.types import Array, Scores


def headline_within(scores: Scores, fold: Array, weights: Array) -> Array:
    """Give the mean over the classes with positives and negatives of the AUROC within folds, for (R, S) weights: (R,)."""
    columns = np.flatnonzero(has_both(scores.target))
    if not columns.size:
        return np.full(len(weights), np.nan)
    return np.asarray(
        np.mean([auroc_within(scores.predicted[:, c], scores.target[:, c], fold, weights) for c in columns], axis=0)
    )


def auroc_within(probability: Array, target: Array, fold: Array, weights: Array) -> Array:
    """Give the share of pairs of a positive and a negative study of the same fold that stand in the right order.

    Args:
        probability: (S,) of the positive class.
        target: (S,) of 0 and 1.
        fold: (S,) whole numbers that tell folds apart.
        weights: (R, S) how often each study counts.

    Returns:
        (R,); NaN where no fold has both outcomes.
    """
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for one in np.unique(fold):
        here = fold == one
        own = weights[:, here].astype(np.float64)
        positives = own[:, target[here] == 1].sum(axis=1)
        count = positives * (own.sum(axis=1) - positives)
        right += count * np.nan_to_num(auroc(probability[here], target[here], weights[:, here]))
        pairs += count
    return np.asarray(np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))


def placements_within(probability: Array, target: Array, fold: Array) -> Array:
    """Tell how each study stands among the studies of the other outcome in its fold, as `placements` does for one fold.

    Deviations from the AUROC are scaled by the pairs of a fold, so that the mean over the positives is the AUROC within folds,
    and so is the mean over the negatives. What is left of a fold without pairs is the AUROC itself: it moves nothing.

    Args:
        probability: (..., S).
        target: (S,) of 0 and 1.
        fold: (S,) whole numbers that tell folds apart.

    Returns:
        (..., S); NaN where no fold has both outcomes.
    """
    placed = np.full(probability.shape, np.nan)
    scale = np.zeros((2, len(target)))  # of a deviation, as negative and as positive study
    pairs, sums = 0, np.zeros(probability.shape[:-1])
    for one in np.unique(fold):
        here = np.flatnonzero(fold == one)
        positive = target[here] == 1
        positives, negatives = int(positive.sum()), int((~positive).sum())
        if positives and negatives:
            placed[..., here] = placements(probability[..., here], target[here])
            sums += negatives * placed[..., here[positive]].sum(axis=-1)
            pairs += positives * negatives
            scale[0, here], scale[1, here] = positives, negatives
    if not pairs:
        return placed
    value = (sums / pairs)[..., np.newaxis]
    paired = scale[0] > 0
    result = np.broadcast_to(value, probability.shape).copy()
    for outcome in (0, 1):
        chosen = target == outcome
        factor = scale[outcome, chosen & paired] * chosen.sum() / pairs
        result[..., chosen & paired] = value + factor * (placed[..., chosen & paired] - value)
    return result


def mean_placements(scores: Sequence[Scores], folds: Sequence[Array]) -> Array:
    """Average the placements of one method over its seeds, class by class.

    Args:
        scores: One a seed, of the same studies in the same order.
        folds: (S,) of each seed.

    Returns:
        (S, C); their mean over the positives is the mean over the seeds of the AUROC within folds.
    """
    target = scores[0].target
    of_seeds = [
        [placements_within(one.predicted[:, c], target[:, c], fold) for c in range(target.shape[1])]
        for one, fold in zip(scores, folds, strict=True)
    ]
    return np.stack([np.mean(of_class, axis=0) for of_class in zip(*of_seeds, strict=True)], axis=-1)
