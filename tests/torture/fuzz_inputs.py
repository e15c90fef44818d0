"""Strangers' inputs of every kind: made at random, and given to the part of plopkit that reads them.

A kind is a function of a generator of random numbers and an empty folder. It returns when the input was read, and
raises what plopkit raises.
"""

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import pickle
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from torture.mutations import NUMBERS, TOKENS, damaged, encoded, garbled

Kind = Callable[[Random, Path], None]

SCENARIOS = (
    *(
        "voc 15-5 overlap",
        "voc 15-1 disjoint order=b",
        "ade 100-10 sequential",
        "emoji joint",
        "folder 2-1 partitioned",
    ),
    *("voc 10+3+2+5 overlap", "voc 15-5s_b", "ade 50", "emoji 19-1 overlapping order=1,2,3,4,5", "voc offline"),
)


def scenarios(random: Random, folder: Path) -> None:
    """A scenario's line, for `check`, `Scenario.parse` and `configure`."""
    from plopkit.presets import configure
    from plopkit.scenario import Scenario, check

    text = garbled(random.choice(SCENARIOS), random, most=3)
    uses: tuple[Callable[[str], Any], ...] = (check, configure, Scenario.parse)
    n_labels = random.choice((16, 21, 300, *NUMBERS))
    random.choice((*uses, functools.partial(Scenario.parse, n_labels=n_labels)))(text)


def settings_files(random: Random, folder: Path) -> None:
    """A run's settings.yaml."""
    from plopkit.runs.folder import RunFolder
    from plopkit.settings import to_yaml

    content = encoded(garbled(_settings_yaml(), random, most=3))
    if random.random() < 0.2:
        content = damaged(content, random)
    if random.random() < 0.1:
        content = encoded(
            random.choice(("[", "{a: ", "- ", "? ", "&a [*a]", "!!map {", "a: b: ", '"\\x00"'))
            * random.choice((3, 5000))
        )
    (folder / "settings.yaml").write_bytes(content)
    settings = RunFolder(folder).settings
    settings.folder(), settings.fingerprint(), to_yaml(settings)


@functools.cache
def _settings_yaml() -> str:
    from plopkit.presets import configure
    from plopkit.settings import to_yaml

    return to_yaml(configure("voc 15-5 overlap", "plop", "paper", {"out": "runs", "data.root": "data/voc"}))


@functools.cache
def _names() -> tuple[str, ...]:
    from plopkit.catalogue import METHODS
    from plopkit.settings import Settings, known_names

    names = [*known_names(Settings), *(f"hyper.{name}" for name in METHODS["plop"].model_fields)]
    return (*names, "data", "optim", "hyper", "hyper.x", "nothing", "")


def overrides(random: Random, folder: Path) -> None:
    """Settings on the command line, in a parameters cell and in `configure`."""
    from plopkit.flags import parse_run
    from plopkit.parameters import from_parameters
    from plopkit.presets import configure

    def value() -> str:
        own = random.choice((*TOKENS, "0.1", "3", "cpu", "resnet18", "none", "(1, 2)", "1 2", *map(str, NUMBERS)))
        return own if random.random() < 0.7 else garbled(own, random)

    def name() -> str:
        own = random.choice(_names())
        return own if random.random() < 0.8 else garbled(own, random, most=2)

    pairs = {name(): value() for _ in range(random.randint(1, 3))}
    method = random.choice(("plop", "mib", "ft", "rw", "joint", garbled("plop", random)))
    preset = random.choice(("smoke", "laptop", "paper", garbled("gpu", random, most=1)))
    way = random.randrange(4)
    if way == 0:
        words = [word for item, own in pairs.items() for word in (f"--{item}", own)]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            parse_run(["emoji 15-5 overlap", "--method", method, "--preset", preset, *words])
    elif way == 1:
        text = " ".join(f"{item}={own}" for item, own in pairs.items())
        base = {"scenario": "emoji 15-5 overlap", "method": method, "preset": preset, "data_root": None, "out": "runs"}
        from_parameters(base | {"overrides": text})
    else:
        numbers: list[Any] = [
            *NUMBERS,
            float("nan"),
            float("inf"),
            None,
            True,
            [],
            {},
            [1, 2],
            {"a": 1},
            b"x",
            (0.5, 2.0),
        ]
        typed = {item: random.choice(numbers) if random.random() < 0.4 else own for item, own in pairs.items()}
        configure("emoji 15-5 overlap", method, preset, typed).folder()


