"""Nets in files for other programs: the same logits there, and all that a program needs to know."""

import builtins
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders  # noqa: F401  (timm knows them then)
import torch
from required import missing
from safetensors import safe_open
from torch import Tensor, nn

from plopkit.cli import main
from plopkit.model.checkpoints import save_published
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.exported import ABOUT, save_onnx, save_torchscript
from plopkit.model.reserved import Reserved
from plopkit.model.segmenter import Segmenter
from plopkit.model.sigmoid import Decomposed, SigmoidClassifier
from plopkit.model.two_branch import TwoBranchSegmenter
from plopkit.model.unknown import Heads, WithUnknown
from plopkit.runs.class_names import names_in
from plopkit.runs.experiment import Experiment
from plopkit.runs.exporting import export_net
from plopkit.runs.loading import load

SIZES = [(3, 75, 130), (1, 16, 33), (1, 400, 64)]
"""Numbers, heights and widths of images that are neither those of tracing nor those of the export's own check."""


def onnx_session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        missing("onnxruntime", "onnxruntime is not installed")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def image_of(number: int, height: int, width: int) -> Tensor:
    return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(height))


def decoder_of(encoder: Encoder) -> ASPP:
    return ASPP(encoder.channels[-1], 16, (1, 2), pool=6)  # larger than some maps below, smaller than others


def net_of(kind: str) -> Segmenter:
    """A net in evaluation mode whose norms have seen noise."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        encoder = Encoder({"resnet18": "resnet18", "timm": "timm/resnet10t"}.get(kind, "test_efficientnet"))
        if kind == "two-branch":
            net: Segmenter = TwoBranchSegmenter.from_parts(encoder, decoder_of(encoder), Classifier(16, (3, 2)))
        elif kind == "reserved":
            net = Reserved.from_parts(encoder, decoder_of(encoder), Classifier(16, (3, 2)), (4,))
        elif kind == "decomposed":
            net = Decomposed.from_parts(encoder, decoder_of(encoder), SigmoidClassifier(16, (3, 2), auxiliary=True))
        elif kind == "unknown":
            net = WithUnknown.from_parts(encoder, decoder_of(encoder), Heads(16, (3, 2)))
        else:
            net = Segmenter.from_parts(encoder, decoder_of(encoder), Classifier(16, (3, 2)))
        for _ in range(3):
            net.train()(torch.randn(4, 3, 64, 64))
    return net.eval()


KINDS = ["test_efficientnet", "resnet18", "timm", "two-branch", "reserved", "decomposed", "unknown"]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_logits_of_onnx(kind: str, tmp_path: Path) -> None:
    net = net_of(kind)
    assert save_onnx(net, tmp_path / "net.onnx", {"made": "here"})
    session = onnx_session(tmp_path / "net.onnx")
    for size in SIZES:
        image = image_of(*size)
        expected = net(image).logits
        (found,) = session.run(["logits"], {"image": image.numpy()})
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4 * max(1, float(expected.abs().max())))
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("image", ["batch", 3, "height", "width"])
    assert (result.name, result.shape[0], result.shape[2:]) == ("logits", "batch", ["height", "width"])
    assert json.loads(session.get_modelmeta().custom_metadata_map[ABOUT]) == {"made": "here"}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_logits_of_torchscript(kind: str, tmp_path: Path) -> None:
    net = net_of(kind)
    save_torchscript(net, tmp_path / "net.pt", {"made": "here"})
    extra = {ABOUT: ""}
    loaded = torch.jit.load(tmp_path / "net.pt", _extra_files=extra)
    assert json.loads(extra[ABOUT]) == {"made": "here"}
    for size in SIZES:
        image = image_of(*size)
        expected = net(image).logits
        torch.testing.assert_close(loaded(image), expected, rtol=0, atol=1e-4 * max(1, float(expected.abs().max())))


class Sized(nn.Module):
    """Knows in Python how large its picture is."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> Any:
        return [stage * float(image.shape[3]) for stage in self.inner(image)]


