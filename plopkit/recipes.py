"""The recipe of each method since PLOP, where its own code trains otherwise than PLOP's.

`RECIPES` has, for a method, the settings that its code changes for a data set and its tasks, in presets `paper` and
`gpu`, and those that `laptop` changes. "hyper" holds the method's own hyper-parameters. What is not named is PLOP's.

With the recipe "common" all methods have PLOP's network, epochs, batch and evaluation, so that they can be compared;
learning rates, hyper-parameters and a memory, which belong to a method, stay its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

from plopkit.grammar import Words
from plopkit.settings import flat

Name = Literal["own", "common"]
NAMES: tuple[str, ...] = get_args(Name)
"""`own`: that of the method's code; `common`: PLOP's network, epochs, batch and evaluation for all."""

KEPT = ("hyper.", "memory.", "optim.lr")
"""What the common recipe takes from a method's own: the beginnings of the dotted names."""

NOT_KEPT = ("hyper.epochs",)
"""What it does not take all the same."""

BASES = {"ewf": "plop", "reminder": "plop", "ewf-mib": "mib", "ucd": "mib"}
"""The method whose hyper-parameters in presets a method shares."""

FULL = ("paper", "gpu")


class Part(NamedTuple):
    """Settings for some data sets, tasks and presets; later parts win."""

    values: Mapping[str, Any]
    dataset: str = ""
    """empty for all"""
    tasks: tuple[str, ...] = ()
    """empty for all"""
    presets: tuple[str, ...] = FULL
    protocol: str = ""
    """empty for all"""


def _lr(first: float | None = None, later: float | None = None) -> dict[str, Any]:
    named = {"lr": first, "lr_later": later}
    return {"optim": {name: value for name, value in named.items() if value is not None}}


BINARY_NET = {"slope": 0.0, "pool": None}
"""A plain ReLU and a pooling of the whole map, in the networks of DKD, STAR and SSUL."""

ONE_BY_ONE = ("15-1", "10-1")
"""Tasks of many steps of one class, over which a change of each step adds up."""