def lists(random: Random, folder: Path) -> None:
    """The lists of a user's folder and of VOC, with images and masks beside them."""
    from plopkit.datasets.folder import folder as open_folder
    from plopkit.datasets.voc import voc

    if random.random() < 0.5:
        _write_folder(folder)
        name = random.choice(("train.txt", "val.txt", "classes.txt"))
        (folder / name).write_bytes(_spoilt_list((folder / name).read_text(encoding="utf-8"), random))
        source = open_folder(folder, "train" if name == "classes.txt" else name[:-4])
    else:
        base = folder / "VOC2012"
        for part, suffix in (("JPEGImages", "jpg"), ("SegmentationClassAug", "png"), ("ImageSets/Segmentation", "txt")):
            (base / part).mkdir(parents=True)
            for stem in ("a", "b") if suffix != "txt" else ():
                (base / part / f"{stem}.{suffix}").write_bytes(_picture("L" if suffix == "png" else "RGB", "PNG"))
        text = random.choice(("a\nb\n", "/JPEGImages/a.jpg /SegmentationClassAug/a.png\n/JPEGImages/b.jpg x\n"))
        (base / "ImageSets/Segmentation/train_aug.txt").write_bytes(_spoilt_list(text, random))
        source = voc(folder, "train")
    for path in (*source.images, *source.masks):
        assert path.resolve().is_relative_to(folder.resolve()), f"{path} is outside"


def _spoilt_list(text: str, random: Random) -> bytes:
    content = encoded(garbled(text, random))
    return damaged(content, random) if random.random() < 0.3 else content


def _write_folder(folder: Path) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir()
        for stem in ("a", "b", "c d"):
            suffix, mode = ("png", "L") if part == "masks" else ("jpg", "RGB")
            (folder / part / f"{stem}.{suffix}").write_bytes(_picture(mode, "PNG"))
    (folder / "classes.txt").write_text("background\none\ntwo\nthree\n", encoding="utf-8")
    (folder / "train.txt").write_text("a\nb\nc d\n", encoding="utf-8")
    (folder / "val.txt").write_text("a\n", encoding="utf-8")


@functools.cache
def _picture(mode: str, kind: str, side: int = 24, **options: Any) -> bytes:
    values = np.random.default_rng(0).integers(0, 4, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values[..., 0] if mode in ("L", "P") else 60 * values).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def images(random: Random, folder: Path) -> None:
    """An image or a mask."""
    from plopkit.datasets.files import FileSource

    image, mask = folder / "a.jpg", folder / "a.png"
    image.write_bytes(_any_picture(random))
    mask.write_bytes(_picture("L", "PNG"))
    if random.random() < 0.5:
        image.write_bytes(_picture("RGB", random.choice(("JPEG", "PNG"))))
        mask.write_bytes(_any_picture(random, "L"))
    source = FileSource(("background", "one", "two", "three"), ["a"], [image], [mask])
    source.labels(0)
    source.read(0)


