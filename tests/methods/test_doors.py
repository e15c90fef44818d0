"""Five toy methods that use every verb, through whole runs: stopped and resumed, in parts, in two processes."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_runs import contents, small, small_flags
from toy_methods import TOYS, Frozen, Fused, Prototypes, Rehearsal, Sigmoid, SigmoidClassifier

from plopkit.backward import Place, backward
from plopkit.catalogue import METHODS
from plopkit.methods import Batch, FineTuning, Method, StepContext, Whole
from plopkit.model.segmenter import Segmenter
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario
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
    """Each method's run from start to end, trained when it is first asked for. They share their step 0."""
    out = tmp_path_factory.mktemp("doors")
    runs: dict[str, RunFolder] = {}

    def of(name: str) -> RunFolder:
        if name not in runs:
            runs[name] = run(small(out, SCENARIO, name, optim__epochs_later=2), progress=False)
        return runs[name]

    return of


@toys
def test_a_run_is_complete_and_finite(name: str, finished: Callable[[str], RunFolder]) -> None:
    folder = finished(name)
    assert folder.summary["step"].tolist() == [0, 1, 2]
    assert folder.summary["all"].between(0, 100).all()
    assert folder.results.groupby("step").size().tolist() == [11, 16, 21]
    assert folder.ticks.filter(like="loss_").notna().any().all()
    assert folder.net(2).classes == (11, 5, 5)


@toys
def test_stopped_and_resumed_equals_straight_through(
    name: str, finished: Callable[[str], RunFolder], tmp_path: Path
) -> None:
    """Stopped in the middle of every epoch of every step, and once more after each step's training."""
    straight = finished(name)
    settings = small(tmp_path, SCENARIO, name, optim__epochs_later=2)
    for _ in range(30):
        ticks = Experiment.open(settings).ticks()
        for tick in ticks:
            if tick.epoch_done:  # saved; the next iteration is lost
                next(ticks, None)
                break
        ticks.close()
        if RunFolder(settings.folder()).evaluated() == 3:
            break
    resumed = run(settings, progress=False)
    assert resumed.path.name == straight.path.name
    one, other = contents(straight.path), contents(resumed.path)
    for table in ("ticks.csv",):  # seconds differ
        assert one.pop(table) != b"" and other.pop(table) != b""
    one, other = ({k: v for k, v in files.items() if not k.endswith(".ticks.json")} for files in (one, other))
    assert one.keys() == other.keys()
    assert [key for key in one if one[key] != other[key] and key != "settings.yaml"] == []


def test_weights_are_fused_after_a_step(finished: Callable[[str], RunFolder]) -> None:
    """At a share of 0 the old weights come back, whatever was learnt."""
    folder = finished("toy-fused")
    before, after = (folder.net(index).state_dict() for index in (0, 1))
    key = "decoder.reduce.weight"
    assert not torch.equal(before[key], after[key])
    settings = folder.settings.model_copy(update={"hyper": {"share": 0.0}, "name": "all-old"})
    kept = run(settings, progress=False).net(1).state_dict()
    assert torch.equal(before[key], kept[key])
    assert not torch.equal(before["encoder.net.bn1.running_mean"], kept["encoder.net.bn1.running_mean"])