RECIPES: dict[str, tuple[Part, ...]] = {
    # Without pseudo-labels nothing else protects the old domains (benchmarks/README.md).
    "plop": (Part({"hyper": {"pod": 0.02, "pod_logits": 0.001}}, "emoji", presets=("laptop",), protocol="domain"),),
    "dft": (  # BladeDancer957/RevisitingCSS; the epochs of other tasks than 15-1 are not known, and PLOP's here
        Part(_lr(first=0.02)),
        Part(_lr(later=0.0005), "voc", ("15-1", "10-1")),
        Part({"optim": {"epochs_later": 30}}, "voc"),
        Part(_lr(later=0.02), "voc", ("15-5",)),
        Part(_lr(later=0.005), "voc", ("19-1",)),
        Part(_lr(later=0.1), "ade"),
        Part(_lr(later=0.05), "ade", ("100-5",)),
        Part(_lr(later=0.1), presets=("laptop",)),  # a linear classifier alone
    ),
    "ewf": (Part({"optim": {"epochs_later": 30}}, "voc"),),  # 10-1 too, where PLOP's script has 10
    "reminder": (
        Part({"optim": {"batch": 16, "epochs_later": 30}}, "voc"),
        Part({"optim": {"batch": 10, "epochs_later": 70}, "hyper": {"delta": 1.0}}, "ade"),
        Part(_lr(later=0.0008), "ade", ("100-50",)),
    ),
    "rcil": (
        Part(_lr(first=0.02), "voc"),  # since the branch that is trained weighs one half
        Part({"optim": {"epochs_later": 30}}, "voc"),
        Part({"hyper": {"cube": 0.000005, "cube_last": 0.0000005}}, "ade"),
        # As with POD, Adam leaves no room to learn with the published weights, which were made for SGD.
        Part({"hyper": {"kd": 10.0, "cube": 0.0001, "cube_last": 0.000005}}, presets=("laptop",)),
    ),
    "ucd": (
        Part({"optim": {"epochs_later": 30}}, "voc"),
        Part({"hyper": {"labels": "nearest"}}, "ade"),  # the released labels end at 20
        # Frozen, the background does not win back what a step takes from it at its start (benchmarks/README.md).
        Part({"hyper": {"freeze_first": False}}, presets=("laptop",)),
    ),
    "alife": (  # on ADE20K 60 epochs, as PLOP
        Part({"optim": {"epochs_later": 30}}, "voc"),
        Part({"hyper": {"epochs": (5,)}}, "voc", ("19-1",)),
        Part({"hyper": {"epochs": (10,), "ali": (2.0,)}}, "voc", ("15-5",)),
        Part(
            {"hyper": {"epochs": (10, 5), "ali": (3.0, 5.0, 2.0, 3.0, 2.0), "kd": (1.0, 10.0, 1.0, 10.0, 1.0)}},
            "voc",
            ("15-1",),
        ),
        Part({"hyper": {"kd": (20.0,)}}, "ade", ("50-50",)),
    ),
    "dkd": (
        Part({"model": BINARY_NET}),
        Part({"optim": {"batch": 32, "epochs": 60, "epochs_later": 60, "lr": 0.001, "lr_later": 0.0001}}, "voc"),
        Part({"optim": {"epochs": 100, "epochs_later": 100, "lr": 0.0025, "lr_later": 0.00025, "warmup": 0.2}}, "ade"),
        Part({"hyper": {"positive_first": 35.0, "positive": 35.0}, "future": "void"}, "ade"),
        # One rate and the usual momentum, for Adam and few iterations; and as with POD, the published weights of the
        # distillation leave Adam no room to learn (benchmarks/README.md).
        Part({"hyper": {"head_lr": 1.0, "norm_momentum": 0.1}}, presets=("laptop", "smoke")),
        Part({"hyper": {"kd": 0.5, "dkd_positive": 0.05, "dkd_negative": 0.5, "positive": 2.0}}, presets=("laptop",)),
        Part(_lr(later=0.0003), "emoji", ONE_BY_ONE, ("laptop",)),
    ),
    "ssul": (
        Part({"model": BINARY_NET}),
        Part({"data": {"size": 513}}, presets=("paper",)),
        Part({"optim": {"batch": 32, "epochs": 50, "epochs_later": 50, "lr_later": 0.01}, "future": "left_out"}, "voc"),
        Part({"optim": {"epochs": 100, "epochs_later": 100, "lr_later": 0.05, "warmup": 0.1}}, "ade"),
        Part({"hyper": {"encoder_lr": 1.0, "norm_momentum": 0.1}}, presets=("laptop", "smoke")),
        Part(_lr(later=0.01), presets=("laptop",)),  # a head alone
    ),
    "star": (
        Part({"model": BINARY_NET}),
        Part({"optim": {"epochs": 60, "epochs_later": 60, "lr": 0.001, "lr_later": 0.0001}}, "voc"),
        Part({"optim": {"epochs": 100, "epochs_later": 100, "lr": 0.0025, "lr_later": 0.00025, "warmup": 0.2}}, "ade"),
        Part({"hyper": {"positive_first": 35.0, "positive": 30.0}, "future": "void"}, "ade"),
        Part({"hyper": {"head_lr": 1.0, "new_lr": 10.0, "norm_momentum": 0.1}}, presets=("laptop", "smoke")),
        Part({"hyper": {"pkd": 0.5}}, presets=("laptop",)),  # as for DKD
        Part({"hyper": {"pkd": 5.0}} | _lr(later=0.0003), "emoji", ONE_BY_ONE, ("laptop",)),
    ),
    # Its features are all that it has: those of the whole network, also where a preset leaves out the last stage.
    "prototypes": (Part({"model": {"stages": None}}, presets=("laptop", "smoke")),),
    "ewf-mib": (
        Part({"optim": {"epochs_later": 30}}, "voc"),
        Part({"optim": {"batch": 48}, "hyper": {"kd": 10.0}}, "ade", ("100-50",)),
        Part({"hyper": {"kd": 100.0}}, "ade", ("100-10",)),
    ),
}
"""By the method's name."""

WITH_MAPS = (("ssul", "voc"), ("ssul-m", "voc"))
"""Methods and data sets for which the published code reads saliency maps, which `data.saliency` names."""

EVERY = ("smoke", "laptop", "gpu", "paper")


WITH_MEMORY = {"ssul-m": "ssul", "dkd-m": "dkd", "star-m": "star"}
"""Methods whose recipe has a memory, and the same ones without."""


def _with_memory(method: str, **memory: str) -> tuple[Part, ...]:
    """The recipe of the same method without a memory, and as many images as its paper keeps."""
    sizes = Part({"memory": {"images": 100}}, presets=EVERY), Part({"memory": {"images": 300}}, "ade", presets=EVERY)
    return *RECIPES[WITH_MEMORY[method]], Part({"memory": memory}, presets=EVERY), *sizes


RECIPES |= {
    "ssul-m": _with_memory("ssul-m", labels="seen", mix="half"),
    "dkd-m": _with_memory("dkd-m", labels="new"),
    "star-m": _with_memory("star-m", labels="new"),
}


def recipe_values(method: str, words: Words, preset: str, recipe: str = "own") -> dict[str, Any]:
    """The dotted settings that a method changes, in a preset, for a scenario.

    Args:
        method: A method's name; those without a recipe of their own change nothing.
        words: The parts of the scenario's text.
        preset: The preset's name.
        recipe: One of `NAMES`.
    """
    values: dict[str, Any] = {}
    for part in _parts(method, words, preset):
        values |= flat(part.values)
    if recipe == "own" or preset not in FULL:
        return values
    return {name: value for name, value in values.items() if name.startswith(KEPT) and name not in NOT_KEPT}


def _parts(method: str, words: Words, preset: str) -> Iterator[Part]:
    for part in RECIPES.get(method, ()):
        if preset not in part.presets or (part.tasks and words.task not in part.tasks):
            continue
        if part.dataset in ("", words.dataset) and part.protocol in ("", words.protocol):
            yield part