def _any_picture(random: Random, mode: str = "RGB") -> bytes:
    way = random.randrange(6)
    options: dict[str, Any]
    if way == 0:
        kind = random.choice(
            ("GIF", "BMP", "TIFF", "EPS", "WEBP", "PPM", "ICO", "AVIF", "TGA", "PDF", "SGI", "PCX", "JPEG2000")
        )
        with contextlib.suppress(KeyError, OSError):  # a Pillow without this format
            content = _picture("RGB", kind)
            return content if random.random() < 0.7 else damaged(content, random)
    if way == 5:
        own = random.choice((mode, "L", "RGB", "P", "1", "I;16"))
        kind = random.choice(("TIFF", "TIFF", "WEBP", "BMP") if own != "I;16" else ("TIFF",))
        options = {"compression": random.choice((None, "tiff_lzw", "tiff_deflate"))} if kind == "TIFF" else {}
        own = own if kind != "WEBP" else "RGB"
        content = _picture(own if own != "I;16" else "L", kind, random.choice((8, 24, 100)), **options)
        return damaged(content, random) if random.random() < 0.9 else content
    kind = "PNG" if mode == "L" or random.random() < 0.5 else "JPEG"
    modes = ("L", "RGB", "1", "P", "LA", "RGBA", "I;16") if kind == "PNG" else ("L", "RGB", "CMYK")
    own = random.choice((mode, *modes))
    options = {"progressive": random.random() < 0.5} if kind == "JPEG" else {}
    content = _picture("L" if own == "I;16" else own, kind, random.choice((8, 24, 100)), **options)
    if kind == "PNG" and way < 4:
        return _spoilt_png(content, random)
    return damaged(content, random) if random.random() < 0.9 else content


