"""Settings and presets: their values and errors, equal ways to write them, and what changes a fingerprint."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel

from plopkit.flags import parse_run
from plopkit.grammar import has_domains
from plopkit.methods import METHODS
from plopkit.parameters import from_parameters
from plopkit.presets import PRESETS, configure, method_of, settle
from plopkit.runs.opening import open_folder
from plopkit.runs.start import with_start
from plopkit.scenario import DATASETS
from plopkit.settings import Settings, build, digest, flat, from_yaml, known_names, nested, to_yaml
from plopkit.support.files import write_text

SCENARIOS = {
    "voc": "voc 15-5 overlap",
    "emoji": "emoji 15-5 overlap",
    "ade": "ade 100-50 overlap",
    "cityscapes": "cityscapes 11-5 domain",
    "folder": "folder 3-1 overlap",
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_works_with_every_data_set_and_method(preset: str, dataset: str, method: str) -> None:
    if has_domains(SCENARIOS[dataset]) and not METHODS[method].learns_domains:
        with pytest.raises(ValueError, match="methods that learn domains"):
            configure(SCENARIOS[dataset], method, preset)
        return
    settings = configure(SCENARIOS[dataset], method, preset)
    assert (settings.scenario, settings.method) == (SCENARIOS[dataset], method)
    assert set(settings.hyper) == set(METHODS[method].model_fields)
    assert type(method_of(settings)) is METHODS[method]
    assert settle(settings) == settings


def test_presets_differ_and_depend_on_the_data_set() -> None:
    assert len({configure(preset=preset).fingerprint() for preset in PRESETS}) == len(PRESETS)
    assert configure("voc 15-5 overlap").data.size > configure("emoji 15-5 overlap").data.size
    paper = configure("voc 15-5 overlap", preset="paper")
    assert paper.optim == Settings().optim
    assert (paper.hyper["pod"], paper.hyper["pod_logits"]) == (0.01, 0.0005)
    ade = configure("ade 100-50 overlap", preset="paper")
    assert (ade.hyper["pod"], ade.hyper["pod_logits"], ade.optim.epochs) == (0.001, 0.00001, 60)
    assert configure("ade 100-50 overlap", "ft", "paper").hyper == {}  # PLOP's values are for PLOP alone


@pytest.mark.parametrize(
    ("arguments", "overrides", "expected"),
    [
        ({"method": "plob"}, {}, r"no method 'plob' \(did you mean plop\?\); known: ft, "),
        ({"method": "PLOP"}, {}, r"did you mean plop\?"),
        ({"preset": "papr"}, {}, r"no preset 'papr' \(did you mean paper\?\); known: smoke, laptop, gpu, paper"),
        ({"scenario": "emoji 15-4 overlap"}, {}, r"the task '15-4' does not fit.*nearest: 'emoji 15-5 overlap'"),
        ({}, {"optim.rl": 1}, r"no setting 'optim.rl' \(did you mean optim.lr\b.*known: scenario, method, seed, hyper"),
        ({}, {"optm": {"lr": 1}}, r"no setting 'optm'"),
        (
            {},
            {"hyper.pods": 1},
            r"no setting 'hyper.pods' \(did you mean hyper.pod\b.*known: hyper.pod, hyper.pod_logits",
        ),
        ({"method": "ft"}, {"hyper.pod": 1}, r"no setting 'hyper.pod'"),
        ({}, {"optim.lr": -1}, r"optim.lr = -1: .*greater than 0"),
        ({}, {"optim.lr": float("nan")}, r"optim.lr = nan: "),
        ({}, {"optim.lr": "fast"}, r"optim.lr = 'fast': .*valid number"),
        ({}, {"optim.name": "adam"}, r"optim.name = 'adam': .*'sgd' or 'adamw'"),
        ({}, {"optim.batch": 0}, r"optim.batch = 0: .*greater than or equal to 1"),
        ({}, {"optim.batch": 2.5}, r"optim.batch = 2.5: "),
        ({}, {"seed": -1}, r"seed = -1: "),
        ({}, {"data.scale": (1.0, 0.5)}, r"data.scale = \(1.0, 0.5\): .*smallest <= largest"),
        ({}, {"data.scale": (0.5, 20.0)}, r"data.scale = .*largest <= 10"),
        ({}, {"data.scale": (0.5, float("inf"))}, r"data.scale.1 = inf: Input should be a finite number"),
        ({}, {"model.dilations": (1, 0)}, r"model.dilations.1 = 0: "),
        ({}, {"hyper.pod": -0.1}, r"hyper.pod = -0.1: "),
        ({}, {"name": "a/b"}, r"single folder name .*, not 'a/b'"),
        ({}, {"name": ".step0"}, r"single folder name .*, not '.step0'"),
        ({}, {"name": ""}, r"single folder name"),
        (
            {},
            {"log": "wandbb"},
            r"no tracker 'wandbb' \(did you mean wandb\?\); known: tensorboard, wandb, mlflow, jsonl",
        ),
        ({}, {"log": 3}, r"log = 3: "),
        ({}, {"optim": 3}, r"'optim' = 3: this is a group of settings, such as optim\."),
        ({}, {"seed.x": 3, "seed": 1}, r"seed"),
        ({}, {"method": "ft"}, r"^method: set directly, not in overrides$"),
        ({}, {"seed": -1, "optim.lr": 0}, r"(?s)seed = -1.*\n.*optim.lr = 0"),  # all errors at once
    ],
)
def test_an_error_names_the_setting_and_the_possible_values(
    arguments: dict[str, Any], overrides: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        configure(**arguments, overrides=overrides)


def bounded(kind: type[BaseModel], prefix: str = "") -> list[tuple[str, float]]:
    """Every numeric setting with a value just outside each of its bounds."""
    result: list[tuple[str, float]] = []
    for name, info in kind.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            result += bounded(info.annotation, f"{prefix}{name}.")
        for bound in info.metadata:
            outside = {"ge": -1, "gt": 0, "le": 1, "lt": 0}
            result += [(prefix + name, getattr(bound, k) + shift) for k, shift in outside.items() if hasattr(bound, k)]
    return result


@pytest.mark.parametrize(("name", "value"), bounded(Settings))
def test_every_bound_is_checked(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name.replace('.', '[.]')} = {value}: Input should be "):
        configure(overrides={name: value})


@pytest.mark.parametrize("method", METHODS)
def test_every_number_of_a_method_has_a_bound(method: str) -> None:
    expected = {name for name, _ in bounded(METHODS[method])}
    numbers = {name for name, info in METHODS[method].model_fields.items() if info.annotation in (int, float)}
    assert numbers <= expected


def every_setting(kind: type[BaseModel], prefix: str = "") -> list[str]:
    return [name for name in known_names(kind, prefix) if name not in ("scenario", "method", "hyper")]


def test_dotted_and_nested_overrides_are_equal() -> None:
    dotted = {"optim.lr": 0.5, "optim.epochs": 3, "hyper.pod": 0.2, "seed": 4}
    tree = {"optim": {"lr": 0.5, "epochs": 3}, "hyper": {"pod": 0.2}, "seed": 4}
    mixed = {"optim": {"lr": 0.5}, "optim.epochs": 3, "hyper": {"pod": 0.2}, "seed": 4}
    before = repr(mixed)
    assert configure(overrides=dotted) == configure(overrides=tree) == configure(overrides=mixed)
    assert repr(mixed) == before
    assert configure(overrides=tree).optim.batch == configure().optim.batch  # all else is the preset's
    assert nested(dotted) == tree
    assert flat(tree) == dotted == flat(dotted)


def test_every_setting_has_a_description() -> None:
    expected = {
        name: info.description for kind in (Settings, *METHODS.values()) for name, info in kind.model_fields.items()
    }
    groups = {"data", "start", "model", "optim", "memory", "compute"}
    assert all(expected[name] for name in expected if name not in groups)
    for group in groups:
        inner = Settings.model_fields[group].annotation
        assert inner is not None
        assert inner.__doc__
        assert all(info.description for info in inner.model_fields.values())


@pytest.mark.parametrize("method", METHODS)
def test_settings_survive_yaml(tmp_path: Path, method: str) -> None:
    overrides = {"data.root": tmp_path, "optim.lr": 1e-5, "name": "mein Lauf é", "out": tmp_path / "out", "seed": 7}
    settings = configure("voc 15-1 overlap order=b", method, "paper", overrides)
    path = tmp_path / "settings.yaml"
    path.write_text(to_yaml(settings), encoding="utf-8")
    loaded = from_yaml(path)
    assert loaded == settings
    assert loaded.fingerprint() == settings.fingerprint()
    assert list(yaml.safe_load(path.read_text(encoding="utf-8"))) == list(Settings.model_fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [1", "not the settings of a run"),
        ("colour: red", "there is no setting 'colour'"),
        ("", "settings = None"),
    ],
)
def test_the_error_of_a_damaged_settings_file_names_it(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=expected) as error:
        from_yaml(path)
    assert str(error.value).startswith(f"{path}: ")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        configure().seed = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        configure().optim.lr = 3  # type: ignore[misc]


# Fingerprints

OTHER: dict[str, Any] = {
    "seed": 1,
    "data.root": "/elsewhere",
    "data.digest": "all",
    "start.checkpoint": "/a/run",
    "start.classes": "/a/list",
    "start.step": 1,
    "start.digest": "0123456789abcdef",
    "data.size": 80,
    "data.scale": (0.25, 1.0),
    "data.scenes": 900,
    "data.val_scenes": 301,
    "data.binary": True,
    "data.saliency": "/maps",
    "model.encoder": "resnet18",
    "model.weights": "none",
    "model.digest": "0123456789abcdef",
    "model.norm": "iabn",
    "model.slope": 0.0,
    "model.stages": 5,
    "model.output_stride": 8,
    "model.width": 24,
    "model.dilations": (1, 2),
    "model.pool": 3,
    "model.frozen": True,
    "model.decoder": "linear",
    "optim.name": "sgd",
    "optim.lr": 0.5,
    "optim.lr_later": 0.25,
    "optim.epochs": 9,
    "optim.epochs_later": 8,
    "optim.min_iterations": 70,
    "optim.warmup": 0.1,
    "optim.batch": 3,
    "optim.momentum": 0.5,
    "optim.weight_decay": 0.5,
    "optim.power": 0.5,
    "memory.images": 40,
    "memory.mb": 2.5,
    "memory.choice": "random",
    "memory.labels": "seen",
    "memory.mix": "half",
    "compute.cpu": True,
    "compute.precision": "bf16",
    "compute.micro_batch": 2,
    "compute.tf32": False,
    "compute.search": False,
    "compute.compile": "yes",
    "compute.workers": 2,
    "compute.save_minutes": 1.5,
    "evaluate": "full",
    "future": "void",
    "out": "elsewhere",
    "name": "another",
    "log": ["jsonl"],
}
WITHOUT_CHECKPOINT = {"start.classes", "start.step", "start.digest"}
"""Settings that say more about a checkpoint, which is not named here."""
IRRELEVANT = {"compute.workers", "compute.save_minutes", "out", "name", "log", "data.root"} | WITHOUT_CHECKPOINT
LATER_MEMORY = {f"memory.{name}" for name in ("images", "mb", "choice", "labels", "mix")}
LATER = {"optim.lr_later", "optim.epochs_later", "optim.min_iterations", "evaluate", "future"} | LATER_MEMORY


def test_every_setting_has_another_value_to_test() -> None:
    assert set(OTHER) == set(every_setting(Settings))


@pytest.mark.parametrize("name", OTHER)
def test_the_fingerprint_changes_with_what_affects_the_results(name: str) -> None:
    budget = {"memory.images": 30} if name.startswith("memory.") else {}
    method = "ssul" if name == "data.saliency" else "plop"  # others are refused with it
    changes = (budget, budget | {name: OTHER[name]})
    default, other = (configure(method=method, overrides=overrides) for overrides in changes)
    assert default != other
    assert (default.fingerprint() == other.fingerprint()) == (name in IRRELEVANT)
    assert (default.step0_identity() == other.step0_identity()) == (name in IRRELEVANT | LATER)
    assert (default.folder() == other.folder()) == (name in IRRELEVANT - {"out", "name"})


def test_what_earlier_versions_do_not_have_is_no_part_of_the_identity_at_its_default() -> None:
    identity = configure(preset="paper").identity()
    assert not {"tf32", "search", "compile"} & set(identity["compute"])
    assert "min_iterations" not in identity["optim"] and not {"future", "start"} & set(identity)
    assert "memory" not in identity and "digest" not in identity["data"] and identity["data"]["root"] is None
    assert not {"frozen", "decoder"} & set(identity["model"])
    changed = configure(preset="paper", overrides={"optim.min_iterations": 7}).identity()
    assert changed == identity | {"optim": identity["optim"] | {"min_iterations": 7}}


def test_a_checkpoint_decides_by_its_content_and_says_what_the_net_is() -> None:
    start = {"start.checkpoint": "/a/run", "start.digest": "0123456789abcdef"}
    settings = configure(overrides=start)
    assert settings.identity()["start"] == {"digest": "0123456789abcdef"}
    same = configure(overrides=start | {"start.checkpoint": "/b", "start.classes": "/c", "model.encoder": "resnet18"})
    assert same.identity() == settings.identity()
    for changed in ({"model.output_stride": 8}, {"model.frozen": True}):
        assert configure(overrides=start | changed).identity() != settings.identity()


def test_a_file_of_weights_decides_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"weights")
    named = [with_start(configure(overrides={"model.weights": name})) for name in ("w.pth", str(tmp_path / "w.pth"))]
    assert (
        named[0] == named[1] and named[0].model.weights == str(tmp_path / "w.pth") and len(named[0].model.digest) == 16
    )
    (tmp_path / "copy.pth").write_bytes(b"weights")
    copied = with_start(configure(overrides={"model.weights": "copy.pth"}))
    assert copied.folder() == named[0].folder() and copied.step0_identity() == named[0].step0_identity()
    (tmp_path / "w.pth").write_bytes(b"others")
    others = with_start(configure(overrides={"model.weights": "w.pth"}))
    assert others.folder() != named[0].folder() and others.step0_identity() != named[0].step0_identity()
    with pytest.raises(ValueError, match=r"w\.pth: its digest is [0-9a-f]{16}, not [0-9a-f]{16}: it has changed"):
        with_start(named[0])
    (tmp_path / "w.pth").unlink()
    assert with_start(named[0]) == named[0]  # a finished run needs no weights
    with pytest.raises(ValueError, match=r"without a file in model\.weights"):
        with_start(configure(overrides={"model.weights": "none", "model.digest": "0" * 16}))


def test_a_run_of_earlier_weights_keeps_its_folder(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"weights")
    settings = configure(overrides={"model.weights": str(tmp_path / "w.pth"), "out": tmp_path / "runs"})
    assert with_start(settings).folder() != settings.folder()
    settings.folder().mkdir(parents=True)  # named by the place of the weights, as earlier versions did it
    assert with_start(settings).folder() == settings.folder()
    write_text(settings.folder() / "settings.yaml", to_yaml(settings), seal=True)
    write_text(settings.folder() / "data.txt", "data\n", seal=True)
    assert open_folder(with_start(settings), "data\n").path == settings.folder()


@pytest.mark.parametrize("method", METHODS)
def test_methods_share_step_0(method: str) -> None:
    other = configure(method=method)
    whole = method == "prototypes"  # all stages of the encoder, and nothing that others could share
    assert (other.step0_identity() == configure().step0_identity()) != whole
    same = configure(method=method, overrides={"model.stages": configure().model.stages})
    assert same.step0_identity() == configure().step0_identity()
    assert (other.fingerprint() == configure().fingerprint()) == (method == "plop")


@pytest.mark.parametrize("name", METHODS["plop"].model_fields)
def test_hyper_parameters_belong_to_the_fingerprint_but_not_to_step_0(name: str) -> None:
    other = {"scales": (1, 2), "thresholds": "median", "adaptive": False, "distil": "cube"}.get(name, 0.125)
    changed = configure(overrides={f"hyper.{name}": other})
    assert changed.fingerprint() != configure().fingerprint()
    assert changed.step0_identity() == configure().step0_identity()


def test_a_hyper_parameter_that_is_new_at_its_default_leaves_the_folder_as_it_was() -> None:
    # The preset of version 0.1, which did not have min_iterations either.
    before = {"hyper.pod": 0.001, "hyper.pod_logits": 0.00005, "hyper.floor": 0.001, "optim.min_iterations": 0}
    usual = configure(overrides=before)
    settings = configure(overrides=before | {"hyper.distil": "pod"})
    assert settings.hyper["distil"] == "pod" and "distil" not in settings.identity()["hyper"]
    without = {name: value for name, value in settings.hyper.items() if name != "distil"}
    earlier = settings.model_copy(update={"hyper": without})  # as version 0.1 wrote it
    assert settings.folder() == earlier.folder() == usual.folder()
    assert settings.folder().name == "emoji_15-5_overlap_plop_seed0_b3563c2c"


def test_the_spelling_of_a_scenario_does_not_change_the_fingerprint() -> None:
    assert configure("VOC  15-5s overlapped").fingerprint() == configure("voc 15-1 overlap").fingerprint()
    assert configure("voc 15-1 overlap").fingerprint() != configure("voc 15-1 disjoint").fingerprint()


def test_paths_are_made_absolute_and_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert configure(overrides={"data.root": "voc"}).data.root == tmp_path / "voc"
    settings = configure(overrides={"data.root": "~/voc", "out": "~/runs"})
    assert (settings.data.root, settings.out) == (tmp_path / "me" / "voc", tmp_path / "me" / "runs")


def test_a_digest_does_not_depend_on_key_order_or_process() -> None:
    assert digest({"b": "é", "a": [1, 0.5]}) == digest({"a": [1, 0.5], "b": "é"}) == "311bf802"


# Command line, papermill parameters and Settings are equal

CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**31 - 1),
    "out": st.sampled_from(["runs", "other/runs"]),
    "hyper.pod": st.floats(0, 10),
    "hyper.scales": st.lists(st.integers(1, 8), min_size=1, max_size=3),
    "hyper.adaptive": st.booleans(),
    "hyper.thresholds": st.sampled_from(["released", "median"]),
    "data.root": st.sampled_from([None, "some/where"]),
    "data.size": st.integers(16, 4096),
    "data.scale": st.sampled_from([(0.5, 2.0), (0.25, 1.0)]),
    "model.dilations": st.lists(st.integers(1, 20), max_size=3),
    "model.pool": st.none() | st.integers(1, 64),
    "optim.name": st.sampled_from(["sgd", "adamw"]),
    "optim.lr": st.floats(1e-9, 10),
    "optim.epochs_later": st.integers(1, 10_000),
    "compute.cpu": st.booleans(),
}


def flags(overrides: dict[str, Any]) -> list[str]:
    """These settings as flags of `plopkit run`."""
    words = []
    for name, value in overrides.items():
        *above, last = name.replace("_", "-").split(".")
        if isinstance(value, bool):
            words.append("--" + ".".join([*above, last if value else f"no-{last}"]))
        else:
            words += ["--" + ".".join([*above, last]), *map(str, value if isinstance(value, list | tuple) else [value])]
    return words


@hypothesis_settings(deadline=None, max_examples=25)
@given(st.data(), st.sampled_from(list(PRESETS)), st.sampled_from(["voc 15-5 overlap", "emoji 10-5 disjoint"]))
def test_command_line_and_parameters_give_the_same_settings(data: st.DataObject, preset: str, scenario: str) -> None:
    names = data.draw(st.lists(st.sampled_from(list(CHOICES)), unique=True, max_size=5))
    overrides = {name: data.draw(CHOICES[name], name) for name in names}
    expected = configure(scenario, "plop", preset, overrides)
    first, last = [scenario, "--preset", preset], ["--preset", preset, scenario]
    values = flags(overrides)
    typed = data.draw(st.sampled_from([[*first, *values], [*values, "--seed", str(expected.seed), *last]]))
    cell = {"scenario": scenario, "method": "plop", "preset": preset, "data_root": None, "out": "runs"}
    assert parse_run(typed) == expected
    assert from_parameters(cell | {"overrides": overrides}) == expected
    assert settle(build(Settings, expected.model_dump())) == expected


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_words_on_the_command_line_does_not_matter(method: str) -> None:
    expected = configure("voc 15-5 overlap", method, "gpu", {"seed": 2})
    for words in (
        ["voc 15-5 overlap", "--method", method, "--preset", "gpu", "--seed", "2"],
        ["--seed", "2", "--preset=gpu", "voc 15-5 overlap", f"--method={method}"],
        ["--preset", "gpu", "--method", method, "--seed=2", "VOC 15-5 overlap"],
    ):
        assert parse_run(words) == expected
    assert parse_run([]) == configure()