def test_all_but_the_new_classifier_is_frozen_norms_included(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-frozen")
    nets = [folder.net(index).state_dict() for index in range(3)]
    for before, after in itertools.pairwise(nets):
        changed = [key for key in before if not torch.equal(before[key], after[key])]
        assert changed == []
        assert set(after) - set(before)
    new = nets[1]["classifier.1.weight"]
    with seeded(folder.settings.seed, 1):
        begun = folder.net(0).grown(5, balanced=False)
    assert not torch.equal(begun.classifier[1].weight, new)


def test_prototypes_are_kept_and_replayed(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-prototypes")
    states = [StepStore(folder.checkpoints, index).state() for index in range(3)]
    assert [len(state["prototypes"]) for state in states] == [11, 16, 21]
    assert torch.equal(states[0]["prototypes"], states[1]["prototypes"][:11])
    assert torch.equal(states[1]["prototypes"], states[2]["prototypes"][:16])
    replay = folder.ticks["loss_replay"]
    assert replay[folder.ticks["step"] == 0].isna().all() and replay[folder.ticks["step"] > 0].notna().all()


def test_a_missing_state_is_an_error(finished: Callable[[str], RunFolder], tmp_path: Path) -> None:
    settings = small(tmp_path, SCENARIO, "toy-prototypes", optim__epochs_later=2)
    for tick in Experiment.open(settings).ticks():
        if tick.step == 1:
            break
    (tmp_path / settings.folder().name / "checkpoints" / "step-0.state.safetensors").unlink()
    with pytest.raises(ValueError, match=r"step-0\.state\.safetensors: the method's state after step 0 is missing"):
        run(settings, progress=False)


def test_images_are_kept_and_seen_again(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-memory")
    kept = StepStore(folder.checkpoints, 1).state()["memory"]
    assert len(kept) == 16
    experiment = Experiment.open(folder.settings)
    step = experiment.scenario.steps[2]
    own = experiment.data.train_loader(step)
    selection = Rehearsal().images(step, experiment.data.presence[0], {"memory": kept})
    both = experiment.data.train_loader(step, selection)
    assert len(both.dataset) == len(own.dataset) + 16
    seen = {int(label) for _, target in both for label in target.unique()}
    assert seen & set(range(1, 16)) and seen & set(range(16, 21))
    assert not {int(label) for _, target in own for label in target.unique()} & set(range(1, 16))


def test_a_sigmoid_head_is_built_kept_and_decoded(finished: Callable[[str], RunFolder]) -> None:
    folder = finished("toy-sigmoid")
    net = folder.net(2).eval()
    assert isinstance(net.classifier, SigmoidClassifier)
    logits = net(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).logits
    assert logits[:, 0].abs().max() == 0
    assert torch.equal(Sigmoid().predict(logits), logits.argmax(1))  # a constant 0 makes argmax its decoding
    assert folder.examples["predictions"].shape[0] == 3
    assert Sigmoid().first_step() == Sigmoid()
    assert all(TOYS[name]().first_step() == FineTuning() for name in set(TOYS) - {"toy-sigmoid"})


def test_a_net_of_an_unknown_kind_says_so(
    finished: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    from plopkit.model import classifiers

    folder = finished("toy-sigmoid")
    monkeypatch.delitem(classifiers.CLASSIFIERS, "toy-sigmoid")
    with pytest.raises(ValueError, match=r"a classifier 'toy-sigmoid', which nothing has defined; known: softmax"):
        folder.net(0)


class Contrast(Method):
    """A term of the whole batch."""

    name, title, source = "toy-whole", "whole", "a test"

    def losses(self, batch: Batch) -> dict[str, Whole]:
        return {"contrast": Whole(batch.out.logits.square().mean())}


def test_a_term_of_the_whole_batch_refuses_micro_batches(tmp_path: Path) -> None:
    METHODS["toy-whole"] = Contrast
    try:
        run(small(tmp_path, method="toy-whole", name="whole"), progress=False)
        with pytest.raises(ValueError, match=r"through whole: the loss term 'contrast' compares all images of a batch"):
            Experiment.open(small(tmp_path / "parts", method="toy-whole", compute__micro_batch=4))
        assert not (tmp_path / "parts").exists()
    finally:
        del METHODS["toy-whole"]


def test_two_processes_run_them_as_one_does(tmp_path: Path) -> None:
    """The same images and losses; what is kept after a step agrees to rounding."""
    (tmp_path / "plugin.py").write_text("import plopkit\nfrom toy_methods import TOYS\nplopkit.METHODS.update(TOYS)\n")
    words = ["run", SCENARIO, *small_flags(tmp_path / "two"), "--optim.epochs-later", "2", "--plugin", "plugin.py"]
    lines = ["from plopkit.cli import main"]
    lines += [f"assert main({[*words, '--method', name]}) == 0" for name in TOYS]
    (tmp_path / "all.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "all.py"]
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for name in TOYS:
        alone = run(small(tmp_path / "one", SCENARIO, name, optim__epochs_later=2), progress=False)
        (path,) = (tmp_path / "two").glob(f"*_{name}_*")
        both = RunFolder(path)
        assert contents(both.path).keys() == contents(alone.path).keys()
        assert both.results["pixels"].tolist() == alone.results["pixels"].tolist()
        losses = [f.ticks.filter(like="loss_").iloc[0].dropna().to_numpy() for f in (both, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        if (state := StepStore(alone.checkpoints, 0).state_file).is_file():
            mine, theirs = load_file(state), load_file(StepStore(both.checkpoints, 0).state_file)
            assert mine.keys() == theirs.keys()


def test_sums_and_counts_add_up_over_parts(tiny_net: Callable[..., Segmenter]) -> None:
    """The gradient of Σ sums / Σ counts, part by part, is that of the whole batch; parts differ in their counts."""
    step = Scenario.parse("emoji 15-5 overlap").steps[1]
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    target = torch.full((4, 64, 64), 255)
    target[0], target[1, :8], target[2, :, :3] = 16, 17, 0
    grads, values = [], []
    for micro_batch in (None, 2, 1):
        net = tiny_net(16, 5).eval()  # norms as they are, whatever the part

        def losses(image: torch.Tensor, part: torch.Tensor, net: Segmenter = net) -> dict:
            return Frozen().losses(Batch(net(image), None, part, net, StepContext(step)))

        place = Place(1, 0, 0)
        values.append(backward(losses, net, Accelerator(cpu=True), images, target, [4], micro_batch, place)["ce"])
        grads.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert values[1] == pytest.approx(values[0], rel=1e-5) and values[2] == pytest.approx(values[0], rel=1e-5)
    for grad in grads[1:]:
        assert (grad - grads[0]).norm() < 1e-4 * grads[0].norm()


def test_toys_are_what_they_say() -> None:
    assert {Fused, Frozen, Prototypes, Rehearsal, Sigmoid} == set(TOYS.values())
