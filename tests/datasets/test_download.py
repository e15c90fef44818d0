"""Downloads that break, archives that lie, and data sets made ready from small archives of the true layout."""

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from small_runs import contents

from plopkit.cli import main
from plopkit.datasets.download import fetch as fetching
from plopkit.datasets.download import prepare
from plopkit.datasets.download.fetch import Archive, fetch
from plopkit.datasets.download.prepare import KNOWN, Known, get, ids_digest, known_from, verify
from plopkit.datasets.download.sbd import read_mat
from plopkit.datasets.download.unpack import unpack
from plopkit.datasets.voc import voc

BYTES = np.random.default_rng(0).bytes(600_000)


@dataclass
class Server:
    """Files by their path, and how it misbehaves; ``asked`` has the path and the range of every request."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)  # of each coming answer: so many bytes, then the line is cut
    status: list[int] = field(default_factory=list)  # of each coming answer
    lengths: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine that resumes, breaks and refuses as told. No test waits before a new attempt."""
    monkeypatch.setattr(fetching, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            status = state.status.pop(0) if state.status else 200
            content = state.files.get(self.path)
            if status != 200 or content is None:
                return self.send_error(status if status != 200 else 404)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return None
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if state.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + state.breaks.pop(0)] if state.breaks else content[start:])
            return None

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield state
        http.shutdown()
        thread.join()


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest()


def offered(server: Server, content: bytes = BYTES, name: str = "a.bin") -> Archive:
    """The archive of these bytes, which the server has."""
    server.files[f"/{name}"] = content
    return Archive(name, f"{server.url}/{name}", len(content), md5(content))


# Downloads