def _spoilt_png(content: bytes, random: Random) -> bytes:
    """A PNG with other numbers in its header, other chunks and right checksums: it gets further than a plain damage."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(chunks))
        name, body = chunks[at]
        way = random.randrange(5)
        if way == 0 and chunks[0][0] == b"IHDR" and len(chunks[0][1]) >= 8:
            side = random.choice((0, 1, 5, 3000, 8192, 8193, 13000, 60000, 2**31 - 1))
            other = random.choice((side, 1, 24))
            chunks[0] = (b"IHDR", struct.pack(">II", side, other) + chunks[0][1][8:])
        elif way == 1:
            bomb = zlib.compress(b"\0" * random.choice((10, 2_000_000)))
            kinds = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0", b"tEXt": b"k\0", b"eXIf": b"II*\0"}
            kind = random.choice(list(kinds))
            chunks.insert(random.randint(1, len(chunks)), (kind, kinds[kind] + bomb))
        elif way == 2:
            chunks[at] = (name, damaged(body, random, 2) if body else body)
        elif way == 3:
            chunks[at] = (
                random.choice((b"IDAT", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"pHYs", b"gAMA", b"XXXX")),
                body,
            )
        else:
            chunks.insert(at, chunks[random.randrange(len(chunks))])
    pieces = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return content[:8] + b"".join(pieces)


def masks_of_sbd(random: Random, folder: Path) -> None:
    """A mask of SBD, a MATLAB file."""
    from plopkit.datasets.download.sbd import read_mat

    content = _mat(random.random() < 0.5)
    if random.random() < 0.5:
        content = damaged(content, random)
    else:  # inside the compressed part
        head, body = _mat(False)[:128], damaged(_mat(False)[128:], random)
        packed = zlib.compress(body * random.choice((1, 1, 5000)))
        content = head + struct.pack("<II", 15, len(packed)) + packed
    (folder / "a.mat").write_bytes(content)
    read_mat(folder / "a.mat")


@functools.cache
def _mat(compressed: bool) -> bytes:
    from scipy.io import savemat

    buffer = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 21, (30, 40), np.uint8)
    savemat(buffer, {"GTcls": {"Boundaries": np.eye(3), "Segmentation": values}}, do_compression=compressed)
    return buffer.getvalue()


def tables(random: Random, folder: Path) -> None:
    """The tables, settings and examples of runs, for `compare`, `report` and `rows`."""
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.published import rows
    from plopkit.runs.results import load_results, report, run_folders

    (folder / "settings.yaml").write_text(_settings_yaml(), encoding="utf-8")
    for name, content in _tables().items():
        (folder / name).write_bytes(content)
    name = random.choice(("results.csv", "results.csv", "summary.csv", "ticks.csv", "examples.npz"))
    path = folder / name
    content = path.read_bytes()
    if name.endswith("csv") and random.random() < 0.7:
        content = _spoilt_table(content.decode(), random)
    else:
        content = damaged(content, random)
    path.write_bytes(content)
    run = RunFolder(folder)
    if name in ("summary.csv", "ticks.csv"):
        getattr(run, name[:-4])
        with contextlib.redirect_stderr(io.StringIO()):
            rows(run_folders([folder]))
    elif name == "examples.npz":
        run.examples  # noqa: B018
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            report(load_results(folder))
        run.evaluated()


def _spoilt_table(text: str, random: Random) -> bytes:
    lines = [line.split(",") for line in text.splitlines()]
    for _ in range(random.randint(1, 4)):
        line = random.choice(lines)
        at = random.randrange(len(line)) if line else 0
        way = random.randrange(5)
        if way == 0 and line:
            line[at] = random.choice((*TOKENS, *map(str, NUMBERS), "1.5", "-3", "inf"))
        elif way == 1 and line:
            del line[at]
        elif way == 2:
            line.insert(at, random.choice(TOKENS))
        elif way == 3:
            lines.remove(line)
            if not lines:
                break
        else:
            lines.insert(random.randrange(len(lines)), list(random.choice(lines)))
    return encoded("\n".join(",".join(line) for line in lines))


@functools.cache
def _tables() -> dict[str, bytes]:
    import pandas as pd

    from plopkit.runs.results import summarise
    from plopkit.support.files import table_text

    base = {"scenario": "voc 15-5 overlap", "method": "plop", "seed": 1}
    rows = [
        base | {"step": step, "label": label, "name": f"c{label}", "learned_at": int(label > 15)}
        | {"iou": 50.0 + label, "accuracy": 60.0, "pixels": 100}
        for step in range(2)
        for label in range(21 if step else 16)
    ]  # fmt: skip
    ticks = pd.DataFrame(
        [{"step": 0, "epoch": 0, "iteration": i, "lr": 0.1, "seconds": 1.0, "loss_ce": 2.0} for i in range(9)]
    )
    arrays = io.BytesIO()
    predictions = np.zeros((2, 2, 4, 4), np.uint8)
    np.savez_compressed(
        arrays, images=np.zeros((2, 3, 4, 4), np.uint8), masks=predictions[0], predictions=predictions,
        stems=np.array(["a", "b"]), names=np.array(["x", "y"]), credit=np.array(""),
    )  # fmt: skip
    results = pd.DataFrame(rows)
    texts = {"results.csv": results, "summary.csv": summarise(results), "ticks.csv": ticks}
    return {name: table_text(table).encode() for name, table in texts.items()} | {"examples.npz": arrays.getvalue()}


def checkpoints(random: Random, folder: Path) -> None:
    """A published checkpoint, and one of plopkit's own."""
    from plopkit.model.checkpoints import load_published
    from plopkit.runs.checkpoints import StepStore
    from plopkit.settings import Model

    way = random.randrange(8)
    if way == 7:
        store = StepStore(folder, 0)
        store.checkpoint.write_bytes(_spoilt_safetensors(_own_checkpoint(), random))
        store.net(Model())
        return
    path = folder / random.choice(("a.pth", "a.pth", "a.pth.tar", "a.safetensors"))
    if path.suffix == ".safetensors":
        path.write_bytes(_spoilt_safetensors(_published_safetensors(), random))
    elif way < 2:
        path.write_bytes(damaged(_published(way == 1), random))
    elif way < 5:
        path.write_bytes(_spoilt_zip(_published(True), random))
    else:
        path.write_bytes(_handmade(random))
    load_published(path)


