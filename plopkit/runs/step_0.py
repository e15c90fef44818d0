"""Step 0 of a run: what it is trained from, and the folder that it shares with all runs of the same step 0."""

from pathlib import Path
from typing import Any

from plopkit.datasets import Source
from plopkit.methods.base import Method
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.sharing import STEP_0
from plopkit.runs.sources import digest_of, sources_of
from plopkit.scenario import Scenario
from plopkit.settings import Settings, digest


def shared_step_0(settings: Settings, scenario: Scenario, method: Method, train: Source, images: str) -> StepStore:
    """Where step 0 is trained, or, where an earlier version has begun it, there.

    Args:
        settings: settings of the run.
        scenario: their scenario.
        method: their method.
        train: the training images.
        images: their fingerprint, with that of the saliency maps.
    """
    shared = settings.out / STEP_0
    folder = shared / step_0_source(settings, scenario, method, images)
    before = train.earlier_fingerprint
    if before and not folder.is_dir():  # the images' place and times counted
        earlier = shared / step_0_source(settings, scenario, method, before, settings.data.root)
        folder = earlier if earlier.is_dir() else folder
    return StepStore(folder, 0)


def step_0_source(settings: Settings, scenario: Scenario, method: Method, images: str, root: Path | None = None) -> str:
    """The digest of all that step 0 is trained from: runs with the same one share it.

    Args:
        settings: settings of the run.
        scenario: their scenario.
        method: their method.
        images: fingerprint of the training images.
        root: the place of the images, for earlier versions, to which it mattered.
    """
    first, step = method.first_step(), scenario.steps[0]
    own: list[Any] = [] if method.shares_step_0 else [first.name, first.model_dump(mode="json")]
    if first.plans_ahead:
        own.append([each.new for each in scenario.steps])
    domains = [step.domains] if step.domains else []
    begins = [scenario.dataset, step.protocol, step.new, sorted(step.future), *domains, *own]
    identity = settings.step0_identity()
    if root is not None:
        identity["data"]["root"] = str(root)
    return digest([identity, begins, images, digest_of(sources_of(type(first)))])