def test_a_download_is_the_bytes_and_happens_once(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    for _ in range(2):
        assert fetch(archive, tmp_path / "new" / "root").read_bytes() == BYTES
    assert server.asked == [("/a.bin", None)]
    assert set(contents(tmp_path)) == {"new/root/a.bin"}


@pytest.mark.parametrize("known", [True, False])
def test_broken_connections_are_gone_on_from(known: bool, server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.breaks = [200_000, 0, 150_000, 0, 0]
    archive = archive if known else replace(archive, size=None, checksum=None)
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    assert [wanted for _, wanted in server.asked] == [None, *["bytes=200000-"] * 2, *["bytes=350000-"] * 3]


def test_what_came_before_a_stop_is_kept(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.breaks = [250_000, 0, 0, 0]
    with pytest.raises(
        OSError, match=r"broke after 250,000 of 600,000 bytes; 250,000 bytes are kept, and the same comm"
    ):
        fetch(archive, tmp_path)
    assert contents(tmp_path) == {"a.bin.part": BYTES[:250_000]}
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    assert server.asked[-1] == ("/a.bin", "bytes=250000-")
    assert set(contents(tmp_path)) == {"a.bin"}


def test_a_server_that_cannot_resume_sends_all_again(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.ranges, server.breaks = False, [250_000]
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    server.breaks = [300_000] * 9  # never further: it ends
    (tmp_path / "a.bin").unlink()
    with pytest.raises(OSError, match="if the server can"):
        fetch(archive, tmp_path)
    assert len(server.breaks) == 9 - 4


@pytest.mark.parametrize("known", [True, False])
def test_a_part_that_is_whole_needs_no_byte_more(known: bool, server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    (tmp_path / "a.bin.part").write_bytes(BYTES)
    archive = archive if known else replace(archive, size=None)
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    assert len(server.asked) == (0 if known else 1)


def test_a_part_longer_than_the_file_is_begun_anew(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    (tmp_path / "a.bin.part").write_bytes(BYTES + b"more")
    assert fetch(archive, tmp_path).read_bytes() == BYTES


def test_a_server_may_be_busy_for_a_while(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.status = [503, 500, 429]
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    server.status = [503] * 4
    (tmp_path / "a.bin").unlink()
    with pytest.raises(OSError, match="the server answers 503 Service Unavailable; 0 bytes are kept"):
        fetch(archive, tmp_path)


def test_a_length_may_be_unknown(server: Server, tmp_path: Path) -> None:
    server.lengths = False
    assert fetch(offered(server), tmp_path).read_bytes() == BYTES


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_told_at_once(status: int, server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    archive = replace(archive, flag="--url.voc")
    server.status = [status]
    with pytest.raises(
        OSError, match=rf"a.bin: the server answers {status} \w+.*; name another place with --url.voc, or put"
    ):
        fetch(archive, tmp_path)
    assert len(server.asked) == 1
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "/data/a.bin", ""])
def test_only_http_is_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not an http or https address; a file that you have already goes into"):
        fetch(Archive("a.bin", url), tmp_path)


def test_nobody_there_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no connection .*; 0 bytes are kept"):
        fetch(Archive("a.bin", "http://127.0.0.1:9/a.bin"), tmp_path)


def test_a_full_disk_is_told_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 2**18))
    with pytest.raises(OSError, match="0 MiB are free, 1 MiB are still to come"):
        fetch(offered(server), tmp_path)
    assert contents(tmp_path) == {}


def test_another_size_on_the_server_is_told_before_the_download(server: Server, tmp_path: Path) -> None:
    archive = replace(offered(server, b"<html>moved</html>"), size=600_000)
    with pytest.raises(
        ValueError, match="the file there has 18 bytes, known are 600,000; name another place with --url"
    ):
        fetch(archive, tmp_path)
    assert contents(tmp_path) == {}


def test_another_checksum_is_told_and_the_download_deleted(server: Server, tmp_path: Path) -> None:
    archive = replace(offered(server, b"<html>moved</html>"), size=None, checksum=md5(BYTES))
    with pytest.raises(ValueError, match=r"its md5 is \w{32}, known is \w{32}; it looks like a web page; it came from"):
        fetch(archive, tmp_path)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(("content", "told"), [(b"x", "1 bytes, known are 600,000"), (BYTES[::-1], "its md5 is")])
def test_a_file_of_the_users_is_checked_and_kept(content: bytes, told: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.bin: {told}.*; delete it, or accept it as it is with --any-archive"):
        fetch(offered(server), tmp_path)
    assert contents(tmp_path) == {"a.bin": content}
    assert server.asked == []


def test_other_checksums_are_understood(server: Server, tmp_path: Path) -> None:
    archive = replace(offered(server), checksum=f"sha256:{hashlib.sha256(BYTES).hexdigest()}")
    assert fetch(archive, tmp_path).read_bytes() == BYTES


# Unpacking


def packed(files: dict[str, bytes], name: str, link: str | None = None) -> bytes:
    """A tar, tgz or zip of these files, and of a link by that name."""
    made = io.BytesIO()
    if name.endswith("zip"):
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path, content in files.items():
                zipped.writestr(path, content)
            if link:
                info = zipfile.ZipInfo(link)
                info.create_system, info.external_attr = 3, 0o120777 << 16
                zipped.writestr(info, "/etc/passwd")
        return made.getvalue()
    with tarfile.open(fileobj=made, mode="w:gz" if name.endswith("gz") else "w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    return made.getvalue()


KINDS = ["a.tar", "a.tgz", "a.zip"]


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_comes_out_of_an_archive(name: str, tmp_path: Path) -> None:
    archive = tmp_path / name
    archive.write_bytes(packed({"./top/sub/a.txt": b"a", "./top/sub/b/c.txt": b"c", "./top/other": b"o"}, name))
    into = tmp_path / "into"
    assert unpack(archive, Path("top", "sub"), into) == into / "top" / "sub"
    assert contents(into) == {"top/sub/a.txt": b"a", "top/sub/b/c.txt": b"c"}
    with pytest.raises(FileExistsError, match=r"top.sub: in the way of what .* holds; complete it, or move it away"):
        unpack(archive, Path("top", "sub"), into)


@pytest.mark.parametrize("name", KINDS)
def test_only_what_is_wanted_comes_out(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed({"top/a.txt": b"a", "top/b.jpg": b"b", "top/c/d.txt": b"d"}, name, "top/link"))
    unpack(tmp_path / name, Path("top"), tmp_path / "into", ("*.txt",))
    assert contents(tmp_path / "into") == {"top/a.txt": b"a", "top/c/d.txt": b"d"}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("evil", ["../evil", "top/../../evil", "/tmp/evil-of-plopkit", "top\\..\\..\\evil", "C:/evil"])
def test_a_name_that_leads_outside_is_refused(evil: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / name
    archive.write_bytes(packed({"top/a.txt": b"a", evil: b"evil"}, name))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"leads out of the folder to unpack into; do not trust this archive"):
        unpack(archive, Path("top"), tmp_path / "in", ("top/a*",))
    assert contents(tmp_path) == before
    assert not Path("/tmp/evil-of-plopkit").exists()


@pytest.mark.parametrize("name", KINDS)
def test_a_link_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed({"top/a.txt": b"a"}, name, "top/link"))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="'top/link' is a link or a device; a data set has plain files only"):
        unpack(tmp_path / name, Path("top"), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_broken_archive_leaves_nothing(share: float, name: str, tmp_path: Path) -> None:
    content = packed({"top/a.bin": BYTES, "top/b.bin": BYTES}, name)
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"{name}: broken or cut short .*; delete it and get it again"):
        unpack(tmp_path / name, Path("top"), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
@pytest.mark.parametrize("end", ["", "\0" * 511, "top/b.bin", "top/b.bin" + "\0" * 503], ids=range(4))
def test_a_tar_cut_in_or_before_a_header_leaves_nothing(end: str, name: str, tmp_path: Path) -> None:
    """tarfile takes that for the end."""
    whole = packed({"top/a.bin": BYTES[:1024]}, "a.tar")[: 3 * 512] + end.encode()
    (tmp_path / name).write_bytes(gzip.compress(whole) if name == "a.tgz" else whole)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"{name}: broken or cut short .*; delete it and get it again"):
        unpack(tmp_path / name, Path("top"), tmp_path)
    assert contents(tmp_path) == before
    unpack(tmp_path / name, Path("top"), tmp_path, checked=True)  # by its checksum it is as its makers left it
    assert (tmp_path / "top" / "a.bin").read_bytes() == BYTES[:1024]


def test_the_wrong_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed({"top/a": b"a"}, "a.tar"))
    with pytest.raises(ValueError, match=r"a.tar: no VOCdevkit.VOC2012 in it; is it the right archive\?"):
        unpack(tmp_path / "a.tar", Path("VOCdevkit", "VOC2012"), tmp_path)


def test_what_a_stopped_call_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed({"top/a": b"a"}, "a.tar"))
    (tmp_path / ".a.tar.unpacking" / "top").mkdir(parents=True)
    (tmp_path / ".a.tar.unpacking" / "top" / "half").write_bytes(b"half")
    unpack(tmp_path / "a.tar", Path("top"), tmp_path)
    assert set(contents(tmp_path)) == {"a.tar", "top/a"}


# Data sets: VOC has a and b to train and c and d to validate, SBD has its own masks of b, c, e and f

PALETTE = [value for label in range(256) for value in (label, 255 - label, 7)]


def jpeg(width: int = 12) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (width, 10), "red").save(made, "JPEG")
    return made.getvalue()


def png(label: int, palette: bool = True) -> bytes:
    values = np.full((10, 12), label, np.uint8)
    values[0] = 255
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette(PALETTE)
    made = io.BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()


def mat(label: int, height: int = 10) -> bytes:
    values = np.full((height, 12), label, np.uint8)
    values[:, :3] = 0
    made = io.BytesIO()
    savemat(made, {"GTcls": {"Segmentation": values, "CategoriesPresent": label}}, do_compression=True)
    return made.getvalue()


VOC_BASE = "VOCdevkit/VOC2012"


def voc_files() -> dict[str, bytes]:
    lists = {"train": "a\nb\n", "val": "c\nd\n", "trainval": "a\nb\nc\nd\n"}
    files = {f"{VOC_BASE}/JPEGImages/{stem}.jpg": jpeg() for stem in "abcdefg"}
    files |= {f"{VOC_BASE}/SegmentationClass/{stem}.png": png(i + 1) for i, stem in enumerate("abcd")}
    files |= {f"{VOC_BASE}/ImageSets/Segmentation/{name}.txt": text.encode() for name, text in lists.items()}
    return files | {f"{VOC_BASE}/Annotations/a.xml": b"<annotation/>"}


def sbd_files() -> dict[str, bytes]:
    base = "benchmark_RELEASE/dataset"
    files = {f"{base}/cls/{stem}.mat": mat(10 + i) for i, stem in enumerate("bcef")}
    files |= {f"{base}/img/{stem}.jpg": jpeg() for stem in "bcef"} | {f"{base}/inst/b.mat": mat(1)}
    return files | {f"{base}/train.txt": b"b\ne\n", f"{base}/val.txt": b"c\nf\n", "benchmark_RELEASE/README": b""}


def ade_files() -> dict[str, bytes]:
    stems = {"training": ("ADE_train_00000001", "ADE_train_00000002"), "validation": ("ADE_val_00000001",)}
    files = {f"ADEChallengeData2016/images/{folder}/{s}.jpg": jpeg() for folder in stems for s in stems[folder]}
    for folder, named in stems.items():
        for stem in named:
            files[f"ADEChallengeData2016/annotations/{folder}/{stem}.png"] = png(150, palette=False)
    return files | {"ADEChallengeData2016/objectInfo150.txt": b"Idx\tRatio\n"}


@pytest.fixture
def small(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Known]:
    """What is known of the small data sets, at the server and in ``KNOWN``."""
    made = {
        "voc": Known(
            {
                "voc": offered(server, packed(voc_files(), "a.tar"), "VOCtrainval_11-May-2012.tar"),
                "sbd": offered(server, packed(sbd_files(), "a.tgz"), "benchmark.tgz"),
            },
            train=4,
            val=2,
            train_ids=ids_digest("abef"),
        ),
        "ade": Known({"ade": offered(server, packed(ade_files(), "a.zip"), "ADEChallengeData2016.zip")}, 2, 1),
    }
    for dataset, known in made.items():
        monkeypatch.setitem(prepare.KNOWN, dataset, known)
    return made


def write(files: dict[str, bytes], root: Path) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def labels(root: Path) -> dict[str, set[int]]:
    """The labels of each augmented mask."""
    masks = sorted((root / VOC_BASE / "SegmentationClassAug").iterdir())
    return {path.stem: set(np.unique(np.asarray(Image.open(path))).tolist()) for path in masks}


AUGMENTED = {"a": {1, 255}, "b": {2, 255}, "c": {3, 255}, "d": {4, 255}, "e": {0, 12}, "f": {0, 13}}


def test_voc_is_made_of_two_archives(small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    told = get("voc", tmp_path, small["voc"])
    assert told == f"{tmp_path}: 4 training and 2 validation images, as known"
    assert labels(tmp_path) == AUGMENTED
    base = tmp_path / VOC_BASE
    for stem in "abcd":  # VOC's own masks win, byte for byte
        name = f"{stem}.png"
        assert (base / "SegmentationClassAug" / name).read_bytes() == (base / "SegmentationClass" / name).read_bytes()
    picture = Image.open(base / "SegmentationClassAug" / "e.png")
    assert picture.mode == "P"
    assert picture.getpalette()[: 3 * 13] == PALETTE[: 3 * 13]
    assert (base / "ImageSets" / "Segmentation" / "train_aug.txt").read_text() == "a\nb\ne\nf\n"
    assert voc(tmp_path, "train").stems == ("a", "b", "e", "f")
    assert voc(tmp_path, "train").labels(2) == {0, 12}
    assert voc(tmp_path, "val").stems == ("c", "d")
    assert [path for path, _ in server.asked] == ["/VOCtrainval_11-May-2012.tar", "/benchmark.tgz"]
    left = {path.split("/")[0] for path in contents(tmp_path)}
    assert left == {"VOCdevkit", "VOCtrainval_11-May-2012.tar", "benchmark.tgz", "benchmark_RELEASE"}
    assert not (tmp_path / "benchmark_RELEASE" / "dataset" / "img").exists()
    before = contents(tmp_path)
    assert get("voc", tmp_path, small["voc"]) == told
    assert contents(tmp_path) == before
    assert len(server.asked) == 2


def test_archives_that_are_there_are_used(small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    for archive in (*small["voc"].archives.values(), *small["ade"].archives.values()):
        (tmp_path / archive.name).write_bytes(server.files[f"/{archive.name}"])
    get("voc", tmp_path, small["voc"])
    get("ade", tmp_path, small["ade"])
    assert server.asked == []
    assert labels(tmp_path) == AUGMENTED


@pytest.mark.parametrize("below", ["", "VOCdevkit", VOC_BASE])
def test_unpacked_folders_are_used(below: str, small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    write(voc_files(), tmp_path)
    write(sbd_files(), tmp_path / below)
    get("voc", tmp_path / below, small["voc"])
    assert server.asked == []
    assert labels(tmp_path) == AUGMENTED


def test_an_unpacked_voc_needs_only_sbd(small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    write(voc_files(), tmp_path)
    get("voc", tmp_path, small["voc"])
    assert [path for path, _ in server.asked] == ["/benchmark.tgz"]


@pytest.mark.parametrize("listed", ["train_aug.txt", "trainaug.txt", None])
def test_augmented_masks_that_are_there_need_no_sbd(
    listed: str | None, small: dict[str, Known], server: Server, tmp_path: Path
) -> None:
    """Many have them from elsewhere, with a list of one of two names, or none."""
    masks = {f"{VOC_BASE}/SegmentationClassAug/{stem}.png": png(5) for stem in "abcdef"}
    lists = {f"{VOC_BASE}/ImageSets/Segmentation/{listed}": b"a\nb\ne\nf\n"} if listed else {}
    write(voc_files() | masks | lists, tmp_path)
    before = contents(tmp_path)
    get("voc", tmp_path, small["voc"])
    assert server.asked == []
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) - len(before) == (listed is None)


def test_masks_that_are_missing_are_added(small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    get("voc", tmp_path, small["voc"])
    masks = tmp_path / VOC_BASE / "SegmentationClassAug"
    (masks / "e.png").unlink()
    (masks / "a.png").write_bytes(png(9))
    get("voc", tmp_path, small["voc"])
    assert labels(tmp_path) == AUGMENTED | {"a": {9, 255}}  # what was there is left alone
    assert len(server.asked) == 2


OWN_LISTS = ["ImageSets/Segmentation/train_aug.txt", "ImageSets/Segmentation/trainaug.txt", "splits/train_aug.txt"]


@pytest.mark.parametrize("name", OWN_LISTS)
def test_a_list_of_ones_own_is_kept(name: str, small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    masks = {f"{VOC_BASE}/SegmentationClassAug/{stem}.png": png(5) for stem in "acdf"}
    write(voc_files() | masks | {f"{VOC_BASE}/{name}": b"f x\nb\na\n"}, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"{name}: its 3 images are not the 4 known ones, .*; add those, or move the"):
        get("voc", tmp_path, small["voc"])
    assert contents(tmp_path) == before
    assert server.asked == []
    own = b"f x\nb\na\ne\n"  # the known images in an order of one's own
    write({f"{VOC_BASE}/{name}": own}, tmp_path)
    get("voc", tmp_path, small["voc"])
    assert (tmp_path / VOC_BASE / name).read_bytes() == own
    assert voc(tmp_path, "train").stems == ("f", "b", "a", "e")


def test_a_stop_in_the_masks_goes_on_and_shows_no_half(small: dict[str, Known], tmp_path: Path) -> None:
    write(voc_files() | sbd_files(), tmp_path)
    broken = tmp_path / "benchmark_RELEASE" / "dataset" / "cls" / "f.mat"
    content = broken.read_bytes()
    broken.write_bytes(content[:150])
    with pytest.raises(ValueError, match=r"f.mat: not a readable mask of SBD .*; unpack benchmark.tgz again"):
        get("voc", tmp_path, small["voc"])
    base = tmp_path / VOC_BASE
    assert not (base / "SegmentationClassAug").exists()
    assert voc(tmp_path, "train").stems == ("a", "b")  # VOC alone, as before
    times = {path: path.stat().st_mtime_ns for path in (base / "SegmentationClassAug.part").glob("*.png")}
    assert times
    broken.write_bytes(content)
    get("voc", tmp_path, small["voc"])
    assert labels(tmp_path) == AUGMENTED
    assert not (base / "SegmentationClassAug.part").exists()
    for path, time in times.items():
        assert (base / "SegmentationClassAug" / path.name).stat().st_mtime_ns == time


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cls/e.mat", None, "e.mat is missing; SBD's lists name it"),
        ("cls/e.mat", b"", "e.mat: not a readable mask of SBD"),
        ("cls/e.mat", mat(21), "e.mat: not a mask of SBD: 8-bit labels of 0 to 20"),
        ("cls/e.mat", mat(1, height=9), r"e.jpg is 12 x 10 pixels, SBD's mask e.mat 12 x 9; they must be equal"),
        ("val.txt", None, "val.txt is missing; the archive that it comes from holds it"),
        (f"../../{VOC_BASE}/JPEGImages/e.jpg", None, "e.jpg is missing; VOC's archive holds it"),
        (f"../../{VOC_BASE}/SegmentationClass/a.png", None, "a.png is missing; VOC's archive holds it"),
        (f"../../{VOC_BASE}/ImageSets/Segmentation/val.txt", None, "val.txt is missing"),
    ],
)
def test_what_is_broken_or_missing_in_sbd_or_voc_is_named(
    name: str, content: bytes | None, message: str, small: dict[str, Known], tmp_path: Path
) -> None:
    write(voc_files() | sbd_files(), tmp_path)
    path = tmp_path / "benchmark_RELEASE" / "dataset" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        get("voc", tmp_path, small["voc"])


def test_a_mask_of_sbd_is_an_array_of_labels(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(mat(7))
    values = read_mat(tmp_path / "a.mat")
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 0, 0, *[7] * 9]] * 10


def test_ade_is_made_of_one_archive(small: dict[str, Known], server: Server, tmp_path: Path) -> None:
    server.breaks = [700]
    assert get("ade", tmp_path, small["ade"]).endswith("2 training and 1 validation images, as known")
    assert {name: content for name, content in contents(tmp_path).items() if "/" in name} == ade_files()
    get("ade", tmp_path / "ADEChallengeData2016", small["ade"])
    assert len(server.asked) == 2


# What is wrong is told


def test_a_folder_in_the_way_is_told_before_the_download(
    small: dict[str, Known], server: Server, tmp_path: Path
) -> None:
    (tmp_path / VOC_BASE).mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r"VOC2012: in the way of what VOCtrainval.* holds; complete it, or move"):
        get("voc", tmp_path, small["voc"])
    assert server.asked == []


def test_wrong_counts_are_told(small: dict[str, Known], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="voc is not as known") as error:
        get("voc", tmp_path, replace(small["voc"], train=10_582, val=3))
    assert str(error.value) == (
        f"{tmp_path}: voc is not as known:\n  4 images in the split train, known are 10,582\n"
        "  2 images in the split val, known are 3"
    )
    with pytest.raises(ValueError, match="split train has 4 images, but they are not the known ones"):
        get("voc", tmp_path, replace(small["voc"], train_ids=ids_digest("abeg")))
    get("ade", tmp_path, small["ade"])
    (tmp_path / "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png").unlink()
    (tmp_path / "ADEChallengeData2016/images/training/ADE_train_00000001.jpg").unlink()
    first, second = verify("ade", tmp_path, small["ade"])
    assert first == "1 images in the split train, known are 2"
    assert re.search(r"ADE_val_00000001.png is missing; ", second)


def test_archives_come_from_other_places_too(small: dict[str, Known]) -> None:
    known = known_from("voc", {"sbd": "http://mirror/b.tgz"})
    assert known.archives["voc"] == small["voc"].archives["voc"]
    assert known.archives["sbd"] == replace(small["voc"].archives["sbd"], url="http://mirror/b.tgz")
    loose = known_from("voc", {}, any_archive=True).archives["voc"]
    assert (loose.size, loose.checksum, loose.url) == (None, None, small["voc"].archives["voc"].url)
    with pytest.raises(ValueError, match=r"ade has no archive 'sbd'; possible: --url.ade"):
        known_from("ade", {"sbd": "http://mirror"})


def test_what_is_known_is_what_was_published(shared: Path) -> None:
    ids = (shared / "reference" / "voc2012_train_aug_ids.txt").read_text().split()
    assert (len(ids), ids_digest(ids)) == (KNOWN["voc"].train, KNOWN["voc"].train_ids)
    assert (KNOWN["voc"].val, KNOWN["ade"].train, KNOWN["ade"].val) == (1449, 20210, 2000)
    for known in KNOWN.values():
        for word, archive in known.archives.items():
            assert archive.flag == f"--url.{word}"
            assert archive.url.endswith(f"/{archive.name}")
            assert re.fullmatch("md5:[0-9a-f]{32}", archive.checksum or "")


# The command line


def test_the_command_gets_a_data_set(
    small: dict[str, Known], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "get", "voc", "--root", str(tmp_path / "voc")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'voc'}: 4 training and 2 validation images, as known\n"
    flags = ["data", "get", "ade", "--root", str(tmp_path / "ade"), "--url.ade", f"{server.url}/elsewhere.zip"]
    assert main(flags) == 2
    assert "elsewhere.zip: the server answers 404 Not Found; name another place with --url" in capsys.readouterr().err
    server.files["/elsewhere.zip"] = packed(ade_files() | {"ADEChallengeData2016/more": BYTES}, "a.zip")
    assert main(flags) == 2
    assert "known are" in capsys.readouterr().err
    assert main([*flags, "--any-archive"]) == 0
    assert main(["data", "get", "ade", "--root", str(tmp_path), "--url.sbd", "http://mirror"]) == 2
    assert "ade has no archive 'sbd'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["data"], ["data", "get"], ["data", "get", "coco"], ["data", "get", "voc"]])
def test_wrong_use_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: plopkit data" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(small: dict[str, Known], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(
        OSError, match=r"cannot be read or written \(Permission denied\).* name another folder with --root"
    ):
        get("ade", tmp_path, small["ade"])
    tmp_path.chmod(0o700)


def test_what_cannot_be_written_is_told_to_root_too(small: dict[str, Known], tmp_path: Path) -> None:
    (tmp_path / "ADEChallengeData2016.zip.part").mkdir()
    with pytest.raises(
        OSError, match=r"zip.part: cannot be read or written \(Is a directory\); .* another folder with --root"
    ):
        get("ade", tmp_path, small["ade"])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        OSError, match=r"below: cannot be read or written \(Not a directory\); .* another folder with --root"
    ):
        get("ade", tmp_path / "file" / "below", small["ade"])
