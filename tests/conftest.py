"""Fixtures for all tests: shapes checked at run time, small data sets on disk, a small network."""

import contextlib
import copy
import functools
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from picture_files import write_pair
from small_runs import leave_out_pictures, leave_out_rehearsal, narrow_resnets

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor

# Set before the libraries that read them are imported: no windows, no model hub, no cached weights.
os.environ |= {"MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"}
os.environ["HF_HOME"] = str(Path(tempfile.gettempdir()) / "plopkit-tests-have-no-hub")

# The tests' nets are small, and threads that wait for a busy core take four times as long as one thread alone.
os.environ["OMP_NUM_THREADS"] = "1"

# A small run syncs a hundred files, which takes longer than its training. Tests of power cuts sync in other processes.
os.fsync = lambda fd: None

# If this package is importable, jsonschema (used by nbformat) compiles the IRI grammar: four seconds in every worker.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

pytest.register_assert_rewrite("lab", "lesson_runs")

HERE = Path(__file__).parent
SLOWEST = (
    "test_notebooks_06_09.py",
    "test_notebooks_00_05.py",
    "test_notebooks_10_12.py",
    "test_toy_methods.py",
    "test_screens.py",
    "test_mending.py",
    "test_resume.py",
    "test_encoders_resumed.py",
    "test_saving.py",
    "test_users.py",
    "test_cli.py",
    "test_grid.py",
    "test_benchmarks.py",
    "test_processes.py",
    "test_logbook.py",
    "test_resnet.py",
    "test_plugins.py",
    "test_experiment.py",
    "test_guides.py",
    "test_continue.py",
    "test_origin.py",
    "test_kills.py",
    "test_plugin_guide.py",
    "test_released.py",
    "test_export.py",
    "test_live.py",
)


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Import plopkit with its checks, before any other conftest.py does without them.

    The process that only hands out tests to workers, which start when it is ready, needs none of it.
    """
    if getattr(plugin, "__file__", None) != __file__:
        return
    options = manager.get_plugin("pytestconfig").known_args_namespace
    if "PYTEST_XDIST_WORKER" in os.environ or not getattr(options, "numprocesses", None):
        import_checked()


def import_checked() -> None:
    """Import plopkit with the check of types and shapes, and set up the libraries."""
    import hypothesis
    import jaxtyping
    import torch
    from shape_checks import jaxtyped

    # No test fails because the machine is busy.
    quiet = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("plopkit", deadline=None, suppress_health_check=quiet)
    hypothesis.settings.load_profile("plopkit")
    torch.set_num_threads(1)
    # The import hook also recompiles every library that a checked module imports, PyTorch included: 13 seconds. So the
    # libraries are imported first, by an unchecked plopkit, and then plopkit again with its checks.
    importlib.import_module("plopkit.cli")
    importlib.import_module("plopkit.widgets")
    for name in [name for name in sys.modules if name.partition(".")[0] == "plopkit"]:
        del sys.modules[name]
    jaxtyping.jaxtyped = jaxtyped  # which the hook names in every module that it imports
    jaxtyping.install_import_hook("plopkit", "shape_checks.check")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first: a worker takes whole files, and a long one at the end would keep it alone."""
    ranks = {name: rank for rank, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what a test that failed or timed out has started: `make test` would not return while it holds the output."""
    if not session.config.getoption("numprocesses", None):  # else this is the process whose children run the tests
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder for the tests alone, instead of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("PLOPKIT_CACHE", str(folder))
        yield folder


@pytest.fixture
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the pictures, which take longer than the rest of a small run; a test marked ``pictures`` draws them."""
    if not request.node.get_closest_marker("pictures"):
        leave_out_pictures(monkeypatch)


@pytest.fixture
def no_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the blank batch that goes through all steps first: for runs like those that others open with it."""
    leave_out_rehearsal(monkeypatch)


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """The released ResNets have narrow stages in this file: for tests of what is made with a net, whatever its size."""
    with pytest.MonkeyPatch.context() as patch:
        narrow_resnets(patch)
        yield


@pytest.fixture
def own_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What plug-ins register in this test is gone after it: methods, data sets, metrics."""
    from plopkit import METHODS, catalogue, metrics

    monkeypatch.setattr(catalogue, "_plugins", {})  # else every command that a later test writes would name them
    registries = (METHODS, catalogue.DATASETS, metrics.PER_CLASS, metrics.PER_STEP)
    known = [set(registry) for registry in registries]
    yield
    for registry, names in zip(registries, known, strict=True):
        for name in set(registry) - names:
            del registry[name]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and VOC tables next to the checkout; skips the test if it is missing."""
    folder = HERE.parents[1] / "shared"
    if not folder.is_dir():
        pytest.skip("there is no folder `shared` next to the checkout")
    return folder


@pytest.fixture(scope="session")
def golden() -> "Callable[[str], dict[str, Tensor]]":
    """``golden("abn")``: the arrays of tests/golden/abn.npz as tensors."""
    from released import numbers_of

    return numbers_of


@pytest.fixture(scope="session")
def tiny_net() -> Callable:
    """``tiny_net(16)`` or ``tiny_net(16, 5)``: a new Segmenter of 0.1 M parameters, always with the same weights.

    Its feature maps have strides 4, 8, 16 and 16, so PLOP's scales need 64 pixels or more. On noise it predicts every
    channel somewhere, with high confidence in some places and low in others.
    """
    import torch

    from plopkit.model.encoders import Encoder
    from plopkit.model.segmenter import Segmenter

    @functools.cache
    def build(classes: tuple[int, ...]) -> Segmenter:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            net = Segmenter(Encoder("test_efficientnet", weights="none"), classes, width=16, dilations=(1, 2))
            noise = torch.randn(8, 3, 64, 64)
            for module in net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0  # take the noise's statistics, not the initial 0 and 1
            net(noise)
            for module in net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 0.1
            last = net.eval()(noise).features[-1]
            for classifier in net.classifier:
                logits = classifier(last)
                scale = 2 / logits.std((0, 2, 3))
                classifier.weight.mul_(scale[:, None, None, None])
                classifier.bias.sub_(logits.mean((0, 2, 3))).mul_(scale)
        return net.train()

    return lambda *classes: copy.deepcopy(build(classes))


@pytest.fixture
def accelerator() -> "Iterator[Accelerator]":
    """An accelerator on the CPU, in float32, whatever earlier tests have chosen: Accelerate's state is global."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def folder_root(tmp_path: Path) -> Callable[..., Path]:
    """``folder_root(train=8, val=4, classes=4, size=(40, 48))``: a user's data set, with every label in both splits.

    ``classes`` includes the background; every image shows two more labels.
    """

    def make(
        train: int = 8, val: int = 4, classes: int = 4, size: tuple[int, int] = (40, 48), name: str = "my data"
    ) -> Path:
        root = tmp_path / name
        for split, count in (("train", train), ("val", val)):
            stems = [f"{split}-{index:02d}" for index in range(count)]
            for index, stem in enumerate(stems):
                labels = [1 + (index + k) % (classes - 1) for k in (0, 1)]
                write_pair(
                    root / "images" / f"{stem}.jpg", root / "masks" / f"{stem}.png", labels, size, index, palette=False
                )
            (root / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
        names = ["background", *(f"class {label}" for label in range(1, classes))]
        (root / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        return root

    return make


@pytest.fixture
def voc_root(tmp_path: Path) -> Callable[..., Path]:
    """``voc_root(plain=True, aug=True)``: a folder with VOCdevkit/VOC2012 in it, with one kind of masks or both.

    train.txt names 2007_000000 and 2007_000001, train_aug.txt also 2008_000002; val.txt 2007_000003 and 2007_000004.
    Image i shows the labels i + 1 and i + 11; in the augmented masks, i + 1 and i + 12.
    """

    def make(plain: bool = True, aug: bool = True, aug_list: str = "train_aug.txt") -> Path:
        base = tmp_path / "VOCdevkit" / "VOC2012"
        stems = [f"{year}_{index:06d}" for index, year in enumerate((2007, 2007, 2008, 2007, 2007))]
        kinds = [("SegmentationClass", 11, plain), ("SegmentationClassAug", 12, aug)]
        for folder, shift, wanted in kinds:
            for index, stem in enumerate(stems if wanted else []):
                if folder.endswith("Aug") or index != 2:
                    mask, image = base / folder / f"{stem}.png", base / "JPEGImages" / f"{stem}.jpg"
                    write_pair(image, mask, (index + 1, index + shift), (30, 40), index, palette=True)
        lists = {"val.txt": stems[3:], "train.txt": stems[:2] if plain else [], aug_list: stems[:3] if aug else []}
        (base / "ImageSets" / "Segmentation").mkdir(parents=True)
        for name, named in lists.items():
            if named:
                (base / "ImageSets" / "Segmentation" / name).write_text("\n".join(named), encoding="utf-8")
        return tmp_path

    return make


@pytest.fixture
def no_pyplot() -> Iterator[None]:
    """Check that no figure is left in pyplot's list: a notebook would draw it a second time."""
    yield
    from matplotlib import _pylab_helpers

    assert _pylab_helpers.Gcf.get_all_fig_managers() == []
