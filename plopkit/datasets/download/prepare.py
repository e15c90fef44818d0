"""VOC 2012 with SBD, and ADE20K: downloaded if necessary, unpacked, and verified by their numbers of images."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plopkit.datasets import open_split
from plopkit.datasets.ade20k import ade_base
from plopkit.datasets.download.fetch import Archive, fetch
from plopkit.datasets.download.sbd import augment, augmented, augmented_list, write_list
from plopkit.datasets.download.unpack import check_free, unpack
from plopkit.datasets.voc import MASKS, lists, stems_in, voc_base
from plopkit.settings import Data
from plopkit.support.files import disk_error
from plopkit.support.places import expanded


@dataclass(frozen=True)
class Release:
    """A published data set: where it comes from, and what it must contain."""

    archives: Mapping[str, Archive]
    """by the word after `--url.`"""
    train: int
    """number of training images"""
    val: int
    """number of validation images"""
    train_ids: str = ""
    """`ids_digest` of the training images; "" accepts any"""


# The servers publish no checksums. Those here are the ones in torchvision (VOC, SBD) and in half a dozen projects that
# download ADE20K from the same place, whose size is unknown.
RELEASES = {
    "voc": Release(
        {
            "voc": Archive(
                "VOCtrainval_11-May-2012.tar",
                "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                1_999_639_040,
                "md5:6cd6e144f989b92b3379bac3b3de84fd",
                "--url.voc",
            ),
            "sbd": Archive(
                "benchmark.tgz",
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                1_419_539_633,
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
                "--url.sbd",
            ),
        },
        10_582,
        1_449,
        "855dff350b7f447bf43cb98ea626a32e0d0b3b7c5786e03b2712a21355b635bf",
    ),
    "ade": Release(
        {
            "ade": Archive(
                "ADEChallengeData2016.zip",
                "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
                None,
                "md5:7328b3957e407ddae1d3cbf487f149ef",
                "--url.ade",
            )
        },
        20_210,
        2_000,
    ),
}


def download(dataset: str, root: Path, urls: Mapping[str, str], any_archive: bool = False) -> str:
    """The catalogue's downloader: make a data set ready in a folder.

    Args:
        dataset: A name in `RELEASES`.
        root: The folder of the data set. What it already contains is used: unpacked folders, archives, partial
            downloads.
        urls: Other URLs, by the names of the archives.
        any_archive: Whether archives of any size and checksum are accepted.

    Returns:
        A line that says what is there now.

    Raises:
        ValueError: An archive is unknown or damaged, or the data set is not complete. The message lists all problems.
        OSError: A download failed, or the folder cannot be written.
    """
    return get(dataset, root, release_from(dataset, urls, any_archive))


def release_from(dataset: str, urls: Mapping[str, str], any_archive: bool = False) -> Release:
    """The release of a data set with some of its archives at other URLs; arguments as for `download`."""
    release = RELEASES[dataset]
    if unknown := sorted(set(urls) - set(release.archives)):
        flags = " and ".join(f"--url.{word}" for word in release.archives)
        raise ValueError(f"{dataset} has no archive {unknown[0]!r}; possible: {flags}")
    archives = {word: replace(archive, url=urls.get(word, archive.url)) for word, archive in release.archives.items()}
    if any_archive:
        archives = {word: replace(archive, size=None, checksum=None) for word, archive in archives.items()}
    return replace(release, archives=archives)


def get(dataset: str, root: Path, release: Release) -> str:
    """Make a release of a data set ready in a folder; result and errors as for `download`."""
    root = expanded(root)
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is a file; --root must be the folder of the data set")
    try:
        {"voc": _get_voc, "ade": _get_ade}[dataset](root, release)
    except OSError as error:
        if error.errno is None:  # already explained
            raise
        advice = "run the same command again, or choose another folder with --root"
        raise disk_error(error.filename or root, error, advice, "read or written") from error
    if problems := verify(dataset, root, release):
        raise ValueError(f"{root}: {dataset} is not complete:" + "".join(f"\n  {problem}" for problem in problems))
    return f"{root}: {release.train:,} training and {release.val:,} validation images, as expected"


def verify(dataset: str, root: Path, release: Release) -> list[str]:
    """Compare the images and masks in a folder with a release.

    Returns:
        A line per problem; empty if everything is as expected.
    """
    problems = []
    for split, count in (("train", release.train), ("val", release.val)):
        try:
            stems = open_split(dataset, split, Data(root=root)).stems
        except (FileNotFoundError, ValueError) as error:
            problems.append(str(error))
            continue
        if len(stems) != count:
            problems.append(f"the split {split} has {len(stems):,} images, expected {count:,}")
        elif split == "train" and release.train_ids not in ("", ids_digest(stems)):
            problems.append(f"the split {split} has {count:,} images, but not the published ones")
    return problems


def ids_digest(stems: Iterable[str]) -> str:
    """A digest of a set of images: the SHA-256 of their sorted stems, one per line."""
    return hashlib.sha256("\n".join(sorted(stems)).encode()).hexdigest()


def _get_voc(root: Path, release: Release) -> None:
    if _exists(voc_base, root):
        base = voc_base(root)
    else:
        base = _obtain(release.archives["voc"], Path("VOCdevkit", "VOC2012"), root)
    if augmented(base):
        return
    if existing := augmented_list(base):
        _check_list(existing, release)
    elif _list_from_masks(base, release):
        return
    sbd = root / "benchmark_RELEASE"
    if not (sbd / "dataset" / "cls").is_dir():
        # SBD's images are those of VOC, and its instances are not needed.
        needed = ("*/dataset/cls/*.mat", "*/dataset/*.txt")
        sbd = _obtain(release.archives["sbd"], Path("benchmark_RELEASE"), root, needed)
    augment(base, sbd / "dataset")


def _get_ade(root: Path, release: Release) -> None:
    if not _exists(ade_base, root):
        _obtain(release.archives["ade"], Path("ADEChallengeData2016"), root)


def _obtain(archive: Archive, folder: Path, root: Path, patterns: Sequence[str] = ("*",)) -> Path:
    """Download an archive and unpack it into `root / folder`. Anything in the way is reported before the download."""
    check_free(root / folder, archive.name)
    return unpack(fetch(archive, root), folder, root, patterns, verified=archive.checksum is not None)


def _exists(base_of: Callable[[Path], Path], root: Path) -> bool:
    try:
        base_of(root)
    except FileNotFoundError:
        return False
    return True


def _check_list(path: Path, release: Release) -> None:
    """Raise a ValueError if an augmented list, for which masks are about to be made, is not the published one."""
    stems = stems_in(path)
    if release.train_ids not in ("", ids_digest(stems)):
        raise ValueError(
            f"{path}: its {len(stems):,} images are not the {release.train:,} published ones, and {MASKS[0]} lacks "
            "masks of it or of the validation list; add these masks, or move the list away so that plopkit makes list "
            "and masks from VOC and SBD"
        )


def _list_from_masks(base: Path, release: Release) -> bool:
    """Write the augmented list if all augmented masks exist without it, so that SBD is not needed."""
    val_lists = lists(base, "val")
    if not release.train_ids or not val_lists:
        return False
    masks = {path.stem for path in (base / MASKS[0]).glob("*.png")}
    val = set(stems_in(val_lists[0]))
    if not val <= masks or ids_digest(masks - val) != release.train_ids:
        return False
    write_list(base, sorted(masks - val))
    return True
