"""Five toy methods that use every verb, in whole runs: interrupted and resumed, in parts, in two processes."""

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_runs import NARROW, contents, leave_out_rehearsal, narrow_resnets, small, small_flags
from toy_methods import TOYS, Rehearsal, Sigmoid, SigmoidClassifier

from plopkit.catalogue import METHODS
from plopkit.methods import Batch, FineTuning, Method, State, StepContext, Whole
from plopkit.model import classifiers
from plopkit.model.segmenter import Segmenter
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.support.seeding import seeded

SCENARIO = "emoji 10-5 overlap"  # three steps: state goes from step to step
toys = pytest.mark.parametrize("name", TOYS)


@pytest.fixture(autouse=True)
def registered(no_pictures: None) -> Iterator[None]:
    for name, kind in TOYS.items():
        METHODS[name] = kind
    yield
    for name in TOYS:
        del METHODS[name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunFolder]:
    """`finished(name)`: a method's run, trained without interruption on the first call. They share their step 0."""
    out = tmp_path_factory.mktemp("toys")
    runs: dict[str, RunFolder] = {}

    def train(name: str) -> RunFolder:
        if name not in runs:
            runs[name] = run(small(out, SCENARIO, name, optim__epochs_later=2), progress=False)
        return runs[name]

    return train


@toys
def test_a_run_is_complete_and_finite(name: str, finished: Callable[[str], RunFolder]) -> None:
    folder = finished(name)
    assert folder.summary["step"].tolist() == [0, 1, 2]
    assert folder.summary["all"].between(0, 100).all()
    assert folder.results.groupby("step").size().tolist() == [11, 16, 21]
    assert folder.ticks.filter(like="loss_").notna().any().all()
    assert folder.net(2).classes == (11, 5, 5)


