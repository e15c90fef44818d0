"""The palette: one place, distinct colours, and a style for every method, also from outside the package."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

import plopkit
from plopkit import METHODS
from plopkit.viz import colours
from plopkit.viz.colours import CLASSES, FURTHER_STYLES, METHOD_STYLES, PALETTE, colour_of, method_styles, term_colours

PACKAGE = Path(plopkit.__file__).parent


def test_no_other_module_holds_a_hex_colour() -> None:
    for path in PACKAGE.rglob("*.py"):
        result = re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text(encoding="utf-8"))
        assert not result or path.name == "colours.py", f"{path} holds {result}; name them in viz/colours.py"


# Classes


def test_every_label_has_its_own_colour() -> None:
    assert PALETTE.shape == (256, 3)
    assert len({tuple(colour) for colour in PALETTE}) == 256
    assert len(set(CLASSES)) == 20
    assert PALETTE[0].tolist() == [0, 0, 0]
    assert PALETTE[255].tolist() == [255, 255, 255]
    for label in (1, 7, 20, 21, 254):
        assert colour_of(label) == tuple(PALETTE[label] / 255)
    assert colour_of(1) == pytest.approx(to_rgb(CLASSES[0]))
    assert colour_of(20) == pytest.approx(to_rgb(CLASSES[19]))


def test_twenty_classes_are_far_apart() -> None:
    pairs = combinations(PALETTE[:21].astype(float), 2)
    assert min(np.linalg.norm(a - b) for a, b in pairs) > 45


# Methods


def distinct(styles: dict[str, dict[str, str]]) -> int:
    """How many different colours the styles have."""
    return len({to_rgb(style["color"]) for style in styles.values()})


def test_styles_of_methods_are_their_own_and_distinct() -> None:
    names = ["ft", "mib", "plop", "joint", "lwf", "plop (optim.lr 0.1)", "plop (optim.lr 0.2)"]
    styles = method_styles(names)
    assert distinct(styles) == len({style["marker"] for style in styles.values()}) == len(names)
    for name in names[:5]:  # the same alone or with others
        assert method_styles([name])[name] == styles[name]
    both = [*METHOD_STYLES.values(), *FURTHER_STYLES]
    assert len({colour for colour, _ in both}) == len({marker for _, marker in both}) == len(both)
    runs = method_styles(["plop (optim.lr 0.1)", "plop"])
    assert list(runs) == ["plop (optim.lr 0.1)", "plop"]
    assert runs["plop"] == method_styles(["plop"])["plop"] != runs["plop (optim.lr 0.1)"]


def test_methods_from_outside_have_styles_of_their_own() -> None:
    names = [*METHODS, "toy", "another toy"]
    styles = method_styles(names)
    assert distinct(styles) == len({style["marker"] for style in styles.values()}) == len(names)
    assert styles == method_styles(names)


def test_a_registered_method_has_the_same_style_in_every_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy", "somewhere:Toy")
    monkeypatch.setitem(METHODS, "another toy", "somewhere:Toy")
    styles = method_styles([*METHODS, "toy (seed 1)"])
    assert distinct(styles) == len(METHODS) + 1
    assert method_styles(["toy"])["toy"] == styles["toy"]
    assert method_styles(["another toy", "plop"])["another toy"] == styles["another toy"]


def test_there_are_styles_for_any_number_of_methods() -> None:
    names = [*METHODS, *(f"method {i}" for i in range(100))]
    styles = method_styles(names)
    assert distinct(styles) == len(names)
    for style in styles.values():
        Line2D([], [], **style)  # ValueError for a colour or marker that matplotlib does not know
    assert styles == method_styles(names)


# Everything else


def test_terms_have_one_colour_each_in_order() -> None:
    assert list(term_colours(["ce", "kd"]).values()) == list(colours.TERMS[:2])
    assert len(term_colours([f"term {i}" for i in range(12)])) == 12


def test_colours_of_one_figure_differ() -> None:
    together = [
        [*colours.TERMS, *colours.SCORE_GROUPS.values()],
        colours.HIDDEN.values(),
        colours.OTHER_STEPS.values(),
        colours.PSEUDO_LABELS.values(),
        colours.MISTAKES.values(),
        colours.REACH.values(),
        [colour for colour, _ in colours.SERIES],
        [colour for colour, _ in colours.THRESHOLDS.values()],
        colours.VERDICTS.values(),
        colours.PIXELS.values(),
        colours.OUTLINES.values(),
        [colours.BEFORE, colours.AFTER],
    ]
    for group in map(list, together):
        assert len(set(map(to_rgb, group))) == len(group)


def test_heat_maps_are_known_to_matplotlib() -> None:
    assert {colours.HEAT, colours.SIGNED_HEAT, colours.UNCERTAINTY_HEAT} <= set(colormaps)
