"""The settings form: controls, command line and papermill parameters describe the same settings."""

import shlex

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import plopkit
from plopkit.flags import command_line, parse_run
from plopkit.grammar import PARTS
from plopkit.methods import METHODS
from plopkit.parameters import parameters
from plopkit.presets import PRESETS, configure, overrides_of
from plopkit.settings import Settings, known_names
from plopkit.widgets import SettingsForm, outputs


@pytest.fixture(scope="module")
def shared_form():
    """A form for several tests, as creating all controls is slow; a test that uses it calls `reset` first."""
    return SettingsForm()


def exported(form):
    """The settings read back from the command line, the parameters and the YAML of a form."""
    words = shlex.split(form.command_line)
    assert words[:2] == ["plopkit", "run"]
    return (
        parse_run(words[2:]),
        plopkit.from_parameters(form.parameters),
        plopkit.from_parameters(yaml.safe_load(form.yaml)),
    )


def check_exports(form):
    assert form.error == ""
    for settings in exported(form):
        assert settings == form.settings


EXAMPLES = [
    {},
    {"method": "mib", "hyper.kd": 3.0},
    {"scenario": "voc 15-1 disjoint order=b", "preset": "paper", "data.root": "/data/my 'voc'"},
    {"scenario": "ade joint", "method": "joint", "preset": "gpu", "optim.batch": 8},
    {"scenario": "folder 10-5 sequential", "data.root": "/data/-x", "out": "-out", "name": "-name"},
    {"scenario": "emoji 15-5 overlap order=2,1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"},
    {"data.scale": (0.25, 1), "model.dilations": (), "model.pool": 4, "model.stages": None, "hyper.scales": (1, 2)},
    {"preset": "paper", "model.pool": None, "compute.cpu": True, "hyper.adaptive": False, "hyper.pod": 1e-05},
    {"log": ("jsonl", "tensorboard"), "compute.workers": 2},
    {"method": "mib", "memory.images": 20, "memory.mb": 0.5, "memory.mix": "half"},
    {"model.weights": "--odd name.pth", "compute.micro_batch": 4, "evaluate": "full", "seed": 3},
]


@pytest.mark.parametrize("changes", EXAMPLES)
def test_form_command_line_and_papermill_agree(changes):
    form = SettingsForm()
    form.set(**changes)
    check_exports(form)
    overrides = {name: value for name, value in changes.items() if name not in ("scenario", "method", "preset")}
    named = {name: changes[name] for name in ("scenario", "method", "preset") if name in changes}
    assert form.settings == configure(**named, overrides=overrides)


OVERRIDES = {
    "seed": st.integers(0, 2**31 - 1),
    "evaluate": st.sampled_from(["crop", "full"]),
    "name": st.none() | st.text("ab-. '\"$\\é", min_size=1, max_size=8),
    "data.size": st.integers(16, 4096),
    "data.scale": st.tuples(st.floats(1e-6, 1), st.floats(1, 10)),
    "model.stages": st.none() | st.integers(4, 8),
    "model.output_stride": st.sampled_from([8, 16, 32]),
    "model.dilations": st.lists(st.integers(1, 1000), max_size=4),
    "model.pool": st.none() | st.integers(1, 99),
    "optim.lr": st.floats(0, 10, exclude_min=True),
    "optim.momentum": st.floats(0, 1, exclude_max=True),
    "compute.cpu": st.booleans(),
    "hyper.pod": st.floats(0, 1e6),
    "hyper.adaptive": st.booleans(),
    "hyper.scales": st.lists(st.integers(1, 64), min_size=1, max_size=4),
}


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    overrides=st.fixed_dictionaries({}, optional=OVERRIDES),
    preset=st.sampled_from(list(PRESETS)),
    dataset=st.sampled_from(["emoji", "voc"]),
)
def test_random_overrides_are_exported_and_read_back(shared_form, overrides, preset, dataset):
    form = shared_form
    form.set(scenario=f"{dataset} 15-1 overlap", preset=preset, name=None)
    form.reset()
    form.set(**overrides)
    expected = configure_or_error(
        f"{dataset} 15-1 overlap", preset, overrides | {"name": as_typed(overrides.get("name"))}
    )
    if isinstance(expected, str):
        assert form.error == expected
        return
    assert form.settings == expected
    check_exports(form)
    minimal = overrides_of(form.settings, preset)
    assert configure(f"{dataset} 15-1 overlap", "plop", preset, minimal) == form.settings


def configure_or_error(scenario, preset, overrides):
    """The settings, or the text of the error."""
    try:
        return configure(scenario, "plop", preset, overrides)
    except ValueError as error:
        return str(error)


def as_typed(name):
    """A name as the form reads it from its text field: without spaces around it, None if empty."""
    return (name.strip() or None) if name else name


def test_every_setting_has_a_control_with_help_and_bounds(shared_form):
    form = shared_form
    names = {name for name in known_names(Settings) if name not in ("scenario", "method", "hyper")}
    for method, kind in METHODS.items():
        form.set(method=method)
        hyper = {f"hyper.{name}" for name in kind.model_fields}
        assert set(form.controls) == names | hyper | {*PARTS, "method", "preset", "recipe"}
        assert all(control.tooltip for control in form.controls.values())
    form.set(method="plop")
    assert form.controls["optim.lr"].tooltip == "learning rate of step 0; above 0, at most 10"
    assert form.controls["data.size"].tooltip.endswith("at least 16, at most 4096")
    assert form.controls["hyper.floor"].tooltip.endswith("at least 0, at most 1")
    assert form.controls["optim.name"].options == ("sgd", "adamw")


