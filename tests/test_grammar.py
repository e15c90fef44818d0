"""The text of a scenario: aliases, the canonical text, orders, and errors that say what is possible."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plopkit.scenario import Scenario, check


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("voc 15-5s overlap", "voc 15-1 overlap"),
        ("voc 15-5s_b overlapped", "voc 15-1 overlap order=b"),
        ("EMOJI  15-5s_C   Disjoint ", "emoji 15-1 disjoint order=c"),
        ("voc 15-1 overlapping order = B", "voc 15-1 overlap order=b"),
        ("voc 15-1 overlap order=a", "voc 15-1 overlap"),
        ("voc 015-01 overlap", "voc 15-1 overlap"),
        ("voc 10-5 sequential order=" + ",".join(map(str, range(21))), "voc 10-5 sequential"),
        ("voc 15+5 overlap", "voc 15-5 overlap"),
        ("voc 10 + 3 + 7 disjoint", "voc 10+3+7 disjoint"),
        ("voc 010+03+07 partitioned", "voc 10+3+7 partitioned"),
        ("voc 10+5+5 overlap order=b", "voc 10-5 overlap order=b"),
        ("ade 50 overlap", "ade 50-50 overlap"),
        ("ade 50-50 overlap", "ade 50-50 overlap"),
        ("voc offline", "voc joint"),
        ("voc joint overlap", "voc joint"),
        ("voc joint disjoint", "voc joint disjoint"),
    ],
)
def test_aliases_and_canonical_text(text: str, canonical: str) -> None:
    assert str(Scenario.parse(text)) == canonical == check(text)
    assert Scenario.parse(text) == Scenario.parse(canonical)


def test_a_named_order_written_out_is_recognised() -> None:
    named = Scenario.parse("voc 15-1 overlap order=b")
    listed = ", ".join(map(str, named.order[1:]))
    assert Scenario.parse(f"voc 15-1 overlap order={listed}") == named
    assert Scenario.parse(f"voc 15-1 overlap order=0,{listed}") == named
    assert (named.order_name, named.order[:3], named.n_labels) == ("b", (0, 12, 9), 21)
    assert Scenario.parse("voc 15-1 overlap").order_name is None


def test_an_order_that_has_no_name() -> None:
    scenario = Scenario.parse("folder 2-1 overlap order=3,1,2", n_labels=4)
    assert scenario.order_name is None
    assert [step.new for step in scenario.steps] == [(0, 3, 1), (2,)]
    assert str(scenario) == "folder 2-1 overlap order=3,1,2" == check(str(scenario))


def test_a_folder_takes_the_number_of_labels_as_an_argument() -> None:
    scenario = Scenario.parse("folder 10-5 overlap", n_labels=16)
    assert [(step.n_old, step.n_seen) for step in scenario.steps] == [(0, 11), (11, 16)]
    assert Scenario.parse("folder joint", n_labels=2).steps[0].new == (0, 1)
    assert check("FOLDER 10-5 overlapped") == "folder 10-5 overlap"
    assert str(Scenario.parse("folder 10+3+2 overlap", n_labels=16)) == "folder 10+3+2 overlap"
    assert str(Scenario.parse("folder 10+5 overlap", n_labels=16)) == "folder 10-5 overlap"
    assert check("folder 10+5 overlap") == "folder 10+5 overlap"  # 15 classes; `10-5` could have more
    with pytest.raises(ValueError, match=r"'10\+3\+2' does not fit.*= 20 classes.*'folder 10\+3\+2\+5 overlap'"):
        Scenario.parse("folder 10+3+2 overlap", n_labels=21)
    with pytest.raises(ValueError, match=r"n_labels.*lines of classes\.txt"):
        Scenario.parse("folder 10-5 overlap")


# Errors


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("", ["voc, emoji, ade, cityscapes, folder", "voc 5-3 overlap"]),
        ("vok 15-1 overlap", ["'vok 15-1 overlap'", "emoji", "nearest: 'voc 15-1 overlap'"]),
        ("15-1 overlap", ["nearest: 'voc 15-1 overlap'"]),
        ("voc 15-4 overlap", ["'15-4'", "20 classes", "joint", "nearest: 'voc 15-5 overlap'"]),
        ("voc 20-1 overlap", ["'20-1'", "'voc 19-1 overlap'"]),
        ("voc 0-5 overlap", ["'0-5'"]),
        ("voc 15-0 overlap", ["'15-0'", "'voc 15-1 overlap'"]),
        ("voc 50 overlap", ["'50'"]),
        ("voc 10+3+2 overlap", ["'10\\+3\\+2'", "20 classes", "nearest: 'voc 10\\+3\\+2\\+5 overlap'"]),
        ("voc 10+3+9 overlap", ["'10\\+3\\+9'", "'voc 10\\+3\\+7 overlap'"]),
        ("voc 10+0+10 overlap", ["'10\\+0\\+10'", "'voc 10-10 overlap'"]),
        ("voc 30+3 overlap", ["'30\\+3'"]),
        ("voc jont", ["nearest: 'voc joint'"]),
        ("ade 100-7 disjoint", ["150 classes", "'ade 100-5 disjoint'", "'ade 100-10 disjoint'"]),
        ("ade 15-5s overlap", ["'15-5s'"]),
        ("voc 15-1", ["protocol is missing", "overlap, disjoint, sequential", "'voc 15-1 disjoint'"]),
        ("voc 15-1 order=b", ["protocol is missing", "'voc 15-1 overlap order=b'"]),
        ("voc 15-1 overlp", ["'overlp'", "nearest: 'voc 15-1 overlap'$"]),
        ("voc 15-1 overlap extra", ["nearest: 'voc 15-1 overlap'"]),
        ("voc 15-1 overlap order=z", ["'z'", "a, b, c", "nearest: 'voc 15-1 overlap'$"]),
        ("ade 100-50 overlap order=b", ["'b'", "all labels"]),
        ("voc 15-1 overlap order=", ["order=<name or labels>"]),
        ("voc 15-5s_b overlap order=c", ["15-5s_b overlap order=c"]),
        ("voc 15-5s_z overlap", ["^'voc 15-5s_z overlap': there is no order 'z'", "nearest: 'voc 15-1 overlap'$"]),
        ("VOC 15-5s_B ovrlap", ["^'VOC 15-5s_B ovrlap': unknown protocol 'ovrlap'"]),
        ("vok 15-1 overlap", ["--plugin FILE", "plopkit.load_plugin"]),
        ("voc 15-1 overlap order=1,2,2,30", [r"missing: \[3, 4,", r"wrong: \[2, 30\]"]),
        ("folder 10 overlap", ["'10'"]),
        ("folder 10+0 overlap", ["'10\\+0'"]),
        ("folder 10-5 overlp", ["'folder 10-5 overlap'"]),
        ("folder 10-5 overlap order=b", ["'b'", "all labels", "'folder 10-5 overlap'"]),
    ],
)
def test_the_error_of_an_invalid_text_says_what_is_possible(text: str, patterns: list[str]) -> None:
    n_labels = 16 if text.startswith("folder") else None
    for read in (lambda: Scenario.parse(text, n_labels), lambda: check(text)):
        with pytest.raises(ValueError, match="nearest: ") as error:
            read()
        message = str(error.value)
        assert all(re.search(pattern, message) for pattern in patterns), message
        nearest = re.findall("'([^']+)'", message.split("nearest: ")[1])
        assert nearest
        for valid in nearest:
            assert check(valid) == valid


@pytest.mark.parametrize("n_labels", [-1, 0, 1, 65536])
def test_masks_of_16_bits_limit_the_number_of_labels(n_labels: int) -> None:
    with pytest.raises(ValueError, match="2 to 65535"):
        Scenario.parse("folder joint", n_labels)
    assert Scenario.parse("folder joint", 255).steps[0].lookup()[254] == 254


def test_the_number_of_labels_of_a_known_data_set_is_fixed() -> None:
    assert Scenario.parse("voc joint", 21) == Scenario.parse("voc joint")
    with pytest.raises(ValueError, match="voc has 21 labels, background included, not 20"):
        Scenario.parse("voc joint", 20)


@given(st.text(alphabet="voc emoji ade folder 0123456789-,=_s order joint overlap", max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        canonical = check(text)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
        assert check(canonical) == canonical
    assert not message or "nearest: " in message or "n_labels" in message