@pytest.mark.parametrize("save", [save_onnx, save_torchscript])
def test_a_net_that_keeps_the_size_of_its_picture_is_refused(
    save: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = net_of("test_efficientnet")
    if save is save_onnx:
        pytest.importorskip("onnxruntime")
    forward = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, image: tuple(Sized(lambda x: forward(self, x))(image)))
    message = "test_efficientnet.* cannot be exported as .*logits differ by .* --as safetensors"
    with pytest.raises(ValueError, match=message):
        save(net, tmp_path / "net", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "reason"),
    [("test_vit", "its logits differ by"), ("tiny_dinov2", "Exporting the operator 'aten::_upsample_bicubic2d_aa'")],
)
def test_a_transformer_is_refused_and_torch_prints_no_graph(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    pytest.importorskip("onnx")
    encoder = Encoder(name)
    net = Segmenter.from_parts(encoder, decoder_of(encoder), Classifier(16, (3,))).eval()
    with pytest.raises(ValueError, match=rf"cannot be exported as ONNX: {reason} .* --as safetensors"):
        save_onnx(net, tmp_path / "net.onnx", {})
    assert capfd.readouterr().out == ""
    assert not list(tmp_path.iterdir())


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def failing(name: str, *args: Any, **options: Any) -> Any:
        if name == package:
            raise ImportError(f"No module named {package!r}")
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", failing)


def test_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without("onnx", monkeypatch)
    with pytest.raises(ValueError, match=r"ONNX needs the package onnx .*pip install onnx onnxruntime"):
        save_onnx(net_of("test_efficientnet"), tmp_path / "net.onnx", {})


def test_without_onnxruntime_nothing_is_checked(
    finished: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    without("onnxruntime", monkeypatch)
    assert main(["export", str(finished.folder.path), "--as", "onnx", "-o", str(tmp_path)]) == 0
    assert "not checked against the net: that needs onnxruntime (pip install onnxruntime)" in capsys.readouterr().err
    assert (tmp_path / "model.onnx").is_file()


# Runs


def about_in(kind: str, file: Path) -> dict[str, Any]:
    if kind == "onnx":
        return json.loads(onnx_session(file).get_modelmeta().custom_metadata_map[ABOUT])
    if kind == "torchscript":
        extra = {ABOUT: ""}
        torch.jit.load(io.BytesIO(file.read_bytes()), _extra_files=extra)
        return json.loads(extra[ABOUT])
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()[ABOUT])


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("kind", ["onnx", "torchscript", "safetensors"])
@pytest.mark.parametrize("step", [None, 0])
def test_a_runs_net_knows_its_classes(
    finished: Experiment, kind: str, step: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [] if step is None else ["--step", str(step)]
    assert main(["export", str(finished.folder.path), "--as", kind, "-o", str(tmp_path), *words]) == 0
    file, beside = map(Path, capsys.readouterr().out.split())
    assert beside == tmp_path / "model.json"
    about = json.loads(beside.read_text(encoding="utf-8"))
    assert about_in(kind, file) == about
    seen = finished.scenario.steps[1 if step is None else step].seen
    assert [(each["channel"], each["label"]) for each in about["classes"]] == list(enumerate(seen))
    assert [about["classes"][channel]["name"] for channel in (0, 1, 15)] == ["background", "aeroplane", "person"]
    assert (about["file"], about["step"], about["short_side"]) == (file.name, 1 if step is None else step, 64)
    assert (about["method"], about["scenario"]) == ("plop", "emoji 15-5 overlap")
    assert about["decoding"] == "the channel with the largest logit"
    assert about["mean"] == [0.485, 0.456, 0.406] and about["std"] == [0.229, 0.224, 0.225]
    assert about["output"]["shape"] == ["batch", len(seen), "height", "width"]


def test_onnx_predicts_what_the_run_does(finished: Experiment, tmp_path: Path) -> None:
    """As a program without plopkit would: from colours to labels by what model.json says."""
    export_net(finished.folder.path, "onnx", tmp_path)
    about = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    colours = np.random.default_rng(0).integers(0, 256, (64, 90, 3), np.uint8)  # of the short side that it names
    image = (colours / np.float32(255) - np.float32(about["mean"])) / np.float32(about["std"])
    (logits,) = onnx_session(tmp_path / "model.onnx").run(None, {"image": image.transpose(2, 0, 1)[None]})
    labels = np.array([each["label"] for each in about["classes"]])[logits[0].argmax(0)]
    assert (labels == load(finished.folder.path).predict(colours)).mean() > 0.999


def test_one_step_in_a_released_layout(finished: Experiment, tmp_path: Path) -> None:
    words = ["export", str(finished.folder.path), "--as", "plopkit", "-o", str(tmp_path)]
    assert main([*words, "--step", "0"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["step-0.safetensors"]
    assert main([*words, "--step", "5"]) == 2
    alone, known = load(tmp_path / "step-0.safetensors"), load(finished.folder.path, step=0)
    assert (alone.classes[:16], alone.labels, alone.size) == (known.classes[:16], known.labels, known.size)


def test_a_class_without_a_name_has_none(
    tmp_path: Path, tiny_net: Callable[..., Segmenter], capsys: pytest.CaptureFixture[str]
) -> None:
    net, out = tmp_path / "net.safetensors", tmp_path / "out"
    save_published(tiny_net(2).eval(), net, "plopkit")
    words = ["export", str(net), "--as", "safetensors", "-o", str(out)]
    assert main(words) == 0
    assert "its classes have no names: --classes FILE gives them" in capsys.readouterr().err
    assert [each["name"] for each in json.loads((out / ABOUT).read_text())["classes"]] == [None, None]
    assert not load(out / "model.safetensors").names_known and names_in(out / "model.safetensors") is None
    (tmp_path / "classes.txt").write_text("background\ndisc\n")
    assert main([*words, "--classes", str(tmp_path / "classes.txt")]) == 0
    assert load(out / "model.safetensors").classes == names_in(out / "model.safetensors") == ("background", "disc")
    assert capsys.readouterr().err == ""
    assert main([*words[:3], "official", *words[4:], "--classes", "x"]) == 2


def test_a_damaged_description_is_refused(finished: Experiment, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    exported = export_net(finished.folder.path, "safetensors", tmp_path)
    with safe_open(exported.file, "pt") as opened:
        texts = opened.metadata()
    about = json.loads(texts[ABOUT])
    unknown = [*about["classes"][:-1], {"label": 99, "name": "x"}]
    for wrong in (about["classes"][:3], "none", [{"label": 0}] * 21, unknown):
        save_file(load_file(exported.file), exported.file, texts | {ABOUT: json.dumps(about | {"classes": wrong})})
        with pytest.raises(ValueError, match=r"model\.safetensors: its model\.json does not fit its net"):
            load(exported.file)
