"""Names of earlier versions, which keep working: each use warns and names the new place.

`install` makes the modules of version 0.1.0 importable. A module that still exists, and that lost some of its names,
says `__getattr__ = moved.renamed(__name__)`.
"""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "plopkit"

MODULES = {
    "comparison": "runs.report",
    "datacheck": "datasets.check",
    "datasets.fetch": "datasets.download.fetch",
    "datasets.pixels": "datasets.counts",
    "datasets.prepare": "datasets.download.prepare",
    "datasets.presence": "datasets.counts",
    "datasets.sbd": "datasets.download.sbd",
    "datasets.unpack": "datasets.download.unpack",
    "demo": "lessons.demo",
    "evaluation": "runs.released",
    "exercises": "lessons.exercises",
    "experiment": "runs.experiment",
    "facts": "support.resources",
    "medians": "thresholds",
    "naming": "support.errors",
    "precision": "support.precision",
    "progress": "runs.progress",
    "results": "runs.results",
    "rows": "runs.published",
    "runfolder": "runs.folder",
    "spelling": "parameters",
    "stepdata": "datasets.scenario_data",
    "stepstore": "runs.checkpoints",
    "study": "lessons",
    "study.attribution": "lessons.gradients.measures",
    "study.examined": "lessons.forgetting.measures",
    "study.growing": "lessons.growing.measures",
    "study.hindsight": "lessons.pseudo.measures",
    "study.limits": "lessons.thresholds.measures",
    "study.mistakes": "lessons.forgetting.measures",
    "study.moments": "lessons.snapshots",
    "study.podmaps": "lessons.pod.measures",
    "study.tables": "lessons.published.measures",
    "torchvision_ops": "support.torchvision_ops",
    "viz.drift": "lessons.pod.drift",
    "viz.gradients": "lessons.gradients.figures",
    "viz.growth": "lessons.growing.figures",
    "viz.maps": "lessons.pod.figures",
    "viz.mistakes": "lessons.forgetting.figures",
    "viz.podcut": "lessons.pod.figures",
    "viz.pseudo": "lessons.pseudo.figures",
    "viz.runs": "lessons.forgetting.figures",
    "viz.splits": "lessons.splits.figures",
    "viz.tables": "lessons.published.figures",
    "viz.thresholds": "lessons.thresholds.figures",
    "viz.uncertainty": "lessons.pseudo.uncertainty",
    "widgets.gradients": "lessons.gradients.explorer",
    "widgets.knobs": "widgets.controls",
    "widgets.later": "widgets.placeholder",
    "widgets.pod": "lessons.pod.explorer",
    "widgets.pseudo": "lessons.pseudo.explorer",
    "widgets.runs": "lessons.forgetting.explorer",
    "widgets.splits": "lessons.splits.explorer",
    "widgets.thresholds": "lessons.thresholds.explorer",
    "widgets.worker": "widgets.background_run",
    "writing": "support.files",
}
"""Modules of version 0.1.0 and where their content is now, both within the package."""

