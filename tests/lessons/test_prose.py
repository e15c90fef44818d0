"""Sentences with computed numbers."""

import pytest
import torch

from plopkit.lessons import say


def test_a_sentence_is_plain_text_and_markdown() -> None:
    said = say("Old classes *fall* from {before:.1f} to {after:.1%}.", before=torch.tensor(71.32), after=0.5)
    assert said == str(said) == repr(said) == "Old classes *fall* from 71.3 to 50.0%."
    assert said._repr_markdown_() == said


def test_values_are_no_markup() -> None:
    said = say("{name} & **all**", name="<b>_x_</b>")
    assert said == "<b>_x_</b> & **all**"
    assert said._repr_markdown_() == r"&lt;b&gt;\_x\_&lt;/b&gt; & **all**"


def test_fields_and_values_have_to_fit() -> None:
    with pytest.raises(ValueError, match=r"no value for the field \{after\}"):
        say("{before} {after}", before=1)
    with pytest.raises(ValueError, match="no field for after"):
        say("{before}", before=1, after=2)
