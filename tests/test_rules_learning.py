"""A planted rule that records violate: found in what a model says, broken less once it is a penalty, and traced."""

import pytest

from benchmarks.rules import trained


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_violated_rule_is_found_penalised_and_traced(seed: int) -> None:
    watched, ruled = trained(seed, None), trained(seed, 1.0)
    for one in (watched, ruled):
        assert one.firings == one.ruled >= 10  # every study under the rule, by its CRP alone, and no other
        assert one.traced == one.below
    assert ruled.breach.high < watched.breach.low  # the intervals by patient lie apart
    assert ruled.violated.value <= watched.violated.value
    assert ruled.area.value > watched.area.value