NAMES = {
    "datacheck": {
        "classes_table": "datasets.tables:classes_table",
        "hidden_table": "datasets.tables:hidden_table",
        "steps_table": "datasets.tables:steps_table",
    },
    "evaluation": {"stand_in": "runs.released:tiny_checkpoint"},
    "facts": {"class_names": "support.resources:class_names"},
    "lessons": {name: f"lessons.install:{name}" for name in ("Copied", "copy_lessons", "lessons", "open_lab")},
    "medians": {"released_walk": "thresholds:released_median", "Walk": "thresholds:ReleasedMedian"},
    "naming": {"unknown": "support.errors:unknown_name"},
    "precision": {"full": "support.precision:at_least_float32"},
    "progress": {"unwatched": "runs.progress:no_progress"},
    "results": {"telling_example": "runs.results:most_different_example"},
    "spelling": {"command_line": "flags:command_line", "overrides_of": "presets:overrides_of"},
    "stepdata": {
        "Batch": "datasets.scenario_data:Samples",
        "StepData": "datasets.scenario_data:ScenarioData",
    },
    "study": {"limits": "study.limits"},
    "study.examined": {name: f"lessons.version_0_1:{name}" for name in ("Examined", "examine")},
    "study.hindsight": {"judge": "lessons.pseudo:classify_pseudo_labels"},
    "study.limits": {
        "histograms": "lessons.thresholds:teacher_histograms",
        "let_through": "lessons.version_0_1:let_through",
        "limit_of_share": "lessons.thresholds:threshold_of_share",
        "reach": "lessons.version_0_1:reach",
        "scale": "lessons.thresholds:uncertainty_scale",
    },
    "study.mistakes": {
        "mistakes": "lessons.forgetting.measures:classify_mistakes",
        "shares": "lessons.forgetting.measures:mistake_shares",
        "truth_at": "lessons.forgetting.measures:truth_after",
    },
    "study.moments": {"Moment": "lessons.snapshots:Snapshot", "moments": "lessons.snapshots:snapshots"},
    "study.tables": {
        "beside": "lessons.published:published_and_own",
        "conventions": "lessons.published:both_conventions",
    },
    "viz": {
        "COLOURS": "viz.colours:CLASSES",
        "JUDGED": "support.moved:judged",
        "before_and_after": "lessons.growing:before_and_after",
        "class_bars": "lessons.splits:class_bars",
        "class_matrix": "lessons.forgetting:class_matrix",
        "classifier_view": "lessons.growing:classifier_view",
        "convention_gaps": "lessons.published:convention_gaps",
        "drift_maps": "lessons.pod:drift_maps",
        "drops": "lessons.forgetting:drop_bars",
        "gradient_map": "lessons.gradients:gradient_map",
        "hidden_bars": "lessons.splits:hidden_bars",
        "labelled": "lessons.thresholds:target_grid",
        "let_through": "lessons.version_0_1:let_through_figure",
        "limit_by_share": "lessons.thresholds:threshold_by_share",
        "method_bars": "lessons.gradients:method_bars",
        "mistakes_view": "lessons.forgetting:mistakes_figure",
        "pod_cut": "lessons.pod:pod_cut",
        "pod_vector": "lessons.pod:pod_vector",
        "precision_curves": "lessons.pseudo:precision_curves",
        "probability_bars": "lessons.growing:probability_bars",
        "pseudo_rows": "lessons.pseudo:pseudo_rows",
        "published_bars": "lessons.published:published_bars",
        "resolutions": "lessons.growing:resolutions",
        "schedule": "lessons.splits:schedule",
        "seed_spread": "lessons.published:seed_spread",
        "shown": "lessons.pseudo:label_images",
        "targets": "lessons.splits:targets",
        "term_bars": "lessons.gradients:term_bars",
        "threshold_reach": "lessons.version_0_1:threshold_reach",
        "threshold_walk": "lessons.thresholds:threshold_search",
        "trade_off": "lessons.forgetting:trade_off",
        "uncertainty_histograms": "lessons.pseudo:uncertainty_histograms",
    },
    "widgets": {
        "attended": "widgets.placeholder:is_interactive",
        "gradient_explorer": "lessons.gradients:gradient_explorer",
        "mistakes_explorer": "lessons.forgetting:mistakes_explorer",
        "pod_explorer": "lessons.pod:pod_explorer",
        "pseudo_explorer": "lessons.pseudo:pseudo_explorer",
        "splits_explorer": "lessons.splits:splits_explorer",
        "walk_explorer": "lessons.thresholds:search_explorer",
    },
    "widgets.later": {"attended": "widgets.placeholder:is_interactive"},
}
"""By module of version 0.1.0: names and where they are now, a "module:attribute" or a module within the package."""


def renamed(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module that still exists: looks its old names up in `NAMES`."""
    names = NAMES[module.removeprefix(f"{PACKAGE}.")]

    def lookup(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return _moved(f"{module}.{name}", names[name])

    return lookup


def install() -> None:
    """Make the old modules importable; a second call changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def _moved(old: str, new: str) -> Any:
    """Import what an old name means, with a warning."""
    module, _, attribute = new.partition(":")
    place = f"{PACKAGE}.{new.replace(':', '.')}"
    warnings.warn(f"{old} is now {place}", DeprecationWarning, stacklevel=3)
    value = importlib.import_module(f"{PACKAGE}.{module}")
    if not attribute:
        return value
    return getattr(value, attribute) if module != "support.moved" else getattr(value, attribute)()


def judged() -> dict[Any, tuple[str, str]]:
    """What `viz.JUDGED` was: the colour and the text of each kind of pseudo-label."""
    figures = importlib.import_module(f"{PACKAGE}.lessons.pseudo.figures")
    return {outcome: (figures.COLOURS[outcome], text) for outcome, text in figures.OUTCOMES.items()}


class _Finder(MetaPathFinder, Loader):
    """Finds the old modules, after all other finders have failed, and makes a stand-in for each."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(f"{PACKAGE}.")
        if old == fullname or old not in MODULES:
            return None
        return ModuleSpec(fullname, self, is_package=any(name.startswith(f"{old}.") for name in MODULES))

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None  # the usual empty module

    def exec_module(self, module: ModuleType) -> None:
        """Give the stand-in a `__getattr__` that looks names up in the new module."""
        old = module.__name__.removeprefix(f"{PACKAGE}.")
        new, names = MODULES[old], NAMES.get(old, {})

        def lookup(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            return _moved(f"{module.__name__}.{name}", names.get(name, f"{new}:{name}"))

        module.__dict__["__getattr__"] = lookup