@toys
def test_an_interrupted_run_gives_the_same_bytes(
    name: str, finished: Callable[[str], RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted one iteration after each epoch of each step."""
    expected = finished(name)
    leave_out_rehearsal(monkeypatch)
    settings = small(tmp_path, SCENARIO, name, optim__epochs_later=2)
    for _ in range(30):
        ticks = Experiment.open(settings).ticks()
        for tick in ticks:
            if tick.epoch_done:
                next(ticks, None)  # lost: only finished epochs are saved
                break
        ticks.close()
        if RunFolder(settings.folder()).evaluated() == 3:
            break
    resumed = run(settings, progress=False)
    assert resumed.path.name == expected.path.name
    files, expected_files = contents(resumed.path), contents(expected.path)
    assert files.keys() == expected_files.keys()
    different = {name for name, data in files.items() if data != expected_files[name]}
    timed = {"ticks.csv", *(f"checkpoints/step-{index}.ticks.json" for index in range(3))}  # seconds differ
    assert different <= {"settings.yaml", *timed}  # the settings name another out
    ticks, expected_ticks = (folder.ticks.drop(columns="seconds") for folder in (resumed, expected))
    pd.testing.assert_frame_equal(ticks, expected_ticks)


def test_weights_are_fused_after_a_step(finished: Callable[[str], RunFolder]) -> None:
    """A share of 0 restores the old weights, whatever the step has learnt."""
    folder = finished("toy-fused")
    before, after = (folder.net(index).state_dict() for index in (0, 1))
    key = "decoder.reduce.weight"
    assert not torch.equal(before[key], after[key])
    settings = folder.settings.model_copy(update={"hyper": {"share": 0.0}, "name": "all-old"})
    restored = run(settings, progress=False).net(1).state_dict()
    assert torch.equal(before[key], restored[key])
    assert not torch.equal(before["encoder.net.bn1.running_mean"], restored["encoder.net.bn1.running_mean"])


def test_all_parts_except_the_new_classifier_are_frozen_with_their_norms(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-frozen")
    nets = [folder.net(index).state_dict() for index in range(3)]
    for before, after in itertools.pairwise(nets):
        assert [key for key in before if not torch.equal(before[key], after[key])] == []
        assert set(after) - set(before)
    new = nets[1]["classifier.1.weight"]
    with seeded(folder.settings.seed, 1):
        untrained = folder.net(0).grown(5, balanced=False)
    assert not torch.equal(untrained.classifier[1].weight, new)


def test_prototypes_are_kept_and_replayed(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-prototypes")
    states = [StepStore(folder.checkpoints, index).state() for index in range(3)]
    assert [len(state["prototypes"]) for state in states] == [11, 16, 21]
    assert torch.equal(states[0]["prototypes"], states[1]["prototypes"][:11])
    assert torch.equal(states[1]["prototypes"], states[2]["prototypes"][:16])
    replay = folder.ticks["loss_replay"]
    assert replay[folder.ticks["step"] == 0].isna().all() and replay[folder.ticks["step"] > 0].notna().all()


def test_a_step_whose_state_is_missing_is_trained_again(
    finished: Callable[[str], RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is never taken for a step without a state."""
    settings = small(tmp_path, SCENARIO, "toy-prototypes", optim__epochs_later=2)
    for tick in Experiment.open(settings).ticks():
        if tick.step == 1:
            break
    store = StepStore(RunFolder(settings.folder()).checkpoints, 0)
    state = store.state()
    store.state_file.unlink()
    with pytest.raises(ValueError, match=r"step-0\.state\.safetensors: missing, and the next step needs it"):
        store.state()
    run(settings, progress=False)
    assert (
        "step-0.state.safetensors: missing, and the next step needs it; step 0 is trained again"
        in capsys.readouterr().err
    )
    assert torch.equal(store.state()["prototypes"], state["prototypes"])


def test_images_are_kept_and_trained_on_again(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-memory")
    memory = StepStore(folder.checkpoints, 1).state()["memory"]
    assert len(memory) == 16
    experiment = Experiment.open(folder.settings)
    step = experiment.scenario.steps[2]
    own = experiment.data.train_loader(step)
    selection = Rehearsal().images(step, experiment.data.presence[0], {"memory": memory})
    rehearsed = experiment.data.train_loader(step, selection)
    assert len(rehearsed.dataset) == len(own.dataset) + 16
    seen = {int(label) for _, target in rehearsed for label in target.unique()}
    assert seen & set(range(1, 16)) and seen & set(range(16, 21))
    assert not {int(label) for _, target in own for label in target.unique()} & set(range(1, 16))


def test_a_sigmoid_classifier_is_built_stored_and_decoded(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-sigmoid")
    net = folder.net(2).eval()
    assert isinstance(net.classifier, SigmoidClassifier)
    logits = net(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).logits
    assert logits[:, 0].abs().max() == 0
    assert torch.equal(Sigmoid().predict(logits), logits.argmax(1))  # a constant 0 makes argmax its decoding
    assert folder.examples["predictions"].shape[0] == 3


def test_a_method_trains_step_0_itself_if_it_builds_its_own_net() -> None:
    assert Sigmoid().first_step() == Sigmoid()
    assert all(TOYS[name]().first_step() == FineTuning() for name in set(TOYS) - {"toy-sigmoid"})


def test_an_unknown_kind_of_classifier_is_named(
    finished: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished("toy-sigmoid")
    monkeypatch.delitem(classifiers.CLASSIFIERS, "toy-sigmoid")
    with pytest.raises(ValueError, match=r"a classifier 'toy-sigmoid', which nothing has defined; known: softmax"):
        folder.net(0)


class Before(FineTuning):
    """Loads the net before at the end of a step."""

    name = "toy-before"

    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        if context.before is None:
            return net, {}
        before = context.before()
        assert not before.training
        old = before.classifier[0].weight
        return net, {"change": (net.classifier[0].weight - old).norm().detach()}


def test_a_method_without_a_teacher_can_load_the_net_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy-before", Before)
    folder = run(small(tmp_path, method="toy-before"), progress=False)
    assert StepStore(folder.checkpoints, 0).state() == {}
    change = (folder.net(1).classifier[0].weight - folder.net(0).classifier[0].weight).norm()
    torch.testing.assert_close(StepStore(folder.checkpoints, 1).state()["change"], change.detach())
    assert change > 0


class Contrast(Method):
    """A loss term of the whole batch."""

    name, title, source = "toy-whole", "whole", "a test"

    def losses(self, batch: Batch) -> dict[str, Whole]:
        return {"contrast": Whole(batch.out.logits.square().mean())}


def test_a_term_of_the_whole_batch_does_not_allow_micro_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "toy-whole", Contrast)
    run(small(tmp_path, method="toy-whole", name="whole"), progress=False)
    with pytest.raises(ValueError, match=r"through whole: the loss term 'contrast' compares all images of a batch"):
        Experiment.open(small(tmp_path / "parts", method="toy-whole", compute__micro_batch=4))
    assert not (tmp_path / "parts").exists()


# ResNet-18's norms share their statistics over processes, and SGD does not magnify rounding as Adam does.
SHARED = {"model__encoder": "resnet18", "data__scenes": 32, "data__val_scenes": 12, "optim__batch": 8}
SHARED |= {"optim__name": "sgd", "optim__lr": 1e-3, "optim__lr_later": 1e-3, "optim__epochs_later": 2}
TWICE = """
import os
from toy_methods import TOYS
import plopkit
from plopkit.cli import main
from plopkit.model import resnet
from plopkit.runs import experiment

plopkit.METHODS.update(TOYS)
resnet.WIDTHS = {narrow!r}
experiment.draw_pictures = lambda folder, title: None
os.fsync = lambda fd: None  # as in conftest.py
child = os.fork()  # after the imports, which take longer than a run
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if child else "1"
for name in {names!r}:
    assert main([*{words!r}, "--method", name]) == 0
assert not child or os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the toys' runs in two processes.

    Each process has half of a batch, in two parts; each part of a single process has the images of both.
    """
    folder = tmp_path_factory.mktemp("shared")
    flags = [f"--{name.replace('__', '.').replace('_', '-')}={value}" for name, value in SHARED.items()]
    words = ["run", "emoji 15-5 overlap", *small_flags(folder / "runs"), *flags, "--compute.micro-batch=2"]
    (folder / "twice.py").write_text(TWICE.format(names=tuple(TOYS), words=words, narrow=NARROW))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    environment = os.environ | group | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "twice.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder / "runs"


@toys
def test_two_processes_train_as_a_single_one(
    name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same files, same evaluated images, and the same first losses and states up to rounding."""
    narrow_resnets(monkeypatch)
    single = run(small(tmp_path, method=name, compute__micro_batch=4, **SHARED), progress=False)
    (path,) = shared.glob(f"*_{name}_*")
    both = RunFolder(path)
    assert contents(both.path).keys() == contents(single.path).keys()
    assert both.results["pixels"].tolist() == single.results["pixels"].tolist()
    losses = [folder.ticks.filter(like="loss_").iloc[0].dropna().to_numpy() for folder in (both, single)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for index in range(2):
        states = [StepStore(folder.checkpoints, index).state() for folder in (both, single)]
        assert states[0].keys() == states[1].keys()
        for key, tensor in states[0].items():
            torch.testing.assert_close(tensor, states[1][key], rtol=1e-2, atol=1e-2)
