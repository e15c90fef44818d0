"""What the lessons suggest at their ends is possible: settings exist, scenarios are read, calls fit what they call.

Nothing is trained. Each piece of code among the suggestions is one of a few kinds; another kind is an error, so that
whoever writes a suggestion thinks of its test.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from command_lines import words_of
from test_notebooks import NOTEBOOKS, cells, python, read

import plopkit
from plopkit import cli
from plopkit.parameters import KNOWN
from plopkit.presets import open_scenario
from plopkit.scenario import Scenario
from plopkit.settings import flat

QUICK = ("plopkit.published", "lesson.since_plop")
"""Calls that are made; of others the arguments are compared with the signature."""


def suggestions(path: Path) -> list[str]:
    """The pieces of code under "Try next"."""
    return re.findall(r"`([^`]+)`", read(path).cells[-1].source.partition("## Try next")[2])


@cache
def lesson_of(path: Path) -> tuple[dict[str, Any], str]:
    """What the lesson imports and its parameters, by name, and all its code."""
    names: dict[str, Any] = {}
    code = [python(cell) for cell in cells(read(path), "code")]
    (parameters,) = cells(read(path), "code", "parameters")
    exec(parameters.source, names)
    for node in (node for tree in code for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = importlib.import_module(alias.name)
                names[alias.asname or alias.name.partition(".")[0]] = module if alias.asname else plain(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names, "\n".join(ast.unparse(tree) for tree in code)


def plain(name: str) -> Any:
    """What `import a.b` makes of the name `a`."""
    return importlib.import_module(name.partition(".")[0])


def settings_of(path: Path, **changed: Any) -> None:
    """Make the settings of each method that the lesson names, with changed parameters; ValueError if one is wrong."""
    names, code = lesson_of(path)
    methods = [name for name in plopkit.METHODS if f"'{name}'" in code] or ["plop"]
    values = {name: names[name] for name in KNOWN if name in names} | changed
    for method in methods:
        settings = plopkit.from_parameters(values, method, lesson=True)
        if not settings.scenario.startswith("folder"):
            assert len(open_scenario(settings).steps) >= 2


def hyper(overrides: dict[str, Any], path: Path) -> None:
    """Make PLOP's settings with these overrides."""
    names, _ = lesson_of(path)
    values = {name: names[name] for name in KNOWN if name in names}
    settings = plopkit.from_parameters(values | {"overrides": overrides}, "plop", lesson=True)
    assert overrides.items() <= flat(settings.model_dump()).items()


def calls(tree: ast.AST, known: dict[str, Any], path: Path) -> Iterator[str]:
    """What does not fit in the calls of some code: a name that is unknown, or arguments that are not taken."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        dotted = ast.unparse(call.func)
        if not re.fullmatch(r"[\w.]+", dotted) or dotted.partition(".")[0] not in known:
            continue  # a method of something that the lesson computes
        try:
            target = eval(dotted, dict(known))
        except AttributeError as error:
            yield f"{dotted}: {error}"
            continue
        placed, named = [None] * len(call.args), {word.arg: None for word in call.keywords}
        try:
            inspect.signature(target).bind(*placed, **named)
        except (TypeError, ValueError) as error:
            if not isinstance(target, type(print)):
                yield f"{dotted}: {error}"
        if dotted in QUICK:
            assert len(eval(ast.unparse(call), dict(known))) > 2, dotted


def assigned(tree: ast.AST) -> set[str]:
    """The names that some code assigns."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def check_code(text: str, path: Path) -> None:
    """Code to add to the lesson: all its names are known there, and calls fit."""
    known, code = lesson_of(path)
    tree = ast.parse(text)
    own = {name for each in suggestions(path) if is_code(each) for name in assigned(ast.parse(each))}
    names = known.keys() | assigned(ast.parse(code)) | own | set(dir(__builtins__)) | {"globals", "print", "len"}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used - names == set()
    assert list(calls(tree, known, path)) == []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            value = ast.unparse(node)
            if "hyper." in value and "overrides" not in value:
                hyper(ast.literal_eval(value), path)


def is_code(text: str) -> bool:
    """Whether this is Python of more than a name, with no gap left to fill."""
    if "…" in text:
        return False
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return False
    return not isinstance(tree.body[0], ast.Expr) or not isinstance(tree.body[0].value, ast.Name | ast.Constant)


def check(text: str, path: Path) -> None:
    """Check one piece of code by its kind."""
    _, code = lesson_of(path)
    everything = "\n".join("\n".join(cell.source for cell in read(each).cells) for each in NOTEBOOKS)
    if match := re.fullmatch(r'scenario = "(.+)"', text):
        settings_of(path, scenario=match[1])
    elif match := re.fullmatch(r"overrides = (\{.+\})", text):
        overrides = ast.literal_eval(match[1])
        hyper(overrides, path) if any("hyper" in name for name in overrides) else settings_of(path, overrides=overrides)
    elif re.fullmatch(r'\{".+\}', text):
        hyper(ast.literal_eval(text), path)
    elif match := re.fullmatch(r'(?:method = )?"(.+)"', text):
        assert match[1] in plopkit.METHODS
    elif text.startswith("plopkit "):
        words = words_of(text)
        assert cli.main([*words, "--print-config"] if words[0] == "run" else [words[0], "--help"]) == 0
    elif match := re.fullmatch(r"(\w+) = …", text):
        assert re.search(rf"(?m)^{match[1]} = ", code)
    elif text in plopkit.METHODS or re.fullmatch(r"\w+ [\d-]+ \w+|[\d-]+", text):
        if text not in plopkit.METHODS:
            Scenario.parse(text if " " in text else f"emoji {text} overlap")
    elif re.fullmatch(r"hyper\.\w+", text):
        assert text.partition(".")[2] in plopkit.METHODS["plop"].model_fields
    elif is_code(text):
        check_code(text, path)
    else:  # a name of the lesson: a control, a term of the loss, a variable
        assert re.search(rf"(?<!\w){re.escape(text)}(?!\w)", everything.replace(f"`{text}`", "")), text


ITEMS = [
    pytest.param(path, text, id=f"{path.name[:2]}-{text[:40]}") for path in NOTEBOOKS for text in suggestions(path)
]


@pytest.mark.parametrize(("path", "text"), ITEMS)
def test_a_suggestion_is_possible(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(text, path)


FAULTS: list[tuple[str, str, type[BaseException]]] = [
    ("10", 'scenario = "emoji 3-7 domain"', ValueError),
    ("04", 'overrides = {"hyper.tresholds": "median"}', ValueError),
    ("04", '{"hyper.adaptive": 7}', ValueError),
    ("00", '"mibb"', AssertionError),
    ("11", 'plopkit run "emoji 15-1 overlap" --method mibb', AssertionError),
    ("11", 'lesson.fusion_curves_of(runs["plop"], 5)', AssertionError),
    ("09", "median_thresholds(batches, step.n_old, step.n_seen, roof=0.001)", AssertionError),
    ("05", "nothing.model_copy()", AssertionError),
    ("03", 'free = globals() | {"overrides": {"hyper.pods": 0.0}}', ValueError),
    ("10", "setings = …", AssertionError),
]


@pytest.mark.parametrize(("number", "text", "kind"), FAULTS, ids=[text[:30] for _, text, _ in FAULTS])
def test_a_suggestion_that_is_not_possible_is_noticed(
    number: str, text: str, kind: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    with pytest.raises(kind):
        check(text, path)
