"""Patients and groups shared out into parts, each part as like the whole as may be.

Letters: C classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from medmm.types import Array


def share_patients(strata: Mapping[str, int], shares: Sequence[float], seed: int) -> dict[str, int]:
    """Share out patients by chance, stratum by stratum; their order is of no matter.

    Each goes to the part that lacks most of its share, so that a part never has more than its share by one patient, however
    small the strata are.

    Args:
        strata: Patient -> stratum.
        shares: Of the parts, together 1.
        seed: Another one gives other parts.

    Returns:
        Patient -> number of its part.
    """
    members: dict[int, list[str]] = {}
    for patient in sorted(strata):
        members.setdefault(strata[patient], []).append(patient)
    part: dict[str, int] = {}
    lack = np.zeros(len(shares))
    for stratum, patients in sorted(members.items()):
        np.random.default_rng([seed, stratum]).shuffle(patients)
        for patient in patients:
            lack += shares
            part[patient] = int(lack.argmax())
            lack[part[patient]] -= 1
    return part


def share_groups(counts: Mapping[str, Array], shares: Sequence[float], seed: int) -> dict[str, int]:
    """Share out whole groups, the largest first, each to the part that it brings nearest to its share; no part stays empty.

    Args:
        counts: Group -> (1 + C,) studies, and studies of each class.
        shares: Of the parts, together 1; not more parts than groups.
        seed: Decides among groups of one size.

    Returns:
        Group -> number of its part.
    """
    groups = sorted(counts)
    np.random.default_rng(seed).shuffle(groups)
    groups.sort(key=lambda group: -counts[group][0])
    whole = np.sum([counts[group] for group in groups], axis=0)
    lack = np.outer(shares, np.ones_like(whole))  # (parts, 1 + C) of the whole
    part: dict[str, int] = {}
    for left, group in zip(range(len(groups), 0, -1), groups, strict=True):
        own = counts[group] / np.maximum(whole, 1)
        worse = ((lack - own) ** 2 - lack**2).sum(1)
        empty = [number for number in range(len(shares)) if number not in part.values()]
        if left <= len(empty):
            worse[[number for number in range(len(shares)) if number not in empty]] = np.inf
        part[group] = int(worse.argmin())
        lack[part[group]] -= own
    return part


def bound_together(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Name the smallest groups of pairs of which no two share a name on either side.

    Returns:
        For each pair the least of the second names in its group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, left = np.unique(np.array(first, object), return_inverse=True)
    names, right = np.unique(np.array(second, object), return_inverse=True)
    size = len(first) + len(names)
    joined = coo_array((np.ones(len(left)), (left, len(first) + right)), shape=(size, size))
    _, component = connected_components(joined, directed=False)
    least: dict[int, str] = {}
    for name, own in zip(names, component[len(first) :], strict=True):
        least.setdefault(int(own), str(name))
    return [least[int(component[len(first) + one])] for one in right]