def _state() -> dict[str, Any]:
    import torch

    keys = (
        "body.mod1.conv1.weight",
        "body.mod2.block1.convs.conv1.weight",
        "head.red_bn.weight",
        "cls.0.weight",
        "cls.1.weight",
    )
    return {f"module.{key}": torch.ones(4, 3, 2, 2) for key in keys}


@functools.cache
def _published(new: bool) -> bytes:
    import torch

    buffer = io.BytesIO()
    content = {"model_state": _state(), "epoch": 3, "best_score": np.float64(0.5)}
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


@functools.cache
def _published_safetensors() -> bytes:
    from safetensors.torch import save

    return save(_state())


@functools.cache
def _own_checkpoint() -> bytes:
    import json

    from safetensors.torch import save

    from plopkit.model.encoders import Encoder
    from plopkit.model.segmenter import Segmenter

    net = Segmenter(Encoder("test_efficientnet", weights="none"), (4, 2), width=8, dilations=(1,))
    kept = {"classes": net.classes, "recipe": net.recipe(), "state": 0}
    return save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, {"step": json.dumps(kept)})


def _spoilt_safetensors(content: bytes, random: Random) -> bytes:
    if random.random() < 0.4:
        return damaged(content, random)
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length].decode()
    tokens = (*TOKENS, *map(str, NUMBERS), "F32", "BF16", "[", "{", "\\", '\\"', "[" * 2000, "null", "-1")
    spoilt = encoded(garbled(header, random, tokens, 3))
    return struct.pack("<Q", len(spoilt)) + spoilt + content[8 + length :]


