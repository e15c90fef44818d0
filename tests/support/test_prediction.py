"""The predicted channel is the argmax, whatever the layout."""

import pytest
import torch

from plopkit.support import chunks
from plopkit.support.prediction import predicted_channel


@pytest.mark.parametrize("values", [16, 10_000], ids=lambda n: f"chunks of {n} values")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels-first", "-last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 2, 21, 300])
def test_it_is_the_first_largest(
    channels: int, dtype: torch.dtype, layout: torch.memory_format, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK", values)
    generator = torch.Generator().manual_seed(channels)
    logits = torch.randn(2, channels, 5, 7, generator=generator).round(decimals=1).to(dtype)  # with equal ones
    logits[0, :, 0, 0] = -torch.inf
    logits[0, -1, 0, 1] = torch.inf
    found = predicted_channel(logits.contiguous(memory_format=layout).requires_grad_())
    assert torch.equal(found, logits.argmax(dim=1))
    assert found.dtype == torch.int64
    assert not found.requires_grad


def test_there_may_be_more_channels_than_16_bits_count() -> None:
    logits = torch.zeros(1, 40_000, 1, 3)
    logits[0, 39_999, 0, 0] = logits[0, 35_000, 0, 1] = 1
    assert predicted_channel(logits).tolist() == [[[39_999, 35_000, 0]]]


def test_a_pixel_with_nan_gets_a_channel() -> None:
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 1, 0, 0] = torch.nan
    found = predicted_channel(logits)
    assert found[0, 0, 1] == 0
    assert 0 <= found[0, 0, 0] < 3
