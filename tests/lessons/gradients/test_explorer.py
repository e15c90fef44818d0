"""The explorer shows the chosen method."""

import pandas as pd
import pytest

from plopkit.lessons.gradients import gradient_explorer

pytestmark = pytest.mark.usefixtures("no_pyplot")


def test_the_picture_follows_the_control(table: pd.DataFrame) -> None:
    explorer = gradient_explorer(table, "ilt")
    assert explorer.values == {"method": "ilt"}
    assert list(explorer.controls["method"].options) == ["ft", "ilt", "mib"]
    assert explorer.controls["method"].description and explorer.controls["method"].tooltip
    before = explorer.picture.value
    explorer.set(method="mib")
    assert explorer.picture.value != before
    assert explorer.figure().axes[0].get_title().startswith("mib")
