"""Speed as ratios: ours beside its rival and its limit, interleaved in one run."""
