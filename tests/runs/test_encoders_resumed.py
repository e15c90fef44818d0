"""Every method with a transformer, stopped in mid-epoch and resumed: every file has the bytes of a run without a stop.

`tests/torture/encoders.py` tries every method with every family at its usual size.
"""

import itertools
from pathlib import Path

import pytest
from encoder_cases import CASES, DECODERS, ENCODERS
from interrupted import RefusedError, resumed

from plopkit.catalogue import METHODS


@pytest.mark.parametrize(("method", "encoder", "decoder", "frozen"), CASES)
def test_a_stopped_run_leaves_the_same_bytes(
    method: str, encoder: str, decoder: str, frozen: bool, tmp_path: Path
) -> None:
    run = resumed(tmp_path, method, model__encoder=encoder, model__decoder=decoder, model__frozen=frozen)
    assert run.well, run


def test_every_method_is_tried_and_every_pair_of_choices() -> None:
    methods, *columns = zip(*CASES, strict=True)
    assert sorted([*methods, "rcil"]) == sorted(METHODS)
    for (left, of_left), (right, of_right) in itertools.combinations(enumerate((ENCODERS, DECODERS, (True, False))), 2):
        assert set(zip(columns[left], columns[right], strict=True)) == set(itertools.product(of_left, of_right))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_rcil_names_the_encoders_that_it_allows(encoder: str, tmp_path: Path) -> None:
    message = f"the encoder '{encoder}' has no convolutions .* choose a released ResNet or a convolutional network"
    with pytest.raises(RefusedError, match=message):
        resumed(tmp_path, "rcil", model__encoder=encoder)


@pytest.mark.parametrize(
    ("method", "decoder"),
    [
        *(("ssul", "linear"), ("dkd", "linear"), ("star", "linear")),
        *(("ssul-m", "pyramid"), ("dkd-m", "pyramid"), ("star-m", "pyramid")),
    ],
)
def test_methods_with_a_decoder_of_their_own_say_what_to_leave_out(method: str, decoder: str, tmp_path: Path) -> None:
    message = f"{METHODS[method].title} .* has a decoder of its own, .*; leave out model.decoder {decoder}"
    with pytest.raises(RefusedError, match=message):
        resumed(tmp_path, method, model__encoder="test_vit", model__decoder=decoder)
