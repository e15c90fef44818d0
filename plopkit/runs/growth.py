"""A run whose list of training images has grown since: it continues in a folder of its own, from what it has learnt."""

import numpy as np

from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import Method, trainer_of
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder
from plopkit.runs.images import changes, images_text, words_of
from plopkit.runs.start import with_start
from plopkit.runs.written import grown_name
from plopkit.settings import Settings, Start, digest
from plopkit.support import seals
from plopkit.support.bars import notice


def grown_settings(settings: Settings, method: Method, data: ScenarioData) -> Settings | None:
    """The settings with which a run continues with more training images; None where that is not so.

    The first steps whose images have stayed the same are taken from the run as they are, and step 0 in any case: it is
    only trained again under another name. The run's own folder stays as it is.

    Args:
        settings: settings of the run.
        method: its method.
        data: the images as they are now.
    """
    folder = RunFolder(settings.folder())
    now = f"{data.train_fingerprint} {data.val.fingerprint}"
    if not folder.data_file.is_file() or folder.data_file.read_text(encoding="utf-8").split()[:2] == now.split():
        return None
    found = changes(folder.images_file, images_text(data.train, data.val))
    if not found or not found["train"].added or found["train"].removed or found["train"].altered:
        return None
    if not _is_of(folder, settings):
        return None
    n_kept = _unchanged_steps(folder, method, data, set(found["train"].added))
    if not n_kept:
        return None
    start = Start(checkpoint=folder.path.absolute(), step=n_kept - 1)
    name = grown_name(folder.path, digest(now))
    again = with_start(settings.model_copy(update={"start": start, "name": name}))
    kept = "step 0" if n_kept == 1 else f"steps 0 to {n_kept - 1}"
    notice(
        f"{folder.path}: {words_of(found)} since this run was made; goes on in {again.folder()} from its finished "
        f"{kept}, without training it again; choose another name or out to train everything"
    )
    return again


def _is_of(folder: RunFolder, settings: Settings) -> bool:
    """Whether a folder is that of a run with these settings."""
    try:
        return seals.is_intact(folder.data_file) and folder.settings.identity() == settings.identity()
    except (FileNotFoundError, ValueError):  # opening the folder says what is wrong
        return False


def _unchanged_steps(folder: RunFolder, method: Method, data: ScenarioData, added: set[str]) -> int:
    """Number of the first finished steps that train on none of the added images, step 0 counted in any case; fewer
    than all steps."""
    is_added = np.array([stem in added for stem in data.train.stems])
    n_kept = 0
    for step in data.scenario.steps[:-1]:
        if not StepStore(folder.checkpoints, step.index).checkpoint.is_file():
            break
        if step.index and is_added[trainer_of(method, step).images(step, data.presence[0], {}).indices].any():
            break
        n_kept += 1
    return n_kept
