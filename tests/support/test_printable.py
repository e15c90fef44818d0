"""A stranger's words do nothing to a terminal."""

import pytest

from plopkit.support.printable import control_character, one_line, printable, quoted


@pytest.mark.parametrize(
    "character", ["\x1b", "\x07", "\r", "\0", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\ud800"]
)
def test_what_a_terminal_obeys_becomes_its_escape(character: str) -> None:
    escape = character.encode("unicode_escape").decode()
    assert printable(f"a{character}b\n\tc") == f"a{escape}b\n\tc"
    assert one_line(f"a{character}b") == f"a{escape}b"
    assert control_character(f"a{character}") == escape


@pytest.mark.parametrize("text", ["cat", "grüne Wiese", "猫", "a b", "👩‍🚀", ""])
def test_names_stay_as_they_are(text: str) -> None:
    assert printable(text) == one_line(text) == text
    assert control_character(text) is None


def test_long_words_are_cut() -> None:
    assert one_line("a\n" * 100, 10) == "a\\na\\na\\na…"
    assert quoted("a" * 500, 10) == "'aaaaaaaaa…"
    assert quoted("a") == "'a'"
