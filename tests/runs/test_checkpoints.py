"""The files of one step: its training while it runs, the net and the method's state when it is done."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from full_disk import limited_file_size, no_space
from safetensors.torch import save_file
from small_runs import contents, small
from torch import Tensor

from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.runs import checkpoints
from plopkit.runs.checkpoints import StepStore
from plopkit.support import seals
from plopkit.support.files import write_text

Nets = Callable[..., Segmenter]


def training_state(value: float, epoch: int = 1) -> dict[str, Any]:
    return {"net": {"a": torch.full((2,), value)}, "optimizer": {"state": {0: {"step": 3}}}, "epoch": epoch}


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


# A finished step


def test_a_training_is_kept_until_the_step_is_done(tmp_path: Path, tiny_net: Nets) -> None:
    store = StepStore(tmp_path, 2)
    assert store.load_epoch() is None
    store.save_epoch(training_state(1.0, 1), [{"loss": 1.0}])
    store.save_epoch(training_state(2.0, 2), [{"loss": 0.5}])
    loaded = store.load_epoch()
    assert loaded is not None
    training, ticks = loaded
    assert training["net"]["a"].tolist() == [2.0, 2.0]
    assert (training["epoch"], training["optimizer"]) == (2, {"state": {0: {"step": 3}}})
    assert ticks == [{"loss": 1.0}, {"loss": 0.5}]
    net = tiny_net(3).to(memory_format=torch.channels_last)
    store.finish(net, ticks, {})
    assert store.load_epoch() is None
    assert_equal(store.weights(), net.state_dict())
    assert store.ticks() == ticks
    assert store.classes() == [3]
    assert store.state() == {}
    assert set(contents(tmp_path)) == {"step-2.safetensors", "step-2.ticks.json"}


def test_ticks_of_an_epoch_count_only_with_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two files of an epoch, which is then trained again."""
    store = StepStore(tmp_path, 0)
    store.save_epoch(training_state(1.0, 1), [{"loss": 1.0}])
    with monkeypatch.context() as patch:
        patch.setattr("plopkit.runs.unfinished.write_torch", no_space)
        with pytest.raises(OSError, match="No space"):
            store.save_epoch(training_state(2.0, 2), [{"loss": 9.0}])
    for last in (1.0, 0.5):
        loaded = store.load_epoch()
        assert loaded is not None
        assert loaded[1] == [{"loss": 1.0}, {"loss": last}][: loaded[0]["epoch"]]
        store.save_epoch(training_state(2.0, 2), [{"loss": 0.5}])


def test_a_damaged_training_gives_way_to_the_one_before(tmp_path: Path) -> None:
    """Both are kept; where neither can be read, the step is trained from its beginning."""
    store = StepStore(tmp_path, 0)
    for epoch in (1, 2, 3):
        store.save_epoch(training_state(float(epoch), epoch), [{"loss": epoch}])
    store.save_epoch(training_state(3.5, 3) | {"batch": 2}, [{"loss": 3.1}, {"loss": 3.2}])
    names = ["step-0.training.3.2.pt", "step-0.training.3.0.pt"]
    assert [path.name for path in store.training.state_files()] == names
    flip(store.training.state_file(3, 2))
    lines: list[str] = []
    loaded = store.load_epoch()
    assert loaded is not None and loaded[0]["net"]["a"].tolist() == [3.0, 3.0]
    assert loaded[1] == [{"loss": 1}, {"loss": 2}, {"loss": 3}]
    assert store.load_epoch(lines.append) is not None
    assert len(lines) == 1 and lines[0].startswith(f"{store.training.state_file(3, 2)}: damaged (")
    assert lines[0].endswith("; step 0 goes on from the state before")
    assert [path.name for path in store.training.state_files()] == names[1:]
    store.save_epoch(training_state(3.5, 3) | {"batch": 1}, [{"loss": 3.1}])
    loaded = store.load_epoch()
    assert loaded is not None and loaded[1][3:] == [{"loss": 3.1}]
    store.training.ticks_file(3).write_text("[]")
    loaded = store.load_epoch()
    assert loaded is not None and (loaded[0]["epoch"], loaded[1][3:]) == (3, [])
    store.training.ticks_file(0).unlink()
    assert store.load_epoch(lines.append) is None
    assert "training.0.json: missing" in lines[-1] and not store.training.state_files()


