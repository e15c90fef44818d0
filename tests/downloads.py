"""A server that misbehaves on request, and small archives with the layout of the published ones."""

import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from plopkit.datasets.download.fetch import Archive
from plopkit.scenario import IGNORE

BYTES = np.random.default_rng(0).bytes(600_000)


@dataclass
class Server:
    """Files by path, and how the server misbehaves; `requests` lists the path and range of every request."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)  # of each next response: its bytes before the connection is lost
    status: list[int] = field(default_factory=list)  # of each next response
    lengths: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest()


def offered(server: Server, content: bytes = BYTES, name: str = "a.bin") -> Archive:
    """Put an archive of these bytes on the server."""
    server.files[f"/{name}"] = content
    return Archive(name, f"{server.url}/{name}", len(content), md5(content))


def packed(files: dict[str, bytes], name: str, link: str | None = None) -> bytes:
    """Make a tar, tgz or zip file of these files, and of a symbolic link with the given name."""
    buffer = io.BytesIO()
    if name.endswith("zip"):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path, content in files.items():
                zipped.writestr(path, content)
            if link:
                info = zipfile.ZipInfo(link)
                info.create_system, info.external_attr = 3, 0o120777 << 16
                zipped.writestr(info, "/etc/passwd")
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w:gz" if name.endswith("gz") else "w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    return buffer.getvalue()


KINDS = ["a.tar", "a.tgz", "a.zip"]

PALETTE = [value for label in range(256) for value in (label, 255 - label, 7)]


def jpeg(width: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 10), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def png(label: int, palette: bool = True) -> bytes:
    values = np.full((10, 12), label, np.uint8)
    values[0] = IGNORE
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette(PALETTE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def mat(label: int, height: int = 10) -> bytes:
    values = np.full((height, 12), label, np.uint8)
    values[:, :3] = 0
    buffer = io.BytesIO()
    savemat(buffer, {"GTcls": {"Segmentation": values, "CategoriesPresent": label}}, do_compression=True)
    return buffer.getvalue()


VOC_BASE = "VOCdevkit/VOC2012"


def voc_files() -> dict[str, bytes]:
    """VOC: a and b for training, c and d for validation."""
    lists = {"train": "a\nb\n", "val": "c\nd\n", "trainval": "a\nb\nc\nd\n"}
    files = {f"{VOC_BASE}/JPEGImages/{stem}.jpg": jpeg() for stem in "abcdefg"}
    files |= {f"{VOC_BASE}/SegmentationClass/{stem}.png": png(i + 1) for i, stem in enumerate("abcd")}
    files |= {f"{VOC_BASE}/ImageSets/Segmentation/{name}.txt": text.encode() for name, text in lists.items()}
    return files | {f"{VOC_BASE}/Annotations/a.xml": b"<annotation/>"}


def sbd_files() -> dict[str, bytes]:
    """SBD: its own masks of b, c, e and f."""
    base = "benchmark_RELEASE/dataset"
    files = {f"{base}/cls/{stem}.mat": mat(10 + i) for i, stem in enumerate("bcef")}
    files |= {f"{base}/img/{stem}.jpg": jpeg() for stem in "bcef"} | {f"{base}/inst/b.mat": mat(1)}
    return files | {f"{base}/train.txt": b"b\ne\n", f"{base}/val.txt": b"c\nf\n", "benchmark_RELEASE/README": b""}


def ade_files() -> dict[str, bytes]:
    stems = {"training": ("ADE_train_00000001", "ADE_train_00000002"), "validation": ("ADE_val_00000001",)}
    files = {f"ADEChallengeData2016/images/{folder}/{s}.jpg": jpeg() for folder in stems for s in stems[folder]}
    for folder, names in stems.items():
        for stem in names:
            files[f"ADEChallengeData2016/annotations/{folder}/{stem}.png"] = png(150, palette=False)
    return files | {"ADEChallengeData2016/objectInfo150.txt": b"Idx\tRatio\n"}


def write(files: dict[str, bytes], root: Path) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
