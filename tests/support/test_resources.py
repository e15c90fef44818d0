"""The packaged data files: their content, and how they are located in a checkout and in an installed package."""

import csv
import json
from pathlib import Path

import pytest

from plopkit.support import resources


@pytest.mark.parametrize(
    "name", ["published.csv", "orders.json", "voc_images.csv", "classes/voc.txt", "measured/emoji_15-5_three_seeds.csv"]
)
def test_the_data_files_exist(name: str) -> None:
    assert resources.path(name).read_text(encoding="utf-8").strip()


def test_the_package_takes_precedence_over_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "plopkit")
    in_checkout, in_package = tmp_path / "data" / "a.txt", tmp_path / "plopkit" / "_facts" / "a.txt"
    for file in (in_checkout, in_package):
        file.parent.mkdir(parents=True)
    in_checkout.write_text("checkout")
    assert resources.path("a.txt") == in_checkout
    in_package.write_text("package")
    assert resources.path("a.txt") == in_package


def test_an_unknown_file_names_both_places() -> None:
    with pytest.raises(FileNotFoundError) as error:
        resources.path("nothing.csv")
    assert str(Path("_facts", "nothing.csv")) in str(error.value)
    assert str(Path("data", "nothing.csv")) in str(error.value)


def test_every_order_lists_each_label_once_background_first() -> None:
    orders = json.loads(resources.path("orders.json").read_text(encoding="utf-8"))["voc"]
    assert list(orders) == [chr(c) for c in range(ord("a"), ord("w") + 1)]
    assert orders["a"] == list(range(21))
    for order in orders.values():
        assert order[0] == 0
        assert sorted(order) == list(range(21))


def test_class_names() -> None:
    names = resources.path("classes/voc.txt").read_text(encoding="utf-8").splitlines()
    assert len(names) == len(set(names)) == 21
    assert (names[0], names[15], names[20]) == ("background", "person", "tvmonitor")


def test_the_published_table_holds_percentages_with_their_source() -> None:
    with resources.path("published.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert row["source"]
        assert row["background_counted"] in ("yes", "no")
        for column in ("old", "new", "all", "avg"):
            assert row[column] == "" or 0 <= float(row[column]) <= 100


@pytest.mark.parametrize("name", ["15-5_three_seeds", "15-5_all_methods", "15-1_all_methods"])
def test_the_measured_tables_are_consistent(name: str) -> None:
    """The background IoU follows from both conventions, and is the same for the old classes and for all classes."""
    with resources.path(f"measured/emoji_{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["method"], row["seed"], row["step"]) for row in rows}) == len(rows) >= 18
    for row in rows:
        n_old, n_all = 16, 16 + int(row["step"]) * (5 if name.startswith("15-5") else 1)
        old, old_nobg, everything, all_nobg = (float(row[c]) for c in ("old", "old_nobg", "all", "all_nobg"))
        background = n_old * old - (n_old - 1) * old_nobg
        assert background == pytest.approx(n_all * everything - (n_all - 1) * all_nobg, abs=1e-4)
        assert -1e-4 <= background <= 100  # the tables have six digits
