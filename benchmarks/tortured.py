"""One scorer, as `medmm score` is, with short limits and faulty readers: the process that `torture` kills."""

import argparse
from pathlib import Path

LIMIT_SECONDS, LIMIT_BYTES = 5.0, 512 << 20


def main() -> None:
    """Score, and print the digest of all results in the folder."""
    from benchmarks.faults import faulty
    from medmm.package import load_package
    from medmm.scoring.engine import Options
    from medmm.scoring.ledger import open_ledger
    from medmm.scoring.ledger.disks import sweep_killed
    from medmm.scoring.run import Scorer
    from medmm.scoring.studies import find_studies, open_incoming
    from medmm.scoring.violations import write_violations
    from medmm.workers import Limits

    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("studies", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ledger", default="sqlite")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    package = faulty(load_package(asked.model))
    sweep_killed(asked.out / "cache" / "headers")
    sources = open_incoming(package, asked.studies, memory=asked.out / "cache" / "headers")
    found = find_studies(package, asked.studies, sources=sources)
    write_violations(package.inputs, sources, asked.out)
    options = Options(workers=asked.workers, limits=Limits(LIMIT_SECONDS, LIMIT_BYTES))
    with Scorer(package, asked.out, options, ledger=open_ledger(asked.out, package.digest, asked.ledger)) as scorer:
        scorer.round(found)
        print(scorer.export().digest, flush=True)


if __name__ == "__main__":
    main()
