"""A small table of terms and gradients."""

import pandas as pd
import pytest


@pytest.fixture
def table() -> pd.DataFrame:
    rows = {
        ("ft", "ce"): {"value": 1.5, "stage 1": 1.0, "new classifier": 0.5},
        ("ilt", "ce"): {"value": 1.5, "stage 1": 1.0, "new classifier": 0.5},
        ("ilt", "mse"): {"value": 600.0, "stage 1": 4000.0, "new classifier": 0.0},
        ("mib", "kd"): {"value": 0.0, "stage 1": 3e-8, "new classifier": 0.02},
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["method", "term"])
