"""Presets and `configure`: a preset, then the data set's values, then the user's -> checked Settings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plopkit.catalogue import DATASETS, METHODS
from plopkit.grammar import Words, read_words
from plopkit.method_checks import check_method
from plopkit.recipes import BASES, NAMES, recipe_values
from plopkit.scenario import Scenario
from plopkit.settings import Settings, build, flat, nested
from plopkit.support.errors import unknown_name
from plopkit.support.moved import renamed
from plopkit.support.places import expanded
from plopkit.support.printable import quoted

if TYPE_CHECKING:
    from plopkit.methods.base import Method

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


Values = Mapping[str, Any]

# Settings in their groups. `hyper` holds hyper-parameters by method; a run takes those of its own method.
PRESETS: dict[str, dict[str, Any]] = {
    # Seconds; proves that everything works, teaches nothing.
    "smoke": {
        "data": {"size": 64, "scenes": 80, "val_scenes": 40, "scale": (0.5, 1.0)},
        "model": {
            "encoder": "efficientnet_lite0",
            "stages": 4,  # as in `laptop`
            "width": 32,
            "dilations": (1, 2),
            "pool": None,
        },
        "optim": {
            "name": "adamw",
            "lr": 2e-3,
            "lr_later": 1e-3,
            "epochs": 1,
            "epochs_later": 1,
            "batch": 4,  # a step of one class has few scenes
        },
    },
    # `plopkit run "emoji 15-5 overlap"`: about four minutes on two cores.
    "laptop": {
        "data": {"size": 96, "scenes": 2000, "val_scenes": 300, "scale": (0.5, 1.0)},
        "model": {
            "encoder": "efficientnet_lite0",
            "stages": 4,  # without the last, dilated stage: half the time
            "width": 128,
            "dilations": (1, 2, 3),  # the map has 6 x 6 pixels: the released 6, 12, 18 would see only its border
            "pool": None,
        },
        "optim": {
            "name": "adamw",
            "lr": 2e-3,
            "lr_later": 1e-3,
            "epochs": 4,
            "epochs_later": 4,
            # What 15-5's later step has in four epochs. One class has a quarter of its images, and would be trained for
            # a quarter of its iterations, which is too few to learn anything (benchmarks/README.md).
            "min_iterations": 190,
            "batch": 16,
        },
        # Adam's steps do not grow with the loss, so only POD's weight against the cross-entropy counts: the released
        # 0.01, made for SGD, leaves no room to learn (benchmarks/README.md has the figures, those of `thresholds` too).
        # The floor leaves more of the background in the loss: ignored, its pixels are taken for the newest class.
        "hyper": {"plop": {"pod": 0.0005, "pod_logits": 0.000025, "floor": 0.01}},
    },
    # One modern GPU: the published recipe at half the crop, in bf16.
    "gpu": {
        "data": {"size": 256, "scenes": 10_000, "val_scenes": 1000},
        "model": {"pool": 16},
        "compute": {"precision": "bf16", "workers": 8},
    },
    # CVPR2021_PLOP's recipe: the defaults of Settings.
    "paper": {"compute": {"workers": 8}},
}
"""What a preset sets; what it changes for a data set is in the data set's entry in `plopkit.catalogue`."""


def configure(
    scenario: str = "emoji 15-5 overlap",
    method: str = "plop",
    preset: str = "laptop",
    overrides: Values | None = None,
    lesson: bool = False,
    recipe: str = "own",
) -> Settings:
    """The settings of a run.

    Args:
        scenario: Data set, task, protocol and, optionally, class order.
        method: A name in `plopkit.METHODS`.
        preset: A name in `PRESETS`.
        overrides: Settings that differ, dotted or nested.
        lesson: Whether to take the fewer scenes of the lessons.
        recipe: "own" trains a method as its own code does (in presets `paper` and `gpu`), "common" with PLOP's network,
            epochs, batch and evaluation, as all others; see `plopkit.recipes`.

    Raises:
        ValueError: An unknown preset, recipe, method or setting, or a value out of bounds; says what is possible.

    Example:
        >>> configure("voc 15-5 overlap", "plop", "paper", {"optim.lr": 0.01, "hyper": {"pod": 0.02}})
    """
    return settle(draft(scenario, method, preset, overrides, lesson, recipe))