def test_a_training_that_can_be_saved_can_be_read(tmp_path: Path) -> None:
    """Also with tensors that torch writes and no reader of strangers' files takes; others are not saved at all."""
    store = StepStore(tmp_path, 0)
    state = {"a": torch.ones(1).expand(5), "b": torch.arange(6)[::2]}
    store.save_epoch(training_state(1.0) | {"regularizer": state}, [{"loss": 1.0}])
    loaded = store.load_epoch()
    assert loaded is not None
    assert_equal(loaded[0]["regularizer"], state)
    with pytest.raises(TypeError, match=r"torch\.complex64 .* cannot be saved"):
        store.save_epoch(training_state(2.0, 2) | {"regularizer": {"a": torch.ones(1).to(torch.complex64)}}, [])
    assert store.training.state_files() == [store.training.state_file(1)]


@pytest.mark.parametrize(
    "reader", ["unfinished.read_torch", "step_files.read_safetensors", "checkpoints.read_metadata"]
)
def test_a_file_that_cannot_be_opened_is_not_taken_for_damaged(
    tmp_path: Path, tiny_net: Nets, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    def failing(path: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    store = StepStore(tmp_path, 0)
    store.finish(tiny_net(3), [], {"a": torch.ones(2)})
    store.save_epoch(training_state(1.0), [{"loss": 1.0}])
    files = contents(tmp_path)
    monkeypatch.setattr(f"plopkit.runs.{reader}", failing)
    with pytest.raises(OSError, match="Too many open files"):
        store.load_epoch(print) if "torch" in reader else store.problem()
    assert contents(tmp_path) == files


def test_a_training_from_another_step_before_is_not_continued(tmp_path: Path, tiny_net: Nets) -> None:
    first, second = StepStore(tmp_path, 0), StepStore(tmp_path, 1)
    for net in (tiny_net(3), tiny_net(4)):
        first.finish(net, [], {})
        assert second.load_epoch() is None
        second.save_epoch(training_state(1.0), [])
        assert second.load_epoch() is not None
    lines: list[str] = []
    first.finish(tiny_net(5), [], {})
    assert second.load_epoch(lines.append) is None
    assert "trained from another step 0 than the one that is there; step 1 is trained from its beginning" in lines[0]


def test_a_state_of_a_batch_counts_as_many_ticks(tmp_path: Path) -> None:
    """The ticks of the epoch under way are written before its state, so there may be more of them."""
    store = StepStore(tmp_path, 0)
    ticks = [{"loss": float(value)} for value in range(5)]
    store.save_epoch(training_state(1.0, 0) | {"batch": 2}, ticks[:2])
    store.save_epoch(training_state(2.0, 0) | {"batch": 4}, ticks[:4])
    loaded = store.load_epoch()
    assert loaded is not None and loaded[1] == ticks[:4]
    seals.remove(store.training.state_file(0, 4))
    loaded = store.load_epoch()
    assert loaded is not None and loaded[1] == ticks[:2]
    store.save_epoch(training_state(3.0, 1), ticks)
    loaded = store.load_epoch()
    assert loaded is not None and loaded[1] == ticks


def test_a_training_that_keeps_its_ticks_with_the_state_goes_on(tmp_path: Path) -> None:
    """As earlier versions left it."""
    store = StepStore(tmp_path, 0)
    ticks = [{"epoch": epoch, "loss": float(value)} for value, epoch in enumerate((0, 0, 1, 1, 2))]
    torch.save({"training": training_state(1.0, 2), "ticks": ticks[:4]}, tmp_path / "step-0.training.pt")
    first = store.load_epoch()
    assert first is not None and first[1] == ticks[:4]
    store.save_epoch(training_state(2.0, 3), ticks[4:])
    second = store.load_epoch()
    assert second is not None and second[1] == ticks


def test_the_net_is_built_from_the_checkpoint_alone(tmp_path: Path, tiny_net: Nets) -> None:
    net = tiny_net(16, 5).eval()
    store = StepStore(tmp_path, 1)
    store.finish(net, [], {})
    found = store.net(small(tmp_path, model__encoder="resnet18", model__width=8).model).eval()  # other settings
    assert found.classes == (16, 5)
    assert found.recipe() == net.recipe() == store.recipe()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(found(image).logits, net(image).logits)


def test_a_state_of_an_earlier_training_is_not_believed(tmp_path: Path, tiny_net: Nets) -> None:
    """Deleting a checkpoint trains its step again; the state beside it belongs to the training before."""
    store = StepStore(tmp_path, 0)
    store.finish(tiny_net(3), [], {"a": torch.rand(3)})
    left = store.state_file.read_bytes()
    store.checkpoint.unlink()
    store.finish(tiny_net(3), [], {})
    assert store.state() == {} and not store.state_file.exists()
    store.state_file.write_bytes(left)
    store.earlier_state_file.write_bytes(left)
    assert store.state() == {}


def test_a_methods_state_is_kept(tmp_path: Path, tiny_net: Nets) -> None:
    store = StepStore(tmp_path, 0)
    state = {"fisher/decoder.norm.weight": torch.rand(16), "memory": torch.arange(3)}
    store.finish(tiny_net(3), [], state)
    assert set(contents(tmp_path)) == {"step-0.safetensors", "step-0.ticks.json", "step-0.state.safetensors"}
    assert_equal(store.state(), state)
    store.state_file.unlink()
    with pytest.raises(ValueError, match=r"state\.safetensors: missing, and the next step needs it; run the command"):
        store.state()
    assert store.problem() == (store.state_file, "missing, and the next step needs it")


def test_files_of_another_step_are_not_taken_for_a_steps_own(tmp_path: Path, tiny_net: Nets) -> None:
    """Even where their seals are moved along."""
    stores = [StepStore(tmp_path, index) for index in range(2)]
    for index, store in enumerate(stores):
        before = stores[0].identity() if index else None
        store.finish(tiny_net(3), [{"loss": index}], {"a": torch.full((3,), float(index))}, before)
        assert store.problem(before) is None and store.problem() is None
    for name in ("checkpoint", "state_file", "ticks_file"):
        own, other = (getattr(store, name) for store in stores)
        content, seal = own.read_bytes(), seals.seal_file(own).read_bytes()
        own.write_bytes(other.read_bytes())
        assert stores[0].problem() == (own, "damaged (its SHA-256 is not the one noted when it was written)")
        if name == "state_file":
            seals.write_seal(own, seals.digest_of(own))
            assert stores[0].problem() == (own, "not the state that belongs to step-0.safetensors")
        own.write_bytes(content)
        seals.seal_file(own).write_bytes(seal)
        assert stores[0].problem() is None
    found = stores[1].problem("of another step 0")
    assert found == (stores[1].checkpoint, "trained from another step 0 than the one that is there")


@pytest.mark.parametrize("name", ["checkpoint", "state_file", "ticks_file"])
def test_no_changed_bit_passes(tmp_path: Path, tiny_net: Nets, name: str) -> None:
    store = StepStore(tmp_path, 0)
    store.finish(tiny_net(3), [{"loss": 1.0}], {"a": torch.rand(300)})
    flip(getattr(store, name))
    found = store.problem()
    assert found is not None and found[0] == getattr(store, name)
    seals.remove(seals.seal_file(getattr(store, name)))
    store.discard()
    assert contents(tmp_path, seals=True) == {}


def test_a_damaged_net_is_named_once(tmp_path: Path, tiny_net: Nets) -> None:
    store = StepStore(tmp_path, 0)
    store.finish(tiny_net(3), [], {})
    content = bytearray(store.checkpoint.read_bytes())
    content[-1] ^= 1
    store.checkpoint.write_bytes(content)
    with pytest.raises(seals.DamagedError) as error:
        store.net(small(tmp_path).model)
    assert str(error.value).count(str(store.checkpoint)) == 1


def test_the_same_step_gives_the_same_bytes(tmp_path: Path, tiny_net: Nets) -> None:
    state = {f"tensor {index}": torch.full((2,), float(index)) for index in range(5)}
    for name in ("a", "b"):
        StepStore(tmp_path / name, 0).finish(tiny_net(16, 5), [{"loss": 1.0}], dict(state))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 3


def test_a_checkpoint_is_as_readable_as_the_tables(tmp_path: Path, tiny_net: Nets) -> None:
    store = StepStore(tmp_path, 0)
    store.finish(tiny_net(3), [], {"a": torch.rand(3)})
    write_text(tmp_path / "a.txt", "a")
    modes = {path.stat().st_mode for path in (store.checkpoint, store.state_file, tmp_path / "a.txt")}
    assert len(modes) == 1


@pytest.mark.parametrize("writer", ["save_ticks", "save_tensors"])
def test_the_checkpoint_is_written_last(
    tmp_path: Path, tiny_net: Nets, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    store = StepStore(tmp_path, 0)
    store.save_epoch(training_state(1.0), [])
    monkeypatch.setattr(checkpoints, writer, no_space)
    with pytest.raises(OSError, match="No space"):
        store.finish(tiny_net(3), [], {"a": torch.rand(3)})
    assert not store.checkpoint.exists()
    assert store.load_epoch() is not None


# Full disks, damaged and hostile files


@pytest.mark.parametrize("name", ["step-0.training.1.0.pt", "step-0.state.safetensors", "step-0.safetensors"])
def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path, tiny_net: Nets, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    big, store, net = {"a": torch.rand(50_000)}, StepStore(tmp_path, 0), tiny_net(3)
    writers: dict[str, Callable[[], None]] = {
        "step-0.training.1.0.pt": lambda: store.save_epoch(big | {"epoch": 1}, []),
        "step-0.state.safetensors": lambda: store.finish(net, [], big),
        "step-0.safetensors": lambda: store.finish(net, [], {}),
    }
    with pytest.raises(OSError, match=r"cannot be written \(.*\); free disk space") as raised, limited_file_size():
        writers[name]()
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    files = contents(tmp_path)
    for ticks in ("step-0.ticks.json", "step-0.training.0.json"):
        assert files.pop(ticks, b"[]") == b"[]"
    assert files == {name: b"old"}


@pytest.mark.parametrize("n_bytes", [0, 20, 300])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, tiny_net: Nets, n_bytes: int) -> None:
    store = StepStore(tmp_path, 0)

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:n_bytes])

    lines: list[str] = []
    store.save_epoch(training_state(1.0), [])
    cut(store.training.state_file(1))
    assert store.load_epoch(lines.append) is None
    assert lines[0].startswith(f"{store.training.state_file(1)}: damaged (")
    assert lines[0].endswith("; step 0 is trained from its beginning")
    torch.save({"training": training_state(1.0)}, store.training.earlier_state_file)  # has no seal
    cut(store.training.earlier_state_file)
    assert store.load_epoch(lines.append) is None
    assert lines[1].startswith(f"{store.training.earlier_state_file}: not a readable state (")
    for sealed, problem in ((True, "(damaged|not a readable checkpoint)"), (False, "not a readable checkpoint")):
        remedy = rf"{problem} \(.*\); run the command of this run again: the step is trained again"
        store.finish(tiny_net(3), [], {"a": torch.rand(300)})
        if not sealed:
            for path in tmp_path.glob(".*.sha256"):
                path.unlink()
        cut(store.checkpoint)
        for read in (store.weights, lambda: store.net(small(tmp_path).model)):
            with pytest.raises(ValueError, match=rf"step-0\.safetensors: {remedy}"):
                read()
        store.finish(tiny_net(3), [], {"a": torch.rand(300)})
        if not sealed:
            seals.seal_file(store.state_file).unlink()
        cut(store.state_file)
        with pytest.raises(ValueError, match=rf"step-0\.state\.safetensors: {remedy}"):
            store.state()
    for text in ("[{", "{}"):
        seals.remove(store.ticks_file)
        store.ticks_file.write_text(text)
        with pytest.raises(ValueError, match=r"step-0\.ticks\.json: not readable .*; run the command of"):
            store.ticks()


