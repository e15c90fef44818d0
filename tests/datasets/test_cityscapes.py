"""Cityscapes: its own splits, its domains, the labels of its files, and where to ask for it."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from cities import IMAGES, all_cities, write_cityscapes
from PIL import Image

from plopkit.cli import main
from plopkit.datasets import open_for, open_split
from plopkit.datasets.cityscapes import COUNTS, labels_of_ids, look_for
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.presets import configure
from plopkit.scenario import IGNORE, N_IDS, Scenario
from plopkit.settings import Data

EVERY = all_cities()
TRAIN_IDS = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14},
    **{28: 15, 31: 16, 32: 17, 33: 18},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_cityscapes(tmp_path / "cityscapes")


def complete(root: Path) -> Path:
    """The same with three images of every other city."""
    others = {split: {c: n for c, n in cities.items() if c not in IMAGES[split]} for split, cities in EVERY.items()}
    return write_cityscapes(root, others)


def loop_parts(root: Path, cities: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The training and validation stems of a step by the words of the issue: paths sorted, shuffled, cut at 80 %."""
    paths: list[str] = []
    for folder in ("train", "val"):
        own = [str(p) for p in (root / "leftImg8bit" / folder).rglob("*_leftImg8bit.png") if p.parent.name in cities]
        paths += sorted(own)
    np.random.RandomState(1).shuffle(paths)
    stems = [Path(path).name.removesuffix("_leftImg8bit.png") for path in paths]
    cut = int(0.8 * len(stems))
    return stems[:cut], stems[cut:]


def test_ids_of_the_files_become_labels() -> None:
    table = labels_of_ids()
    for index in range(34):
        assert table[index] == (TRAIN_IDS[index] + 1 if index in TRAIN_IDS else 0)
    assert table[34:].tolist() == list(range(34, N_IDS))
    # In the protocol domain a target is the train-id; in the others, what has none is background.
    domain, overlap = (Scenario.parse(f"cityscapes {text}").steps[-1] for text in ("11-5 domain", "14-1 overlap"))
    for index in range(34):
        assert domain.lookup("seen")[table[index]] == TRAIN_IDS.get(index, IGNORE)
        assert overlap.lookup("seen")[table[index]] == TRAIN_IDS.get(index, -1) + 1


def test_the_masks_that_are_read(root: Path) -> None:
    source = open_split("cityscapes", "train", Data(root=root))
    mask = source.read(0).mask.numpy()
    expected = [TRAIN_IDS.get(index % 34, -1) + 1 for index in range(48)]
    assert mask.dtype == np.uint8 and mask[0].tolist() == expected
    assert source.labels(0) == frozenset(range(20))


def test_an_id_that_cityscapes_does_not_have_is_refused(root: Path) -> None:
    path = min((root / "gtFine" / "train" / "aachen").glob("*_labelIds.png"))
    Image.fromarray(np.full((24, 48), 40, np.uint8)).save(path)
    source = open_split("cityscapes", "train", Data(root=root))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}: label 40 is outside"):
        source.labels(0)


@pytest.mark.parametrize("inner", ["", "cityscapes"])
def test_its_own_splits(tmp_path: Path, inner: str) -> None:
    write_cityscapes(tmp_path / "data" / inner)
    for split, cities in IMAGES.items():
        source = open_split("cityscapes", split, Data(root=tmp_path / "data"))
        assert len(source) == sum(cities.values())
        assert source.stems == tuple(sorted(source.stems))
        assert {stem.partition("_")[0] for stem in source.stems} == set(cities)
        assert source.domains == ()


@pytest.mark.parametrize("task", ["11-5", "1-1", "10+4+7", "joint"])
def test_each_step_of_the_protocol_domain_is_split_by_chance(root: Path, task: str) -> None:
    complete(root)
    scenario = Scenario.parse(f"cityscapes {task} domain")
    train, val = (open_for(scenario, split, Data(root=root)) for split in ("train", "val"))
    expected = [loop_parts(root, step.domains) for step in scenario.steps]
    assert train.stems == tuple(stem for part, _ in expected for stem in part)
    assert val.stems == tuple(stem for _, part in expected for stem in part)
    assert set(train.stems).isdisjoint(val.stems)
    assert train.domains == tuple(stem.partition("_")[0] for stem in train.stems)
    n_images = sum(n for cities in IMAGES.values() for n in cities.values()) + 3 * 15
    assert len(train) + len(val) == n_images
    assert train.fingerprint != val.fingerprint


