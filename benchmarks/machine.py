"""What a measurement was made on: versions, processor, and how fast convolutions are there."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

import plopkit
from benchmarks.timing import timed

CONVOLUTION = {"batch": 2, "channels": 256, "side": 64}
"""A 3x3 convolution between equal maps, like most of a ResNet's work."""


def environment(device: str = "cpu", rounds: int = 9) -> dict[str, Any]:
    """Date, versions, processor, threads and the rate of convolutions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "plopkit": plopkit.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision", "timm", "pillow", "numpy", "inplace-abn")},
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gflops": round(convolution_rate(device, torch.float32, rounds)),
        "gflops_bf16": round(convolution_rate(device, torch.bfloat16, rounds)),
    }


def convolution_rate(device: str = "cpu", dtype: torch.dtype = torch.float32, rounds: int = 9) -> float:
    """GFLOP/s of a 3x3 convolution on channels-last maps: oneDNN's on a processor."""
    batch, channels, side = CONVOLUTION.values()
    x = torch.randn(batch, channels, side, side, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    flop = 2 * batch * side**2 * channels**2 * 9
    with torch.no_grad():
        seconds = [timed(lambda: F.conv2d(x, weight, padding=1), 5, device) for _ in range(rounds + 1)]
    return flop / median(seconds[1:]) / 1e9


def processor() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