def test_controls_change_the_settings():
    form = SettingsForm()
    form.controls["dataset"].value = "voc"
    form.controls["task"].value = "19-1"
    form.controls["protocol"].value = "disjoint"
    form.controls["order"].value = "c"
    form.controls["optim.epochs"].value = 7
    form.controls["data.scale"].value = "0.3 0.9"
    form.controls["model.pool"].value = "none"
    assert form.settings == configure(
        "voc 19-1 disjoint order=c", overrides={"optim.epochs": 7, "data.scale": (0.3, 0.9), "model.pool": None}
    )
    assert form.controls["data.scale"].value == "0.3, 0.9"
    check_exports(form)


def test_a_new_preset_data_set_or_method_keeps_the_changes_by_hand():
    form = SettingsForm()
    form.controls["optim.batch"].value = 10
    form.controls["preset"].value = "paper"
    assert form.settings == configure(preset="paper", overrides={"optim.batch": 10})
    assert form.controls["optim.epochs"].value == 30
    form.controls["dataset"].value = "ade"
    assert form.settings == configure("ade 100-50 overlap", preset="paper", overrides={"optim.batch": 10})
    assert form.controls["hyper.pod"].value == 0.001
    form.controls["method"].value = "lwf"
    form.controls["hyper.kd"].value = 5
    form.controls["method"].value = "mib"
    assert form.controls["hyper.kd"].value == 10  # the default of MiB
    form.controls["method"].value = "lwf"
    assert form.controls["hyper.kd"].value == 5
    form.controls["optim.batch"].value = 24  # the preset's value: no longer an override
    form.controls["preset"].value = "laptop"
    assert form.parameters["overrides"] == {"hyper.kd": 5.0}
    form.reset()
    assert form.settings == configure("ade 100-50 overlap", "lwf", "laptop")


def test_reset_keeps_the_paths():
    form = SettingsForm()
    form.set(**{"optim.lr": 1.0, "out": "there", "data.root": "/data"})
    form.reset()
    assert form.settings == configure(overrides={"out": "there", "data.root": "/data"})


@pytest.mark.parametrize(
    ("name", "invalid", "expected"),
    [
        ("optim.lr", -1.0, "optim.lr = -1.0"),
        ("data.size", 5000, "data.size = 5000"),
        ("model.stages", "many", "model.stages = 'many'"),
        ("data.scale", "1, 0.5", "data.scale"),
        ("hyper.floor", 2.0, "hyper.floor = 2.0"),
        ("task", "15-4", "the task '15-4' does not fit"),
        ("order", "zz", "there is no order 'zz'"),
        ("name", ".hidden", "'.hidden'"),
    ],
)
def test_an_error_is_shown_and_the_last_valid_settings_are_kept(name, invalid, expected):
    form = SettingsForm()
    form.set(seed=4)
    before = form.settings
    valid = form.controls[name].value
    form.controls[name].value = invalid
    assert expected in form.error
    assert "Not applied" in form.message.value
    assert form.settings == before
    assert form.controls[name].value == invalid  # stays, so that the user can correct it
    form.controls[name].value = valid
    assert (form.error, form.message.value, form.settings) == ("", "", before)


def test_set_shows_an_invalid_value_and_raises_for_an_unknown_name():
    form = SettingsForm()
    form.set(**{"optim.epochs": 1.5})
    assert form.error.startswith("optim.epochs = 1.5: Input should be a valid integer")
    form.set(**{"optim.epochs": 2})
    assert form.settings.optim.epochs == 2
    with pytest.raises(ValueError, match=r"no setting 'optim\.rl' \(did you mean optim\.lr"):
        form.set(**{"optim.rl": 1})
    with pytest.raises(ValueError, match=r"no setting 'hyper\.pod'"):
        form.set(method="ft", **{"hyper.pod": 1})
    form.set(method="plob")
    assert "did you mean plop" in form.error


def test_a_form_can_start_from_settings():
    settings = configure("emoji 15-1 overlap", "mib", "smoke", {"hyper.kd": 4.0, "out": "there"}, lesson=True)
    form = SettingsForm(settings, "smoke")
    assert form.settings == settings
    assert form.controls["task"].value == "15-1"
    assert form.parameters == parameters(settings, "smoke")
    assert form.parameters["overrides"] == {"hyper.kd": 4.0}
    assert form.command_line == command_line(settings, "smoke")
    check_exports(form)


def test_without_a_kernel_a_form_shows_its_settings(monkeypatch):
    form, shown = SettingsForm(), []
    monkeypatch.setattr(outputs, "display", lambda data, raw: shown.append(data))
    form._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert form.equivalents.value in shown[1]["text/html"]
    assert form.command_line in form.equivalents.value.replace("&quot;", '"')


def test_task_and_order_follow_the_protocol() -> None:
    form = SettingsForm()
    form.set(scenario="emoji 15-1 overlap order=random:3")
    form.controls["protocol"].value = "domain"
    assert (form.error, form.settings.scenario) == ("", "emoji 2-1 domain")
    form.controls["protocol"].value = "overlap"
    assert (form.error, form.settings.scenario) == ("", "emoji 2-1 overlap")