def test_the_split_is_numpys_own_whatever_other_generators_do(root: Path) -> None:
    scenario = Scenario.parse("cityscapes 11-5 domain")
    complete(root)
    first = open_for(scenario, "train", Data(root=root)).stems
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    assert open_for(scenario, "train", Data(root=root), seed=3).stems == first


def test_the_steps_of_a_run(root: Path) -> None:
    complete(root)
    settings = configure("cityscapes 11-5 domain", "plop", "smoke", {"data.root": root, "optim.batch": 2})
    data = ScenarioData.open(settings)
    for step in data.scenario.steps:
        part, _ = loop_parts(root, step.domains)
        seen = [stem for each in data.scenario.steps[: step.index + 1] for stem in loop_parts(root, each.domains)[1]]
        assert len(data.train_loader(step).dataset) == len(part)
        evaluated = data.eval_loader(step).dataset
        assert [data.val.stems[index] for index in evaluated.indices] == seen
    targets = {int(channel) for _, target in data.train_loader(data.scenario.steps[1]) for channel in target.unique()}
    assert targets == {*range(19), IGNORE}
    table = data.table()
    assert table["new domains"].tolist()[1:] == [
        "dusseldorf, hamburg, jena, monchengladbach, stuttgart",
        "ulm, zurich, frankfurt, lindau, munster",
    ]


def test_a_missing_city_is_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no images of the city 'darmstadt'.*https://www\.cityscapes-dataset"):
        open_for(Scenario.parse("cityscapes 11-5 domain"), "train", Data(root=root))


@pytest.mark.parametrize(
    ("left", "pattern"),
    [
        ((), r"no such folder; data\.root must contain leftImg8bit/ and gtFine/"),
        (("other",), r"it contains no leftImg8bit/ and no gtFine/"),
        (("leftImg8bit/train/aachen",), r"it contains no gtFine/"),
        (("gtFine/train/aachen",), r"it contains no leftImg8bit/"),
        (("leftImg8bit/train/aachen", "gtFine"), r"train: it contains no \*/\*_leftImg8bit\.png"),
    ],
)
def test_errors_say_what_is_missing_and_where_to_ask(tmp_path: Path, left: tuple[str, ...], pattern: str) -> None:
    root = tmp_path / "data"
    for folder in left:
        (root / folder).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=pattern) as error:
        open_split("cityscapes", "train", Data(root=root))
    assert "register at https://www.cityscapes-dataset.com" in str(error.value)


def test_a_missing_mask_is_named(root: Path) -> None:
    path = next((root / "gtFine" / "val" / "lindau").glob("*_labelIds.png"))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        open_split("cityscapes", "val", Data(root=root))


def test_nobody_downloads_it_for_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "cityscapes", "--root", str(tmp_path / "nothing")]) == 2
    assert "register at https://www.cityscapes-dataset.com" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_what_is_there_is_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="15 of 2,975 images in train/ and 18 of 500 images in val/"):
        look_for("cityscapes", root, {})
    monkeypatch.setitem(COUNTS, "train", 15)
    monkeypatch.setitem(COUNTS, "val", 18)
    assert look_for("cityscapes", root, {}) == f"{root}: 15 training and 18 validation images, as expected"


@pytest.mark.parametrize(("task", "pod_logits"), [("11-5", 0.0001), ("11-1", 0.0001), ("1-1", 0.001)])
def test_the_recipe_of_the_papers_domains(tmp_path: Path, task: str, pod_logits: float) -> None:
    settings = configure(f"cityscapes {task} domain", "plop", "paper", {"data.root": tmp_path})
    assert (settings.hyper["pod"], settings.hyper["pod_logits"]) == (0.0001, pod_logits)
    optim = settings.optim
    assert (optim.batch, optim.epochs, optim.epochs_later, optim.lr, optim.lr_later) == (24, 50, 50, 0.01, 0.001)
    assert configure(f"cityscapes {task} domain", "mib", "paper", {"data.root": tmp_path}).hyper["kd"] == 10


@pytest.mark.parametrize("task", ["11-1", "1-1"])
def test_classes_are_not_learnt_by_the_recipe_of_the_domains(tmp_path: Path, task: str) -> None:
    hyper = configure(f"cityscapes {task} overlap", "plop", "paper", {"data.root": tmp_path}).hyper
    assert (hyper["pod"], hyper["pod_logits"]) == (0.01, 0.0005)
