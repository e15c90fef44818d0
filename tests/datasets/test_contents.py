"""What identifies files: their names, sizes and contents, and neither their place nor their time."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from picture_files import read_values, save_mask, write_pair

from plopkit.datasets import open_split
from plopkit.datasets.contents import END, pair_digests
from plopkit.datasets.counts import presence
from plopkit.datasets.files import FileSource
from plopkit.settings import Data


def fingerprints(root: Path, **settings: str) -> list[str]:
    return [open_split("folder", split, Data(root=root, **settings)).fingerprint for split in ("train", "val")]


def test_copies_elsewhere_and_of_another_time_are_the_same(folder_root, tmp_path: Path) -> None:
    root, copy = folder_root(), tmp_path / "elsewhere" / "copy"
    shutil.copytree(root, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    for how in ("sample", "all"):
        assert fingerprints(root, digest=how) == fingerprints(copy, digest=how)


def test_a_link_is_the_file_that_it_leads_to(folder_root, tmp_path: Path) -> None:
    root = folder_root()
    before = fingerprints(root)
    shutil.move(root / "images", tmp_path / "images")
    (root / "images").symlink_to(tmp_path / "images")
    assert fingerprints(root) == before


@pytest.mark.parametrize("keep_time", [False, True])
def test_another_content_of_the_same_size_is_seen_at_once(folder_root, keep_time: bool) -> None:
    """Also where its time of modification is put back: the system notes the change by itself."""
    root = folder_root()
    path = root / "masks" / "train-01.png"
    values = read_values(path)
    save_mask(path, values, compress_level=0)  # every content has the same size
    before, found = fingerprints(root), path.stat()
    source = open_split("folder", "train", Data(root=root))
    assert presence(source)[1, 1:4].tolist() == [False, True, True]
    save_mask(path, np.where(values == 3, 1, values).astype(np.uint8), compress_level=0)
    assert path.stat().st_size == found.st_size
    if keep_time:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    after = fingerprints(root)
    assert after[0] != before[0] and after[1] == before[1]
    changed = open_split("folder", "train", Data(root=root))
    assert [a == b for a, b in zip(source.digests, changed.digests, strict=True)] == [index != 1 for index in range(8)]
    assert presence(changed)[1, 1:4].tolist() == [True, True, False]


def test_all_bytes_count_where_that_is_asked_for(tmp_path: Path) -> None:
    names = ["image", "mask"]
    for name in names:
        (tmp_path / name).write_bytes(bytes(3 * END))
    image, mask = (str(tmp_path / name) for name in names)

    def digest(how: str, key: str) -> bytes:
        return pair_digests(["image"], [image], [mask], how, key, tmp_path / "cache").tobytes()  # type: ignore[arg-type]

    sample, everything = digest("sample", "before"), digest("all", "before")
    with open(image, "r+b") as file:
        file.seek(END + END // 2)
        file.write(b"middle")
    assert digest("sample", "after") == sample
    assert digest("all", "after") != everything
    assert digest("all", "before") == everything  # from the cache: the key says that nothing has changed
    with open(image, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"e")
    assert digest("sample", "end") != sample


def digest_of(stem: str, image: Path, mask: Path) -> bytes:
    return pair_digests([stem], [str(image)], [str(mask)], "all", f"{stem} {image}".replace("/", " ")).tobytes()


def test_a_sub_folder_counts_and_the_form_of_unicode_does_not(tmp_path: Path) -> None:
    pairs = []
    for folder, form in (("a", "NFC"), ("b", "NFD")):
        (tmp_path / folder).mkdir()
        pairs.append([tmp_path / folder / unicodedata.normalize(form, name) for name in ("é.jpg", "é.png")])
        for path in pairs[-1]:
            path.write_bytes(b"the same")
    composed, decomposed = pairs
    assert digest_of("é", *composed) == digest_of("é", *decomposed)
    assert len({digest_of(stem, *composed) for stem in ("é", "town/é", "village/é")}) == 3


def test_whether_images_are_turned_is_part_of_the_key_of_cached_tables(tmp_path: Path) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", (1,), (16, 16), 0, palette=False)
    sources = [
        FileSource(("a", "b"), ["a"], [tmp_path / "a.jpg"], [tmp_path / "a.png"], turn=turn) for turn in (False, True)
    ]
    assert sources[0].cache_key != sources[1].cache_key
    assert sources[0].fingerprint == sources[1].fingerprint
