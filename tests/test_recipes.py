"""Each method is trained as its own code does, or, to compare methods, as PLOP's."""

import re
import shlex

import pytest

from plopkit.catalogue import DATASETS, METHODS
from plopkit.flags import command_line, parse_run
from plopkit.grammar import PROTOCOLS, Words
from plopkit.grids.plan import plan
from plopkit.parameters import from_parameters, parameters
from plopkit.presets import PRESETS, configure
from plopkit.recipes import NAMES, RECIPES, recipe_values
from plopkit.runs.published import rows
from plopkit.settings import Settings, flat, known_names
from plopkit.widgets import SettingsForm

PUBLISHED = [
    ("dft", "voc 15-1 overlap", {"optim.lr": 0.02, "optim.lr_later": 0.0005}),
    ("dft", "voc 15-5 overlap", {"optim.lr": 0.02, "optim.lr_later": 0.02}),
    ("dft", "voc 19-1 overlap", {"optim.lr_later": 0.005}),
    ("dft", "ade 100-5 overlap", {"optim.lr": 0.02, "optim.lr_later": 0.05}),
    ("dft", "ade 100-50 overlap", {"optim.lr_later": 0.1}),
    ("ewf", "voc 10-1 overlap", {"optim.batch": 24, "optim.epochs_later": 30, "optim.lr_later": 0.001}),
    ("ewf", "ade 100-10 overlap", {"hyper.pod": 0.001, "hyper.pod_logits": 0.00001, "optim.epochs_later": 60}),
    ("ewf-mib", "ade 100-50 overlap", {"hyper.kd": 10.0, "optim.batch": 48}),
    ("ewf-mib", "ade 100-10 overlap", {"hyper.kd": 100.0, "optim.batch": 24}),
    (
        "reminder",
        "voc 15-1 overlap",
        {"optim.batch": 16, "optim.lr": 0.01, "optim.epochs_later": 30, "hyper.pod": 0.01},
    ),
    ("reminder", "ade 100-10 overlap", {"optim.batch": 10, "optim.epochs_later": 70, "hyper.delta": 1.0}),
    ("reminder", "ade 100-50 overlap", {"optim.lr_later": 0.0008, "hyper.pod": 0.001}),
    ("rcil", "voc 10-1 overlap", {"optim.lr": 0.02, "optim.lr_later": 0.001, "optim.epochs_later": 30}),
    ("rcil", "ade 100-10 overlap", {"optim.lr": 0.01, "hyper.cube": 0.000005, "hyper.cube_last": 0.0000005}),
    ("ucd", "voc 10-1 overlap", {"optim.epochs_later": 30, "hyper.kd": 10.0, "hyper.labels": "released"}),
    ("ucd", "ade 100-50 overlap", {"optim.epochs_later": 60, "hyper.labels": "nearest"}),
    ("ssul", "voc 15-1 overlap", {"optim.epochs": 50, "optim.batch": 32, "optim.lr": 0.01, "optim.lr_later": 0.01}),
    ("ssul", "ade 100-10 overlap", {"optim.lr": 0.01, "optim.lr_later": 0.05, "optim.warmup": 0.1, "optim.batch": 24}),
    (
        "star",
        "voc 15-1 overlap",
        {"optim.epochs": 60, "optim.batch": 24, "hyper.spread": "released"},
    ),
    ("star", "ade 100-10 overlap", {"optim.lr_later": 0.00025, "optim.warmup": 0.2, "hyper.positive": 30.0}),
    ("dkd", "voc 15-1 overlap", {"optim.epochs_later": 60, "optim.batch": 32, "optim.lr_later": 0.0001}),
    ("dkd", "voc 15-1 overlap", {"model.slope": 0.0, "model.pool": None, "hyper.positive_first": 2.0}),
    ("dkd", "ade 100-10 overlap", {"optim.lr": 0.0025, "optim.warmup": 0.2, "hyper.positive": 35.0}),
    ("alife", "voc 15-1 overlap", {"hyper.epochs": [10, 5], "hyper.ali": [3.0, 5.0, 2.0, 3.0, 2.0]}),
    ("alife", "voc 15-5 overlap", {"hyper.epochs": [10], "hyper.ali": [2.0], "hyper.kd": [1.0]}),
    ("alife", "ade 50-50 overlap", {"hyper.epochs": [0], "hyper.ali": [1.0], "hyper.kd": [20.0]}),
]
"""Settings of a method's own recipe for a scenario, as its code has them."""


@pytest.mark.parametrize(("method", "scenario", "expected"), PUBLISHED)
def test_the_published_recipe(method: str, scenario: str, expected: dict[str, object]) -> None:
    settings = configure(scenario, method, "paper").model_dump()
    for name, value in expected.items():
        group, _, last = name.partition(".")
        assert settings[group][last] == value


