"""Published weights are read and written: every layout is recognised, other files are refused, no code is run."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plopkit.model.checkpoints import load_published, save_published
from plopkit.model.encoders import Encoder
from plopkit.model.keys import detect_layout, published_state, segmenter_state
from plopkit.model.segmenter import Segmenter

GOLDEN = Path(__file__).parents[1] / "golden"
LAYOUTS = ("official", "cssegmentation")
WRAPPING = {"official": "model_state", "cssegmentation": "segmentor"}


def net_of(name: str = "resnet18", classes: tuple[int, ...] = (4, 2), seed: int = 0) -> Segmenter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Segmenter(Encoder(name, 16, "none"), classes, width=256, pool=32)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def write(path: Path, state: dict[str, Tensor], wrapping: str | None, prefix: bool, **entries: object) -> Path:
    named = {f"module.{key}" if prefix else key: tensor for key, tensor in state.items()}
    torch.save({wrapping: named, **entries} if wrapping else named, path)
    return path


def assert_same_output(found: Segmenter, expected: Segmenter) -> None:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(found(image).small, expected(image).small, rtol=0, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_keys_and_shapes_are_those_of_the_released_resnet101(layout: str) -> None:
    released = {
        k: tuple(s) for k, s in json.loads((GOLDEN / f"state_keys_{layout}_resnet101.json").read_text()).items()
    }
    with torch.device("meta"):
        state = Segmenter(Encoder("resnet101", 16, "none"), (16, 5)).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in published_state(state, layout).items()} == released
    assert set(segmenter_state({key: torch.empty(0) for key in released}, layout)) == set(state)
    assert detect_layout(set(released)) == layout


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", [True, False], ids=["module.", "no prefix"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "plain"])
def test_a_step_checkpoint_is_recognised_by_its_keys(tmp_path: Path, layout: str, prefix: bool, wrapped: bool) -> None:
    net = net_of(classes=(4, 2, 1))
    entries = {
        "epoch": 29,
        "best_score": np.float64(0.5),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.1}]},
    }
    wrapping = WRAPPING[layout] if wrapped else None
    path = write(tmp_path / "a.pth", published_state(net.state_dict(), layout), wrapping, prefix, **entries)
    found = load_published(path)
    assert found.classes == (4, 2, 1)
    assert found.encoder.name == "resnet18"
    assert not found.training
    assert_same_output(found, net)


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_the_depth_follows_from_the_blocks(tmp_path: Path, name: str) -> None:
    net = net_of(name)
    path = write(tmp_path / "a.pth", published_state(net.state_dict(), "official"), "model_state", True)
    assert load_published(path).encoder.name == name


def test_counts_of_batches_may_be_missing(tmp_path: Path) -> None:
    """inplace-abn before 1.1 did not count them."""
    net = net_of()
    state = {k: t for k, t in published_state(net.state_dict(), "official").items() if "num_batches" not in k}
    assert_same_output(load_published(write(tmp_path / "a.pth", state, "model_state", True)), net)


def imagenet(net: Segmenter) -> dict[str, Tensor]:
    official = published_state(net.state_dict(), "official")
    body = {key.removeprefix("body."): t for key, t in official.items() if key.startswith("body.")}
    return body | {"classifier.fc.weight": torch.zeros(1000, 512), "classifier.fc.bias": torch.zeros(1000)}


def test_imagenet_weights_of_inplace_abn(tmp_path: Path) -> None:
    net = net_of()
    path = write(tmp_path / "resnet18_iabn_sync.pth.tar", imagenet(net), "state_dict", True)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for encoder in (load_published(path).encoder, Encoder("resnet18", 16, str(path)).eval()):
        with torch.no_grad():
            for found, expected in zip(encoder(image), net.encoder(image), strict=True):
                torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_imagenet_weights_of_torchvision_from_a_file(tmp_path: Path) -> None:
    net = net_of()
    stock = {k.removeprefix("encoder.net."): t for k, t in net.state_dict().items() if k.startswith("encoder.net.")}
    stock = {k: -t if k == "bn1.weight" else t for k, t in stock.items()} | {"fc.weight": torch.zeros(1000, 512)}
    encoder = Encoder("resnet18", 16, str(write(tmp_path / "tv.pth", stock, None, False)))
    found = encoder.net.state_dict()
    torch.testing.assert_close(found["conv1.weight"], -stock["conv1.weight"])
    torch.testing.assert_close(found["bn1.running_mean"], -stock["bn1.running_mean"])
    torch.testing.assert_close(found["bn1.weight"], stock["bn1.weight"].abs() - 1e-5)
    torch.testing.assert_close(found["layer1.0.conv1.weight"], stock["layer1.0.conv1.weight"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_saved_net_is_read_back(tmp_path: Path, layout: str) -> None:
    net = net_of()
    save_published(net, tmp_path / "out.pth", layout)
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert all(key.startswith("module.") for key in content[WRAPPING[layout]])
    found = load_published(tmp_path / "out.pth")
    assert found.state_dict().keys() == net.state_dict().keys()
    for key, tensor in net.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor)


def test_a_net_that_the_released_code_cannot_build_is_not_saved(tmp_path: Path, tiny_net) -> None:
    with pytest.raises(ValueError, match=r"no layout 'torch'; known: official, cssegmentation"):
        save_published(net_of(), tmp_path / "a.pth", "torch")
    with pytest.raises(ValueError, match="encoders resnet18, resnet34, resnet50, resnet101 only"):
        save_published(tiny_net(4), tmp_path / "a.pth")
    for dilations in ((1,), (1, 2, 3)):
        net = Segmenter(Encoder("resnet18", 16, "none"), (4,), dilations=dilations)
        with pytest.raises(
            ValueError, match=r"head has the dilations \(6, 12, 18\) \(model.dilations\), this net's \(1"
        ):
            save_published(net, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"slope is 0.01 \(model.slope\), this net's 0"):
        save_published(Segmenter(Encoder("resnet18", 16, "none", slope=0.0), (4,)), tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())


def test_a_few_unexpected_keys_are_named(tmp_path: Path) -> None:
    save_published(net_of(), tmp_path / "a.pth")
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    content["model_state"]["module.scalar"] = torch.ones(1)
    torch.save(content, tmp_path / "unexpected.pth")
    with pytest.raises(
        ValueError, match=r"unexpected.pth: has the layout 'official', except for 1 of its keys such as scalar; rem"
    ):
        load_published(tmp_path / "unexpected.pth")
    with pytest.raises(ValueError, match="output_stride is 8, 16 or 32, not 4"):
        load_published(tmp_path / "a.pth", output_stride=4)
    with pytest.raises(ValueError, match="the pooling window is at least 1 pixel wide, not 0"):
        load_published(tmp_path / "a.pth", pool=0)


class _Hostile:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("code-was-run"),)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state": _Hostile()}, "hostile.pth")
    Path("plain.pth").write_bytes(pickle.dumps(_Hostile()))
    for name in ("hostile.pth", "plain.pth"):
        with pytest.raises(
            ValueError, match=rf"{name}: not a checkpoint that can be read without running code"
        ) as raised:
            load_published(name)
        assert "rusted" not in str(raised.value)
    with pytest.raises(ValueError, match=r"code from it \(it asks for [\w.]+\)$"):
        load_published("hostile.pth")
    assert not Path("code-was-run").exists()


def test_other_files_are_refused_with_their_content(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such checkpoint"):
        load_published(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pth: not a checkpoint"):
        load_published(tmp_path / "text.pth")
    cut = write(tmp_path / "cut.pth", published_state(net_of().state_dict(), "official"), "model_state", True)
    cut.write_bytes(cut.read_bytes()[:10_000])
    with pytest.raises(ValueError, match=r"cut\.pth: not a checkpoint"):
        load_published(cut)
    rng = np.random.default_rng(0)
    for number in range(20):
        (tmp_path / "noise.pth").write_bytes(b"\x80\x02" + rng.bytes(50 + number))
        with pytest.raises(ValueError, match=r"noise\.pth: not a checkpoint"):
            load_published(tmp_path / "noise.pth")
    foreign = write(tmp_path / "foreign.pth", {"backbone.conv.weight": torch.zeros(3)}, "state_dict", False)
    message = r"begin with backbone\.conv\.weight, which is no known layout; known: a step checkpoint of CVPR2021_PLOP"
    with pytest.raises(ValueError, match=message):
        load_published(foreign)
    torch.save(net_of().state_dict(), tmp_path / "own.pth")
    with pytest.raises(ValueError, match=r"own\.pth: these are plopkit's own names.*RunFolder\(folder\)\.net\(step\)"):
        load_published(tmp_path / "own.pth")
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "numbers.pth")
    with pytest.raises(ValueError, match=r"numbers\.pth: holds a dictionary of epoch, lr, not a network's tensors"):
        load_published(tmp_path / "numbers.pth")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\n<!doctype html><html><title>Not found</title></html>" * 3, "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "the pointer of Git LFS"),
    ],
)
def test_what_was_downloaded_in_place_of_a_file_is_named(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: it is {what}.*; download the file itself"):
        load_published(tmp_path / name)


def test_a_missing_file_of_resnet_weights_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such file; .*huggingface\.co/timm/resnet18\.tv_in1k"):
        Encoder("resnet18", 16, str(tmp_path / "none.pth"))


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = published_state(net_of().state_dict(), "official")
    narrow = state | {"head.map_bn.weight": torch.zeros(7)}
    with pytest.raises(ValueError, match=r"such as decoder\.branches_norm\.weight: 7 in the file, 1024 in the net"):
        load_published(write(tmp_path / "a.pth", narrow, "model_state", True))
    partly = {key: t for key, t in state.items() if "block2.convs.conv2" not in key}
    with pytest.raises(ValueError, match=r"conv2\.weight: nothing in the file"):
        load_published(write(tmp_path / "b.pth", partly, "model_state", True))
    shallow = {key: t for key, t in state.items() if "mod3.block2" not in key}
    with pytest.raises(ValueError, match=r"a ResNet of \[2, 1, 2, 2\] blocks is not known"):
        load_published(write(tmp_path / "c.pth", shallow, "model_state", True))
    holed = {key.replace("cls.1", "cls.2"): t for key, t in state.items()}
    with pytest.raises(ValueError, match=r"its classifiers are \[0, 2\]"):
        load_published(write(tmp_path / "d.pth", holed, "model_state", True))
    named = {key.replace("cls.1", "cls.x"): t for key, t in state.items()} | {"head.red_bn.weight": torch.tensor(1.0)}
    with pytest.raises(ValueError, match=r"g\.pth: .* tensors do not fit"):
        load_published(write(tmp_path / "g.pth", named, "model_state", True))
    with pytest.raises(ValueError, match=r"not ImageNet weights of a ResNet: its keys begin with body\.mod1"):
        Encoder("resnet18", 16, str(write(tmp_path / "e.pth", state, "model_state", True)))
    with pytest.raises(ValueError, match=r"not the weights of a resnet34"):
        Encoder("resnet34", 16, str(write(tmp_path / "f.pth", imagenet(net_of()), "state_dict", True)))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, wrong: float) -> None:
    state = published_state(net_of().state_dict(), "official")
    key = "head.map_bn.weight"
    state[key] = state[key].clone().index_fill_(0, torch.tensor([3]), wrong)
    with pytest.raises(
        ValueError, match=r"a\.pth: 1 of its tensors hold numbers that are not finite, such as head\.map_bn"
    ):
        load_published(write(tmp_path / "a.pth", state, "model_state", True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head.red_bn.weight": torch.zeros(100_000)}, "on a decoder 100000 wide; .*and 2048 is the widest"),
        (
            {"head.red_bn.weight": torch.zeros(2000)},
            r"\d+ of its tensors do not fit, such as .* in the file, ",
        ),
        ({"cls.1.weight": torch.zeros(0, 256, 1, 1)}, r"classifiers of \[4, 0\] channels"),
        ({"cls." + "1" * 5000 + ".weight": torch.zeros(1)}, "which is no name of a network's part"),
        ({"cls.\x1b[2J.weight": torch.zeros(1)}, r"named 'module\.cls\..*x1b\[2J\.weight', which is no name"),
    ],
    ids=["very wide", "wide", "no channel", "a long name", "a control character"],
)
def test_the_net_is_built_only_where_the_file_holds_it(
    tmp_path: Path, changes: dict[str, Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = published_state(net_of().state_dict(), "official") | changes
    path = write(tmp_path / "a.pth", state, "model_state", True)
    built: list[str] = []
    init = Segmenter.__init__

    def noted(self: Segmenter, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        built.append(self.classifier[0].weight.device.type)

    monkeypatch.setattr(Segmenter, "__init__", noted)
    with pytest.raises(ValueError, match=message):
        load_published(path)
    assert set(built) <= {"meta"}
