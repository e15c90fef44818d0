"""Nets for programs without plopkit: ONNX and TorchScript, for pictures of any number and size."""

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.segmenter import Segmenter
from plopkit.support.files import write_bytes
from plopkit.support.places import expanded
from plopkit.support.printable import one_line

INPUT, OUTPUT = "image", "logits"
ABOUT = "model.json"
"""The name under which a file holds what `about` says."""
OPSET = 17
"""Version of ONNX's operators: the newest that every runtime since 2023 knows."""
TOLERANCE = 1e-4
"""Largest difference between an exported net's logits and the net's own, relative to the largest logit above 1."""
TRACED, CHECKED = (1, 3, 160, 128), (2, 3, 131, 197)
"""Shapes of the images that a net is traced with, and checked with."""


class Logits(nn.Module):
    """Normalised images (B, 3, H, W) -> logits (B, C, H, W): the net's forward pass without its other maps."""

    def __init__(self, net: Segmenter):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image).logits


def inference_net(net: Segmenter) -> Logits:
    """A copy on the CPU, in float32 and evaluation mode, of plain torch operations, its branches merged."""
    merged = net.merged()
    recipe = merged.recipe()
    recipe["encoder"]["norm"] = "abn"  # inplace-abn's kernels are its own; the same state, the same numbers
    tensors = {name: tensor.detach().cpu() for name, tensor in merged.state_dict().items()}
    return Logits(Segmenter.restored(recipe, tensors)).float().eval().requires_grad_(False)


def save_torchscript(net: Segmenter, path: Path | str, about: Mapping[str, Any]) -> None:
    """Write a net as TorchScript, for `torch.jit.load` in Python and C++; checked with images of another size.

    Args:
        net: the net.
        path: the file.
        about: plain values that the file holds as JSON, as an extra file named `ABOUT`.

    Raises:
        ValueError: where the net cannot be exported; says why.
    """
    module = inference_net(net)
    with _exporting("TorchScript"):
        traced = torch.jit.trace(module, _noise(TRACED), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={ABOUT: json.dumps(about)})
        buffer.seek(0)
        _check("TorchScript", module, lambda image: torch.jit.load(buffer)(image))
    write_bytes(expanded(path), buffer.getvalue())


def save_onnx(net: Segmenter, path: Path | str, about: Mapping[str, Any]) -> bool:
    """Write a net as ONNX with an input `INPUT` and an output `OUTPUT` of dynamic batch, height and width.

    It is checked with onnxruntime and images of another size, where that package is installed.

    Args:
        net: the net.
        path: the file.
        about: plain values that the file holds as JSON, under the name `ABOUT` of its metadata.

    Returns:
        Whether it has been checked.

    Raises:
        ValueError: where the net cannot be exported, which says why, or the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ValueError(
            f"ONNX needs the package onnx ({one_line(error)}): pip install onnx onnxruntime. torchscript needs none"
        ) from error
    module = inference_net(net)
    axes = {0: "batch", 2: "height", 3: "width"}
    with _exporting("ONNX"):  # first, as it needs no onnxruntime, and says more than an operator that ONNX lacks
        _check("ONNX", module, torch.jit.trace(module, _noise(TRACED), check_trace=False))
    with _exporting("ONNX"), _no_graphs(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        torch.onnx.export(
            module,
            (_noise(TRACED),),
            file,
            dynamo=False,  # the other exporter would need onnxscript
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: axes, OUTPUT: axes},
        )
        model = onnx.load(file)
    onnx.helper.set_model_props(model, {ABOUT: json.dumps(about)})
    content = model.SerializeToString()
    try:
        import onnxruntime
    except ImportError:
        checked = False
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # `_check` reports its errors
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        _check("ONNX", module, lambda image: torch.from_numpy(session.run(None, {INPUT: image.numpy()})[0]))
        checked = True
    write_bytes(expanded(path), content)
    return checked


@contextlib.contextmanager
def _exporting(kind: str) -> Iterator[None]:
    """Without gradients and the tracer's warnings, which `_check` replaces; its errors become a ValueError."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (RuntimeError, TypeError, AttributeError, AssertionError, NotImplementedError) as error:
            # of an operation that the tracer does not know, or of code that asks for numbers
            first = str(error).strip().split("\n")[0] or type(error).__name__
            raise ValueError(
                f"this net cannot be exported as {kind}: {one_line(first, 300)}; --as safetensors keeps any net"
            ) from error


@contextlib.contextmanager
def _no_graphs() -> Iterator[None]:
    """torch prints the whole graph of a net with an operator that ONNX lacks, although nobody asked for it."""
    name = "_jit_onnx_log"  # private to torch: where it is gone, the export works all the same
    if (log := getattr(torch._C, name, None)) is None:
        yield
        return
    setattr(torch._C, name, lambda *_: None)
    try:
        yield
    finally:
        setattr(torch._C, name, log)


@torch.no_grad()
def _check(kind: str, module: Logits, exported: Any) -> None:
    """ValueError where the exported net computes other logits for images of another number and size."""
    image = _noise(CHECKED)
    expected: Float[Tensor, "B C H W"] = module(image)
    try:
        found = exported(image)
        largest = max(1.0, float(expected.abs().max()))
        difference = float((found - expected).abs().max()) / largest
    except Exception as error:  # a runtime may raise anything
        first = str(error).strip().split("\n")[0]
        why = f"it fails for images of another size than it was traced with ({one_line(first, 200)})"
    else:
        if difference <= TOLERANCE:
            return
        why = f"its logits differ by {difference:.1e} for images of another size than it was traced with"
    raise ValueError(
        f"this net ({module.net.encoder.name}) cannot be exported as {kind}: {why}; a part of it computes with the "
        "picture's size in Python. --as safetensors keeps any net"
    )


def _noise(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
