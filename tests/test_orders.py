"""Class orders drawn at random: always the same ones, and ranges of them."""

import subprocess
import sys

import pytest

from plopkit.orders import LONGEST, expanded_orders, random_order, seed_of_order, without_seed
from plopkit.presets import configure
from plopkit.scenario import Scenario, check


def test_an_order_is_the_same_everywhere() -> None:
    assert random_order(3, 21) == (0, 15, 3, 2, 18, 5, 17, 7, 8, 16, 13, 10, 12, 20, 19, 14, 6, 1, 9, 4, 11)
    assert random_order(0, 4) == (0, 3, 2, 1)


@pytest.mark.parametrize("seed", range(20))
def test_an_order_holds_every_label_once(seed: int) -> None:
    order = random_order(seed, 151)
    assert order[0] == 0 and sorted(order) == list(range(151))
    assert all(type(label) is int for label in order)


def test_a_scenario_keeps_the_number_of_its_order() -> None:
    scenario = Scenario.parse("VOC 15-1 overlapped  order = Random:003")
    assert str(scenario) == "voc 15-1 overlap order=random:3" == check(str(scenario))
    assert scenario.order == random_order(3, 21) and scenario.order_name == "random:3"
    assert Scenario.parse(str(scenario)) == scenario
    listed = Scenario.parse("voc 15-1 overlap order=" + ",".join(map(str, scenario.order[1:])))
    assert listed == scenario and listed.order_name is None  # the same steps, in other words
    assert [step.new for step in listed.steps] == [step.new for step in scenario.steps]


def test_a_users_folder_has_random_orders_whatever_its_number_of_labels() -> None:
    assert check("folder 2-2 overlap order=random:03") == "folder 2-2 overlap order=random:3"
    assert Scenario.parse("folder 2-2 overlap order=random:3", 5).order == random_order(3, 5)


def test_a_folder_name_has_no_colon() -> None:
    assert ":" not in configure("emoji 15-1 overlap order=random:3", "ft").folder().name


@pytest.mark.parametrize("order", ["random", "random:", "random:-1", "random:a", "random:1,2", "random:0..9"])
def test_what_is_no_number_is_refused(order: str) -> None:
    assert seed_of_order(order) is None
    with pytest.raises(ValueError, match="random:<number>"):
        Scenario.parse(f"emoji 15-1 overlap order={order}")


def test_a_range_stands_for_its_orders() -> None:
    text = "emoji 15-1 overlap"
    assert expanded_orders(f"{text}  order=random:8..10") == [f"{text} order=random:{seed}" for seed in (8, 9, 10)]
    assert expanded_orders(f"{text} order=random:3..3") == [f"{text} order=random:3"]
    for other in (text, f"{text} order=random:3", f"{text} order=b"):
        assert expanded_orders(other) == [other]
    for wrong in ("9..0", f"0..{LONGEST}"):
        with pytest.raises(ValueError, match="a range of orders"):
            expanded_orders(f"{text} order=random:{wrong}")


def test_the_name_without_the_number() -> None:
    assert without_seed("emoji 15-1 overlap order=random:12") == "emoji 15-1 overlap order=random"
    for other in ("emoji 15-1 overlap", "emoji 15-1 overlap order=b"):
        assert without_seed(other) == other


def test_the_grammar_does_without_numpy() -> None:
    code = "import sys, plopkit.grammar; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
