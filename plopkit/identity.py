"""Which settings decide a run's numbers: runs that agree in these are the same run, and have the same folder."""

import functools
import hashlib
import json
from typing import Any

SINCE_0_2 = (
    "compute.tf32",
    "compute.search",
    "compute.compile",
    "optim.min_iterations",
    "model.frozen",
    "model.decoder",
    "model.digest",
    "optim.warmup",
    "future",
    "data.binary",
    "data.digest",
    "data.saliency",
    "memory",
)
"""Settings, and groups of them, that version 0.1 does not have."""

LATER_ONLY = ("lr_later", "epochs_later", "min_iterations")
"""Settings of `Optim` for later steps only."""

NOT_AT_STEP_0 = ("scenario", "method", "hyper", "evaluate", "future", "memory")
"""Settings that step 0 does not depend on."""

OF_A_CHECKPOINT = ("output_stride", "pool", "norm")
"""Settings of `Model` that a released checkpoint does not say; all others are its own."""

HYPER_SINCE_0_2 = {"plop": {"distil": "pod"}}
"""Hyper-parameters that a method of version 0.1 did not have, and the values with which it computes what it did."""

WITHOUT_EFFECT = ("workers", "save_minutes")
"""Settings of `Compute` that change no number."""

NOT_DECISIVE = ("out", "name", "log")
"""Settings that say where a run is written down, and change no number either."""


def decisive(settings: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide the numbers: not where data are and results go, nor what is for speed only.

    Which data these are, a run notes by their content (`plopkit.runs.opening`).

    Args:
        settings: All settings, nested, as plain values.
        usual: Their defaults.
    """
    identity = {name: value for name, value in settings.items() if name not in NOT_DECISIVE}
    identity |= {name: dict(value) for name, value in identity.items() if isinstance(value, dict)}
    for name in WITHOUT_EFFECT:
        del identity["compute"][name]
    for name in SINCE_0_2:  # at their defaults they change no number, and a run of version 0.1 keeps its folder
        *above, last = name.split(".")
        own, default = (functools.reduce(dict.__getitem__, above, tree) for tree in (identity, usual))
        if own[last] == default[last]:
            del own[last]
    identity["data"]["root"] = None
    if identity["data"].get("saliency") is not None:  # which maps these are, a run notes by their content
        identity["data"]["saliency"] = True
    if "digest" in identity["model"]:  # the same file anywhere
        identity["model"]["weights"] = None
    start = identity.pop("start")
    if start["checkpoint"] is not None:
        identity["start"] = {"digest": start["digest"]}
        of_run = (*OF_A_CHECKPOINT, "frozen")
        identity["model"] = {name: identity["model"][name] for name in of_run if name in identity["model"]}
    for name, value in HYPER_SINCE_0_2.get(identity["method"], {}).items():
        if identity["hyper"].get(name) == value:
            del identity["hyper"][name]
    return identity


def decisive_at_step_0(identity: dict[str, Any]) -> dict[str, Any]:
    """What step 0 depends on, apart from its classes: neither the method nor how later steps are trained.

    Args:
        identity: The result of `decisive`.
    """
    left = {name: value for name, value in identity.items() if name not in NOT_AT_STEP_0}
    return left | {"optim": {name: value for name, value in left["optim"].items() if name not in LATER_ONLY}}


def digest(value: Any) -> str:
    """Eight hexadecimal digits of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
