"""What all figures share: plain text and wrapped titles."""

import ast
import base64
import html
import io
import re
import subprocess
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from drawing import draw_examples as examples
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import plopkit
from plopkit.lessons.forgetting import drop_bars
from plopkit.viz import forgetting_curves, live_curves, strip
from plopkit.viz.figures import alt_of, titled
from plopkit.viz.png import pixels, png
from plopkit.viz.text import wrapped

pytestmark = pytest.mark.usefixtures("no_pyplot")


@pytest.mark.parametrize("name", ["$a_{$", "cost$ of $x"])
def test_names_are_not_formulas(name: str) -> None:
    shown = examples(n=1, steps=1) | {"names": np.array([name] * 21), "stems": np.array([name])}
    lost = pd.DataFrame({"method": name, "learned_at": 0, "label": [1, 2], "name": name, "forgetting": 1.0})
    for figure in (strip(shown, name), drop_bars(lost, name)):
        pixels(figure)
        shown_words = [word for word in figure.findobj(Text) if name in word.get_text()]
        assert len(shown_words) > 3 and not any(word.get_parse_math() for word in shown_words)


def test_powers_of_ten_stay_formulas() -> None:
    figure = titled("t", 3, 2)
    axis = figure.subplots()
    axis.set(yscale="log", ylim=(1e-5, 1))
    for _ in range(2):
        pixels(figure)
        words = [label for label in axis.get_yticklabels() if label.get_text()]
        assert words and all(word.get_parse_math() for word in words)


def test_titles_are_wrapped_between_words_and_labels() -> None:
    assert wrapped("short", 10) == "short"
    lines = wrapped("folder 2-1 overlap order=" + ",".join("123456789"), 3).split("\n")
    assert len(lines) == 2
    assert lines[0].endswith(",")


STYLES = {
    "text.usetex": True,
    "figure.facecolor": "black",
    "font.size": 40.0,
    "axes.grid": True,
    "lines.linewidth": 9.0,
    "savefig.dpi": 7.0,
    "axes.prop_cycle": matplotlib.rc_params_from_file(matplotlib.matplotlib_fname())["axes.prop_cycle"][:2],
}


def summary_of_steps() -> pd.DataFrame:
    base = {"scenario": "voc 15-5 overlap", "method": "plop", "seed": 0, "avg": 50.0}
    groups = dict.fromkeys(("old", "new", "all", "old_nobg", "all_nobg"), 50.0)
    return pd.DataFrame([base | groups | {"step": step} for step in range(2)])


def test_a_users_matplotlibrc_changes_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """`text.usetex` would also start LaTeX."""
    makes = (
        lambda: strip(examples(n=1, steps=1), "a title"),
        lambda: forgetting_curves(summary_of_steps(), "a title"),
        lambda: live_curves(pd.DataFrame(), summary_of_steps(), 2, "a title"),
    )
    expected = [pixels(make()) for make in makes]
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **named: pytest.fail("a program was started"))
    with matplotlib.rc_context(STYLES):
        found = [pixels(make()) for make in makes]
        assert all(matplotlib.rcParams[name] == value for name, value in STYLES.items())  # the user's own figures
    assert all(map(np.array_equal, found, expected))


def test_every_function_that_makes_a_figure_is_in_our_style() -> None:
    package = Path(plopkit.__file__).parent
    makers = {"titled", "Plain"}
    for path in [*package.glob("viz/*.py"), *package.glob("lessons/**/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
        for function in (node for scope in scopes for node in scope.body if isinstance(node, ast.FunctionDef)):
            called = {
                node.func.id
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            decorators = {node.id for node in function.decorator_list if isinstance(node, ast.Name)}
            assert not called & makers or "styled" in decorators or function.name in makers, f"{path}: {function.name}"


def test_control_characters_are_drawn_as_escapes() -> None:
    figure = titled("a\x1b[31m\ud800 title", 3, 2)
    pixels(figure)
    assert [word.get_text() for word in figure.findobj(Text) if "title" in word.get_text()] == [
        "a\\x1b[31m\\ud800 title"
    ]


def test_every_figure_of_the_library_gets_an_alt_text() -> None:
    """Each function that makes a figure says what it shows; `Panels` and the views do so with every update."""
    package = Path(plopkit.__file__).parent
    silent = []
    for path in (*package.glob("viz/*.py"), *package.glob("lessons/*/*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name not in ("__init__", "titled", "_draw"):
                nodes = list(ast.walk(function))
                makes = any(isinstance(node, ast.Name) and node.id in ("titled", "Plain") for node in nodes)
                says = any(isinstance(node, ast.Attribute) and node.attr == "alt" for node in nodes)
                if makes and not says and function.name != "_take_over_from_matplotlib":
                    silent.append(f"{path.relative_to(package)}: {function.name}")
    assert silent == []


def test_a_notebook_shows_a_sharp_picture_with_its_alt_text() -> None:
    figure = titled("t", 7, 2)
    figure.alt = 'a "new" class & 3 < 4'
    bundle = figure._repr_mimebundle_()
    assert bundle["text/plain"] == figure.alt
    (alt, width, data) = re.fullmatch(
        r'<img alt="([^"]+)" width="(\d+)" style="[^"]+" src="data:image/png;base64,([^"]+)">', bundle["text/html"]
    ).groups()
    assert (html.unescape(alt), width) == (figure.alt, "700")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (1400, 400)


def test_matplotlibs_notebook_backend_adds_no_picture_without_alt_text() -> None:
    shell = InteractiveShell.instance()
    try:
        shell.display_formatter.formatters["image/png"].for_type(Figure, lambda figure: b"drawn once more")
        data, _ = shell.display_formatter.format(titled("t", 3, 2))
        assert sorted(data) == ["text/html", "text/plain"]
        assert "image/png" in shell.display_formatter.format(Figure())[0]
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_saved_figures_carry_their_alt_text(kind: str, tmp_path: Path) -> None:
    figure = titled("t", 3, 2)
    figure.alt = "a line that falls from 61.0 to 3.2"
    figure.savefig(tmp_path / f"figure.{kind}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    assert all(figure.alt.encode() in data for data in (buffer.getvalue(), (tmp_path / f"figure.{kind}").read_bytes()))
    with Image.open(io.BytesIO(png(figure))) as picture:
        assert picture.text == {"Description": figure.alt}
    assert alt_of(titled("only a title", 3, 2)) == "only a title"