def _spoilt_zip(content: bytes, random: Random) -> bytes:
    """An archive of torch.save whose entries are changed, with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        target = random.choice((*(name for name in names if name.endswith("data.pkl")), *names))
        for name in names:
            body = old.read(name)
            if name == target:
                body = damaged(body, random, 3)
            if random.random() < 0.02:
                continue
            method = zipfile.ZIP_DEFLATED if random.random() < 0.02 else zipfile.ZIP_STORED
            new.writestr(zipfile.ZipInfo(name), body, method)
    return buffer.getvalue()


def _handmade(random: Random) -> bytes:
    """A pickle with bombs: tensors that repeat a number, huge storages, nested keys, calls."""
    number = random.choice((*NUMBERS, -1, 2**70))
    shape = random.choice(((1,), (2**14, 2**16), (number,), (3, number), ()))
    stride = random.choice(((0,) * len(shape), (1,) * len(shape), (number,) * len(shape)))

    class Storage:
        def __reduce__(self) -> Any:
            raise AssertionError("written as a persistent id")

    storage = Storage()

    class Tensor:
        def __reduce__(self) -> Any:
            import torch._utils

            return torch._utils._rebuild_tensor_v2, (storage, random.choice((0, 1, number)), shape, stride, False, {})

    class Called:
        def __reduce__(self) -> Any:
            return random.choice(
                ((bytearray, (2**32,)), (print, ("called",)), (Path.touch, (Path("called"),)), (set, ([1],)))
            )

    laughs: Any = ("lol",)
    for _ in range(random.choice((1, 30))):
        laughs = (laughs, laughs)
    deep: Any = []
    for _ in range(random.choice((1, 200))):
        deep = [deep]
    value = random.choice(
        (
            {"cls.0.weight": Tensor()},
            {"model_state": {"body.mod1.conv1.weight": Tensor(), "head.a": Tensor(), "cls.0.weight": Tensor()}},
            {"a": Called()},
            {"a": laughs, "b": Tensor()},
            {"a": deep},
            deep,
            {"x" * 50000: Tensor(), "\x1b[31m": Tensor()},
            [Tensor()],
        )
    )
    buffer = io.BytesIO()

    class Writer(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            import torch

            if isinstance(item, Storage):
                return ("storage", torch.FloatStorage, "0", "cpu", random.choice((1, 4, number)))
            return None

    with contextlib.suppress(RecursionError):
        Writer(buffer, protocol=2).dump(value)
    content = buffer.getvalue()
    if random.random() < 0.2:
        content = damaged(content, random, 2)
    out = io.BytesIO()
    if random.random() < 0.5:
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/byteorder", "little")
            archive.writestr("archive/data/0", bytes(random.choice((4, 16, 0))))
            archive.writestr("archive/version", "3\n")
        return out.getvalue()
    for item in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
        out.write(pickle.dumps(item, 2))
    out.write(content)
    out.write(pickle.dumps(["0"], 2) + struct.pack("<Q", random.choice(NUMBERS)) + bytes(16))
    return out.getvalue()


def archives(random: Random, folder: Path) -> None:
    """An archive of a data set."""
    from plopkit.datasets.download.unpack import unpack

    kind = random.choice(("tar", "tgz", "tbz", "txz", "zip", "zip"))
    path = folder / "downloads" / f"a.{kind}"
    path.parent.mkdir()
    content = _archive(kind, random)
    if random.random() < 0.6:
        content = damaged(content, random)
    path.write_bytes(content)
    try:
        unpack(path, Path("top"), folder / "into", verified=random.random() < 0.5)
    finally:
        outside = [item for item in folder.iterdir() if item.name not in ("downloads", "into")]
        assert not outside, f"unpacked outside: {outside}"
        assert random is not None


def _archive(kind: str, random: Random) -> bytes:
    names = ["top/a.txt", "top/sub/b.png"]
    evil = (
        "../x",
        "/tmp/x",
        "top/../../x",
        "",
        ".",
        "top",
        "top/a.txt/b",
        "top/\x1b[2J",
        "a" * 300,
        "top/" + "d/" * 200,
        "C:\\x",
        "top/é",
    )
    if random.random() < 0.5:
        names.insert(random.randrange(3), random.choice(evil))
    bodies = {
        name: random.choice((b"", b"text", bytes(3_000_000), bytes(120_000_000) if random.random() < 0.05 else b"x"))
        for name in names
    }
    if kind != "zip" and any(len(body) > 10**8 for body in bodies.values()) and kind in ("tar", "txz", "tbz"):
        bodies = dict.fromkeys(names, b"small")
    buffer = io.BytesIO()
    if kind == "zip":
        with (
            zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            contextlib.suppress(ValueError),
        ):
            for name, body in bodies.items():
                info = zipfile.ZipInfo("x")
                info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
                archive.writestr(info, body)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w", format=random.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as tar:
        for name, body in bodies.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            if random.random() < 0.1:
                info.type, info.size, body = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)), 0, b""
            tar.addfile(info, io.BytesIO(body))
    content = buffer.getvalue()
    if random.random() < 0.3:
        content = damaged(content, random, 3)
    if kind == "tgz" and random.random() < 0.2:  # a wrong checksum
        packed = bytearray(gzip.compress(content, 1))
        packed[-8] ^= 255
        return bytes(packed)
    return {
        "tar": bytes,
        "tgz": lambda c: gzip.compress(c, 1),
        "tbz": bz2.compress,
        "txz": lambda c: lzma.compress(c, preset=0),
    }[kind](content)  # type: ignore[operator]


KINDS: dict[str, Kind] = {
    "scenarios": scenarios,
    "settings": settings_files,
    "overrides": overrides,
    "lists": lists,
    "images": images,
    "masks": masks_of_sbd,
    "tables": tables,
    "checkpoints": checkpoints,
    "archives": archives,
}
"""The kinds, by name."""

UNNAMED = ("scenarios", "overrides")
"""Kinds that are no files, whose errors name none."""


def attempt(kind: str, seed: int, index: int, folder: Path) -> None:
    """Make one input and read it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    KINDS[kind](Random(f"{seed}/{kind}/{index}"), folder)
