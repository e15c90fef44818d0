"""YAML from strangers: plain values are read, and whatever could stand for more is refused at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plopkit.support.plain_yaml import LARGEST, MOST, read_yaml, write_yaml

LAUGHS = "\n".join(["a0: &a0 [lol, lol]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))])

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    path.write_text(write_yaml({"value": value}), encoding="utf-8")
    assert read_yaml(path, "a value") == {"value": value}


def test_a_value_that_is_there_twice_is_written_twice(tmp_path: Path) -> None:
    value = [1, 2]
    (tmp_path / "a.yaml").write_text(write_yaml({"a": value, "b": value}), encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml", "a value") == {"a": value, "b": value}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LAUGHS, "line 1: anchors and aliases are not read"),
        ("a: *b", "line 1: anchors and aliases are not read"),
        ("[" * 5000, "line 1: deeper than 20 levels"),
        ("- " * 5000, "line 1: deeper than 20 levels"),
        ("a: 1\nb: !!timestamp x", "line 2: tags such as tag:yaml.org,2002:timestamp are not read"),
        ("!!python/object/apply:os.system [id]", "tags such as .*os.system are not read"),
        ("-\n" * (MOST + 1), f"or more than {MOST:,} values"),
        ("a: 2001-13-45", "month must be in 1..12"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("{[a]: b}", "line 1: found unhashable key"),
        ("a: [1", "line 1: "),
        ("a: '\\ud800", "line 1: "),
        ("\x00", "special characters are not allowed"),
        ("#" * (LARGEST + 1), f"65,537 bytes, but a file with the settings has at most {LARGEST:,}"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_names_the_file(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=problem) as raised:
        read_yaml(path, "the settings")
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