def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 0)
    wrong = ('{"step": 0}', '{"classes": null}', '{"classes": [16, 0]}', '{"classes": ["16"]}', "[]")
    known = (None, {"format": "pt"}, {"classes": "sixteen"}, {"classes": "[]"}, {"step": "{"})
    for metadata in (*known, *({"step": text} for text in wrong)):
        save_file({"a": torch.rand(3)}, store.checkpoint, metadata)
        with pytest.raises(ValueError, match=r"step-0\.safetensors: not a readable checkpoint"):
            store.classes()


def test_a_checkpoint_must_say_whether_there_is_a_state(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 0)
    save_file({"a": torch.rand(3)}, store.checkpoint, {"step": '{"classes": [16], "recipe": {}}'})
    with pytest.raises(seals.DamagedError, match="does not say whether there is a state"):
        store.state()


def test_code_in_a_training_file_is_not_run(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 0)
    torch.save({"training": Path("/"), "ticks": []}, tmp_path / "step-0.training.pt")
    lines: list[str] = []
    assert store.load_epoch(lines.append) is None
    assert "not a readable state" in lines[0]


# Checkpoints of plopkit 0.1


def names_of_0_1(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under the names that plopkit 0.1 had for the decoder and the classifiers."""
    old = {"decoder.": "head.", "classifier.": "classifiers."}
    renamed = {}
    for name, tensor in state.items():
        kind, slash, parameter = name.rpartition("/")
        prefix = next((prefix for prefix in old if parameter.startswith(prefix)), None)
        parameter = parameter if prefix is None else old[prefix] + parameter.removeprefix(prefix)
        renamed[kind + slash + parameter] = tensor
    return renamed


@pytest.mark.parametrize("encoder", ["test_efficientnet", "resnet18"])
def test_a_checkpoint_of_plopkit_0_1_is_read(tmp_path: Path, encoder: str) -> None:
    """It says its channels only: the settings say how to build its net."""
    model = small(tmp_path, model__encoder=encoder).model
    net = segmenter_of(model, (16, 5)).eval()
    store = StepStore(tmp_path, 0)
    old = names_of_0_1(net.state_dict())
    assert "head.norm.weight" in old and "classifiers.1.bias" in old and not any("decoder" in name for name in old)
    save_file(old, store.checkpoint, {"classes": json.dumps([16, 5])})
    state = {f"fisher/{name}": torch.rand_like(p) for name, p in net.named_parameters()}
    save_file(names_of_0_1(state), tmp_path / "step-0.memory.safetensors")
    assert store.classes() == [16, 5]
    assert store.recipe() is None
    assert_equal(store.state(), state)
    found = store.net(model).eval()
    assert_equal(found.state_dict(), net.state_dict())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(found(image).logits, net(image).logits)


def test_a_checkpoint_of_plopkit_0_1_may_have_no_state(tmp_path: Path, tiny_net: Nets) -> None:
    store = StepStore(tmp_path, 0)
    save_file(names_of_0_1(tiny_net(16).state_dict()), store.checkpoint, {"classes": "[16]"})
    assert store.state() == {}
