"""A finished run that several files read."""

import pytest
from small_runs import TWO_EPOCHS, small

from plopkit.runs.experiment import Experiment


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """PLOP on emoji 15-5, two epochs a step, trained without interruption, with pictures."""
    experiment = Experiment.open(small(tmp_path_factory.mktemp("finished"), **TWO_EPOCHS))
    experiment.run(progress=False)
    return experiment