def test_one_gpu_has_smaller_crops_than_the_paper() -> None:
    for method in RECIPES:
        sizes = [configure("voc 15-1 overlap", method, preset).data.size for preset in ("gpu", "paper")]
        assert sizes[0] == 256 and sizes[1] in (512, 513)


@pytest.mark.parametrize("method", RECIPES)
def test_a_recipe_names_methods_data_sets_presets_and_settings(method: str) -> None:
    known = set(known_names(Settings)) | {f"hyper.{name}" for name in METHODS[method].model_fields}
    for part in RECIPES[method]:
        assert part.dataset in ("", *DATASETS) and set(part.presets) <= set(PRESETS) and part.values
        assert not part.tasks or part.dataset
        assert part.protocol in ("", *PROTOCOLS)
        for dataset in [part.dataset] if part.dataset else DATASETS:
            for task in part.tasks or DATASETS[dataset].tasks:
                words = Words(dataset, task, part.protocol or "overlap", "")
                found = recipe_values(method, words, part.presets[0])
                assert flat(part.values).keys() <= found.keys() <= known


@pytest.mark.parametrize("scenario", ["voc 10-1 overlap", "ade 100-50 overlap"])
@pytest.mark.parametrize("method", METHODS)
def test_in_the_common_recipe_all_methods_train_as_plop(method: str, scenario: str) -> None:
    plop, common = (configure(scenario, name, "paper", recipe="common") for name in ("plop", method))
    assert plop == configure(scenario, "plop", "paper")
    rates = {"lr": common.optim.lr, "lr_later": common.optim.lr_later}
    own_parts = {"method": "plop", "hyper": plop.hyper, "memory": plop.memory}
    assert common.model_copy(update=own_parts) == plop.model_copy(update={"optim": plop.optim.model_copy(update=rates)})
    own = configure(scenario, method, "paper")
    hyper = own.hyper | ({"epochs": [0]} if "epochs" in own.hyper else {})
    assert (common.hyper, rates) == (hyper, {"lr": own.optim.lr, "lr_later": own.optim.lr_later})


@pytest.mark.parametrize(
    ("method", "scenario"),
    [
        ("plop", "ade 100-10 overlap"),
        ("reminder", "ade 100-50 overlap"),
        ("plop", "cityscapes 11-1 domain"),
        ("ewf", "voc 10-1 overlap"),
    ],
)
def test_preset_gpu_is_the_published_recipe_at_half_the_crop(method: str, scenario: str) -> None:
    gpu, paper = (configure(scenario, method, preset) for preset in ("gpu", "paper"))
    assert (gpu.optim, gpu.hyper, gpu.data.size) == (paper.optim, paper.hyper, 256)


def test_every_later_method_has_a_row_with_its_command() -> None:
    table = rows()
    for method in RECIPES:
        commands = table.loc[table["method"] == method, "command"]
        assert len(commands) and all(f"--method {method} --preset paper" in line for line in commands)


def test_a_recipe_may_belong_to_a_protocol() -> None:
    domain, overlap = (configure(f"emoji 2-1 {protocol}", "plop").hyper["pod"] for protocol in ("domain", "overlap"))
    assert domain == 0.02 != overlap == configure().hyper["pod"]


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("recipe 'commn'") + ".*own, common"):
        configure(recipe="commn")


@pytest.mark.parametrize("recipe", NAMES)
def test_form_command_line_parameters_and_grid_mean_the_same_recipe(recipe: str) -> None:
    scenario, method = "voc 10-1 overlap", "dft"
    settings = configure(scenario, method, "paper", {"seed": 3}, recipe=recipe)
    command = command_line(settings, "paper", recipe)
    assert ("--recipe" in command) == (recipe == "common") and "--optim" not in command
    assert parse_run(shlex.split(command)[2:]) == settings
    cell = parameters(settings, "paper", recipe)
    assert cell["overrides"] == {"seed": 3}
    assert from_parameters(cell) == settings
    form = SettingsForm()
    form.set(scenario=scenario, method=method, preset="paper", recipe=recipe, seed=3)
    assert (form.settings, form.command_line, form.parameters) == (settings, command, cell)
    (run,) = plan(["emoji 15-1 overlap"], [method], [0], "gpu", {}, "runs", recipe=recipe)
    assert parse_run(run.words[1:]) == run.settings == configure("emoji 15-1 overlap", method, "gpu", recipe=recipe)


def test_rows_of_the_common_recipe_have_its_commands() -> None:
    table = rows(recipe="common")
    for line in table["command"]:
        assert "--recipe common" in line
    assert len(table) == len(rows())
