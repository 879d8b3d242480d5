"""Writes survival.json: what scikit-survival says of the cohort in discrimination.csv.

    python tests/reference/make_survival.py

from the root of the checkout, in an environment of its own that has scikit-survival and pandas.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import sksurv
from sksurv.metrics import brier_score, concordance_index_ipcw, cumulative_dynamic_auc, integrated_brier_score
from sksurv.util import Surv

HERE = Path(__file__).parent
HORIZONS = (100.0, 200.0, 350.0)


def main() -> None:
    """Ask scikit-survival and write."""
    table = pd.read_csv(HERE / "discrimination.csv")
    truth = Surv.from_arrays(table["event"] == 1, table["time"])
    risk = table["risk"].to_numpy()
    risks = np.stack([risk * share for share in (0.5, 0.8, 1.0)], axis=1)  # (S, H) rising with the horizon
    found = {
        "made_by": f"scikit-survival {sksurv.__version__}",
        "horizons": HORIZONS,
        "shares": [0.5, 0.8, 1.0],
        "dynamic_auc": cumulative_dynamic_auc(truth, truth, risk, HORIZONS)[0].tolist(),
        "brier": brier_score(truth, truth, 1 - risks, HORIZONS)[1].tolist(),
        "integrated_brier": float(integrated_brier_score(truth, truth, 1 - risks, HORIZONS)),
        "uno": float(concordance_index_ipcw(truth, truth, risk)[0]),
    }
    (HERE / "survival.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
