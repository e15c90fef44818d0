"""The words of alt texts."""

import numpy as np
import pytest

from plopkit.viz.words import contents, course, each, enumerated


def test_enumerations() -> None:
    assert [enumerated(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert each({"ft": "1 to 2", "plop\x1b[31m": "3"}) == "ft 1 to 2, plop\\x1b[31m 3"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 0, 255], "no object"),
        ([0, 0, 1, 2, 2, 255, 0, 0, 0, 0], "dog 20 % and cat 10 %"),
        ([*[0] * 300, 1], "cat under 1 %"),
        ([1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0], "cat 20 %, dog 15 %, c 10 %, d 10 % and 2 more"),
    ],
)
def test_the_contents_of_a_mask(labels: list[int], words: str) -> None:
    names = ["background", "cat", "dog", "c", "d", "e", "f"]
    assert contents(np.array([labels]), names) == words


def test_the_course_of_numbers() -> None:
    assert course([np.nan, 61.04, 20, 3.2, np.nan]) == "61.0 to 3.2"
    assert (course([0.1234], ".2g"), course([np.nan]), course([])) == ("0.12", "none", "none")