def draft(
    scenario: str,
    method: str,
    preset: str,
    overrides: Values | None = None,
    lesson: bool = False,
    recipe: str = "own",
) -> Settings:
    """`configure` without the method's own check and defaults of `hyper`: no method is imported."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if recipe not in NAMES:
        raise unknown_name("recipe", recipe, NAMES)
    if method not in METHODS:
        raise METHODS.unknown(method)
    chosen = flat(overrides or {})
    if twice := {"scenario", "method"} & set(chosen):
        raise ValueError(f"{' and '.join(sorted(twice))}: set directly, not in overrides")
    settings = build(Settings, {"scenario": scenario, "method": method})
    values = preset_values(read_words(settings.scenario), method, preset, lesson, recipe)
    return build(Settings, nested(values | chosen | {"scenario": settings.scenario, "method": method}))


def preset_values(words: Words, method: str, preset: str, lesson: bool = False, recipe: str = "own") -> dict[str, Any]:
    """The dotted settings that a preset and a recipe set for this data set, task and method."""
    entry = DATASETS[words.dataset]
    layers: list[Values] = [PRESETS[preset]]
    for each in ("paper", "gpu") if preset == "gpu" else (preset,):  # the published recipe on one GPU
        of_tasks = entry.task_presets.get(each, {})
        layers.append(entry.presets.get(each, {}))
        layers += [of_tasks.get(task, {}) for task in (words.task, f"{words.task} {words.protocol}")]
    if lesson:
        layers += [entry.lesson.get(name, {}) for name in (preset, f"{preset} {words.task}")]
    values: dict[str, Any] = {}
    for layer in layers:
        values |= flat({name: value for name, value in layer.items() if name != "hyper"})
        for name in (BASES.get(method), method):
            values |= flat({"hyper": layer.get("hyper", {}).get(name, {})})
    return values | recipe_values(method, words, preset, recipe)


def settle(settings: Settings, kind: "type[Method] | None" = None) -> Settings:
    """The same settings with every hyper-parameter of the method written out, and absolute paths.

    Args:
        settings: The settings.
        kind: The method's class; by default that of the settings.

    Raises:
        ValueError: A hyper-parameter is wrong, or the method cannot do what it is asked for (`check_method`).
    """
    kind = kind or METHODS[settings.method]
    check_method(settings, kind)
    hyper = build(kind, settings.hyper, "hyper.").model_dump(mode="json")
    root = settings.data.root and expanded(settings.data.root).absolute()
    saliency = settings.data.saliency and settings.data.saliency.absolute()
    data = settings.data.model_copy(update={"root": root, "saliency": saliency})
    file = settings.model.weights_file
    model = settings.model.model_copy(update={"weights": str(file.absolute())} if file else {})
    places = {"checkpoint": settings.start.checkpoint, "classes": settings.start.classes}
    start = settings.start.model_copy(update={name: path and path.absolute() for name, path in places.items()})
    own = {"hyper": hyper, "data": data, "model": model, "start": start}
    return settings.model_copy(update=own | {"out": expanded(settings.out)})


def overrides_of(settings: Settings, preset: str, recipe: str = "own") -> dict[str, Any]:
    """The dotted settings, as plain values, that differ from preset and recipe for this scenario and method.

    `configure(settings.scenario, settings.method, preset, overrides_of(settings, preset))` gives the same settings.
    """
    usual = flat(configure(settings.scenario, settings.method, preset, recipe=recipe).model_dump(mode="json"))
    own = flat(settings.model_dump(mode="json"))
    del own["start.digest"], own["model.digest"]  # found out again
    return {name: value for name, value in own.items() if value != usual[name]}


def method_of(settings: Settings) -> "Method":
    """The method as a value, with these settings' hyper-parameters."""
    return build(METHODS[settings.method], settings.hyper, "hyper.")


def open_scenario(settings: Settings) -> Scenario:
    """The scenario as a value: the only place where the text of the settings becomes one.

    Raises:
        ValueError: The task does not fit the classes of the user's folder, or that folder is not named.
        FileNotFoundError: The user's folder has no list of classes.
    """
    words = read_words(settings.scenario)
    entry = DATASETS[words.dataset]
    if entry.n_labels is not None:
        return Scenario.from_words(words, entry.n_labels)
    names = entry.class_names(settings.data.root)
    try:
        return Scenario.from_words(words, len(names))
    except ValueError as error:
        first = f"the data name {len(names)} labels, of which the first, {quoted(names[0])}, is the background"
        raise ValueError(f"{error} ({first})") from error
