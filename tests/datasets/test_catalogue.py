"""The contract of every data set in the catalogue, and how their splits are opened."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cities import all_cities, write_cityscapes
from picture_files import write_pair

from plopkit.catalogue import DATASETS
from plopkit.datasets import Source, open_for, open_split
from plopkit.datasets.counts import pixels, presence
from plopkit.datasets.steps import protocol_presence
from plopkit.scenario import IGNORE, N_IDS, Scenario, check
from plopkit.settings import Data

Open = Callable[..., Source]


def ade_root(root: Path) -> Path:
    """A small ADEChallengeData2016: three training and two validation images."""
    for folder, count in (("training", 3), ("validation", 2)):
        for index in range(count):
            image, mask = (
                root / kind / folder / f"ADE_{folder}_{index:08d}{suffix}"
                for kind, suffix in (("images", ".jpg"), ("annotations", ".png"))
            )
            write_pair(image, mask, (index + 1, 150 - index), (30, 40), index, palette=False)
    return root


@pytest.fixture(params=list(DATASETS))
def data(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Data]:
    """A data set of the catalogue, and where its images are: a small copy, if it needs files."""
    name: str = request.param
    if not DATASETS[name].needs_root:
        return name, Data(scenes=5, val_scenes=3, size=48)
    roots = {
        "voc": lambda: request.getfixturevalue("voc_root")(),
        "ade": lambda: ade_root(tmp_path / "ade"),
        "cityscapes": lambda: write_cityscapes(tmp_path / "cityscapes", all_cities()),
        "folder": lambda: request.getfixturevalue("folder_root")(),
    }
    if name not in roots:
        pytest.skip(f"there is no small copy of the data set {name!r}; add one to this fixture")
    return name, Data(root=roots[name](), size=48)


def test_every_data_set_fulfils_the_contract_of_sources(data: tuple[str, Data], tmp_path: Path) -> None:
    name, settings = data
    entry = DATASETS[name]
    train, val = (open_split(name, split, settings) for split in ("train", "val"))
    assert set(train.stems).isdisjoint(val.stems)
    assert train.fingerprint != val.fingerprint
    for split, source in (("train", train), ("val", val)):
        assert len(source) == len(source.stems) == len(set(source.stems)) > 1
        assert source.classes == entry.class_names(settings.root)
        assert open_split(name, split, settings).fingerprint == source.fingerprint
        table, counts = presence(source, tmp_path / "cache"), pixels(source, tmp_path / "cache")
        assert table.shape == counts.shape == (len(source), N_IDS)
        assert np.array_equal(table, counts > 0)
        for index in range(len(source)):
            image, mask = source.read(index)
            assert image.dtype == mask.dtype == torch.uint8
            assert image.shape == (3, *mask.shape)
            assert source.labels(index) == set(mask.unique().tolist()) == set(np.flatnonzero(table[index]))
            assert source.labels(index) <= {*range(len(source.classes)), IGNORE}
            assert source.labels(index) - {0, IGNORE}
            assert source.stems[index] in source.where(index)
            assert torch.equal(source.read(index).image, image) and torch.equal(source.read(index).mask, mask)


def test_the_number_of_labels_is_that_of_the_scenarios(data: tuple[str, Data]) -> None:
    name, settings = data
    entry = DATASETS[name]
    names = entry.class_names(settings.root)
    assert len(names) == len(set(names)) >= 3
    assert entry.n_labels in (None, len(names))
    assert (entry.n_labels is None) == entry.is_users_own
    assert Scenario.parse(f"{name} joint", None if entry.n_labels else len(names)).n_labels == len(names)
    for order in entry.class_orders().values():
        assert sorted(order) == list(range(len(names))) and order[0] == 0


def test_the_fingerprint_changes_with_the_data(data: tuple[str, Data]) -> None:
    name, settings = data
    before = [open_split(name, split, settings).fingerprint for split in ("train", "val")]
    if settings.root is None:
        changed = settings.model_copy(update={"scenes": 6, "val_scenes": 4})
        after = [open_split(name, split, changed).fingerprint for split in ("train", "val")]
        seeded = [open_split(name, split, settings, seed=1).fingerprint for split in ("train", "val")]
        assert not set(before) & set(seeded)
    else:
        for path in [*settings.root.rglob("*.png")]:
            with open(path, "ab") as file:  # what follows the pixels is not read, but it changes the size
                file.write(b"more")
        after = [open_split(name, split, settings).fingerprint for split in ("train", "val")]
    assert not set(before) & set(after)


def test_every_data_set_with_domains_opens_those_of_all_steps(data: tuple[str, Data], tmp_path: Path) -> None:
    name, settings = data
    if not DATASETS[name].domains:
        with pytest.raises(ValueError, match=f"{name} has no domains"):
            check(f"{name} joint domain")
        return
    settings = settings.model_copy(update={"scenes": 9, "val_scenes": 7})
    fingerprints = set()
    for task in DATASETS[name].domain_tasks:
        scenario = Scenario.parse(f"{name} {task} domain")
        train, val = (open_for(scenario, split, settings) for split in ("train", "val"))
        assert set(train.stems).isdisjoint(val.stems)
        assert {*train.domains, *val.domains} == set(DATASETS[name].domains)
        for split, source in (("train", train), ("val", val)):
            assert len(source.domains) == len(source) == len(set(source.stems))
            assert source.classes == DATASETS[name].class_names()
            assert open_for(scenario, split, settings).fingerprint == source.fingerprint
            fingerprints.add(source.fingerprint)
            table = protocol_presence(scenario, presence(source, tmp_path), source.stems, 0, source.domains)
            used = np.stack([step.trains_on(table) for step in scenario.steps])
            assert (used.sum(0) == 1).all()
            assert scenario.steps[-1].evaluates_on(table).all()
        assert open_split(name, "train", settings).fingerprint not in fingerprints


def test_a_missing_root_is_reported() -> None:
    for name, entry in DATASETS.items():
        if entry.needs_root:
            with pytest.raises(ValueError, match=rf"{name} needs data\.root"):
                open_split(name, "train", Data())
    with pytest.raises(ValueError, match=r"folder needs data\.root"):
        DATASETS["folder"].class_names()


def test_splits_are_opened_by_the_name_of_the_data_set(folder_root: Callable[..., Path]) -> None:
    root = folder_root(classes=5)
    data = Data(root=root, scenes=3, val_scenes=2, size=32)
    assert open_split("folder", "val", data).stems == tuple((root / "val.txt").read_text().split())
    assert [len(open_split("emoji", split, data)) for split in ("train", "val")] == [3, 2]
    assert open_split("emoji", "val", data) is open_split("emoji", "val", data)
    first, second = (open_split("emoji", "val", data, seed).read(0).image for seed in (0, 1))
    assert not torch.equal(first, second)
    assert DATASETS["folder"].n_labels is None and len(DATASETS["folder"].class_names(root)) == 5
    with pytest.raises(ValueError, match="there is no data set 'coco'; known: voc, emoji, ade, cityscapes, folder"):
        open_split("coco", "val", data)
