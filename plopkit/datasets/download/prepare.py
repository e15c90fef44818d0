"""VOC 2012 with SBD, and ADE20K, made ready: downloaded where needed, unpacked, and counted."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plopkit.datasets.ade20k import ade, ade_base
from plopkit.datasets.download.fetch import Archive, fetch
from plopkit.datasets.download.sbd import augment, augmented, augmented_list, write_list
from plopkit.datasets.download.unpack import check_free, unpack
from plopkit.datasets.files import FileSource
from plopkit.datasets.voc import MASKS, listed, lists, voc, voc_base


@dataclass(frozen=True)
class Known:
    """What is known of a data set: its archives, by the word of their ``--url`` flag, and how many images it has.

    train_ids: ``ids_digest`` of the training images, "" where any will do.
    """

    archives: Mapping[str, Archive]
    train: int
    val: int
    train_ids: str = ""


# The files have these sizes at their official places; ADE's is not known. The checksums are those that torchvision has
# (VOC, SBD) and that half a dozen projects have which fetch ADE from there: the places themselves publish none.
KNOWN = {
    "voc": Known(
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
    "ade": Known(
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


def known_from(dataset: str, urls: Mapping[str, str], any_archive: bool = False) -> Known:
    """What is known of a data set, its archives from other places; ``any_archive``: of any size and checksum."""
    known = KNOWN[dataset]
    if foreign := sorted(set(urls) - set(known.archives)):
        flags = " and ".join(f"--url.{word}" for word in known.archives)
        raise ValueError(f"{dataset} has no archive {foreign[0]!r}; possible: {flags}")
    archives = {word: replace(archive, url=urls.get(word, archive.url)) for word, archive in known.archives.items()}
    if any_archive:
        archives = {word: replace(archive, size=None, checksum=None) for word, archive in archives.items()}
    return replace(known, archives=archives)


def get(dataset: str, root: Path, known: Known) -> str:
    """Make a data set ("voc" or "ade") ready in ``root`` and tell what is there now.

    What is there already is used: unpacked folders, archives, half a download. ValueError tells all that is wrong with
    the result; OSError tells what hindered a download, or that ``root`` cannot be written.
    """
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is a file; --root is the folder that the data set goes into")
    try:
        {"voc": _get_voc, "ade": _get_ade}[dataset](root, known)
    except OSError as error:
        if error.errno is None:  # told already
            raise
        raise type(error)(
            f"{error.filename or root}: cannot be read or written ({error.strerror}); make room or mend the rights and "
            "run the same command again, or name another folder with --root"
        ) from error
    if problems := verify(dataset, root, known):
        raise ValueError(f"{root}: {dataset} is not as known:" + "".join(f"\n  {problem}" for problem in problems))
    return f"{root}: {known.train:,} training and {known.val:,} validation images, as known"


def verify(dataset: str, root: Path, known: Known) -> list[str]:
    """What is wrong with a data set in ``root``; empty where its images, masks and counts are as known."""
    reader: Callable[[Path, str], FileSource] = {"voc": voc, "ade": ade}[dataset]
    problems = []
    for split, count in (("train", known.train), ("val", known.val)):
        try:
            stems = reader(root, split).stems
        except (FileNotFoundError, ValueError) as error:
            problems.append(str(error))
            continue
        if len(stems) != count:
            problems.append(f"{len(stems):,} images in the split {split}, known are {count:,}")
        elif split == "train" and known.train_ids not in ("", ids_digest(stems)):
            problems.append(f"the split {split} has {count:,} images, but they are not the known ones")
    return problems


def ids_digest(stems: Iterable[str]) -> str:
    """One text for a set of images: the SHA-256 of their stems, in order, one a line."""
    return hashlib.sha256("\n".join(sorted(stems)).encode()).hexdigest()


def _get_voc(root: Path, known: Known) -> None:
    if _found(voc_base, root):
        base = voc_base(root)
    else:
        base = _obtain(known.archives["voc"], Path("VOCdevkit", "VOC2012"), root)
    if augmented(base):
        return
    if own := augmented_list(base):
        _check_list(own, known)
    elif _list_from_masks(base, known):
        return
    sbd = root / "benchmark_RELEASE"
    if not (sbd / "dataset" / "cls").is_dir():
        # Its images are VOC's, and its instances are not needed.
        needed = ("*/dataset/cls/*.mat", "*/dataset/*.txt")
        sbd = _obtain(known.archives["sbd"], Path("benchmark_RELEASE"), root, needed)
    augment(base, sbd / "dataset")


def _get_ade(root: Path, known: Known) -> None:
    if not _found(ade_base, root):
        _obtain(known.archives["ade"], Path("ADEChallengeData2016"), root)


def _obtain(archive: Archive, folder: Path, root: Path, wanted: Sequence[str] = ("*",)) -> Path:
    """Download and unpack into ``root / folder``; what is in the way there is told before the download."""
    check_free(root / folder, archive.name)
    return unpack(fetch(archive, root), folder, root, wanted, checked=archive.checksum is not None)


def _found(base_of: Callable[[Path], Path], root: Path) -> bool:
    try:
        base_of(root)
    except FileNotFoundError:
        return False
    return True


def _check_list(path: Path, known: Known) -> None:
    """ValueError where an augmented list is another than the known one, whose masks are about to be made."""
    stems = listed(path)
    if known.train_ids not in ("", ids_digest(stems)):
        raise ValueError(
            f"{path}: its {len(stems):,} images are not the {known.train:,} known ones, and {MASKS[0]} has not all "
            "masks of it and of the validation; add those, or move the list away to have VOC's and SBD's made"
        )


def _list_from_masks(base: Path, known: Known) -> bool:
    """Write the augmented list where somebody's augmented masks are all there, but no list: SBD is not needed then."""
    found = lists(base, "val")
    if not known.train_ids or not found:
        return False
    masks = {path.stem for path in (base / MASKS[0]).glob("*.png")}
    val = set(listed(found[0]))
    if not val <= masks or ids_digest(masks - val) != known.train_ids:
        return False
    write_list(base, sorted(masks - val))
    return True


def download(dataset: str, root: Path, urls: Mapping[str, str], any_archive: bool = False) -> str:
    """The catalogue's downloader: `get`, with archives from other places or of any size and checksum."""
    return get(dataset, root, known_from(dataset, urls, any_archive))
