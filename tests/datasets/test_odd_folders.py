"""Data folders as people have them: right, or refused in a line with file and remedy, by the check as by a run."""

from pathlib import Path

import numpy as np
import pytest
from datasets import odder_folders  # noqa: F401  (they register themselves)
from datasets.odd_folders import ODD, N, colours_of, stems, values_of
from small_runs import small_flags

from plopkit.cli import main
from plopkit.datasets.folder import folder
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.presets import configure

SMALL = ("--preset", "smoke", "--optim.batch", "2")
TRAINED = (
    *("list_with_the_mask_first", "names_decomposed_on_disk", "masks_next_to_the_images", "masks_of_one_bit"),
    *("an_image_turned_by_exif_with_its_mask", "pictures_of_many_formats", "masks_of_0_and_255_with_the_setting"),
)
OTHER_PIXELS = (
    *("masks_of_16_bits", "an_empty_mask", "an_image_in_both_lists", "a_copy_among_the_validation_images"),
    "a_copy_with_another_mask",
)
USUAL = "smaller than the crop of 64 pixels"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "my data"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", ODD)
def test_the_check_says_what_is_right_and_what_is_not(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ODD[name]
    odd.make(root)
    code = main(["data", "check", odd.scenario, "--data.root", str(root), *SMALL, *odd.flags])
    lines = capsys.readouterr().out.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert code == (1 if odd.error else 0), lines
    assert bool(errors) == bool(odd.error)
    assert any(odd.error.replace("{root}", str(root)) in line for line in errors) or not odd.error, errors
    if odd.warning:
        assert any(odd.warning.replace("{root}", str(root)) in line for line in warnings), warnings
    elif not odd.error:
        assert not [line for line in warnings if USUAL not in line]


@pytest.mark.parametrize("name", ODD)
def test_a_run_opens_what_the_check_calls_right_and_stops_with_its_first_error(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ODD[name]
    odd.make(root)
    main(["data", "check", odd.scenario, "--data.root", str(root), *SMALL, *odd.flags])
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    batch = int(odd.flags[1]) if "--optim.batch" in odd.flags else 2
    settings = {"data.root": root, "optim.batch": batch, "data.binary": "--data.binary" in odd.flags}
    try:
        ScenarioData.open(configure(odd.scenario, "plop", "smoke", settings))
    except (ValueError, OSError) as error:
        stopped = [f"error: {error}"]
    else:
        stopped = []
    assert errors[:1] == stopped


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if not odd.error and name not in OTHER_PIXELS])
def test_what_is_right_is_read_as_it_was_written(name: str, root: Path) -> None:
    odd = ODD[name]
    odd.make(root)
    for split in N:
        source = folder(root, split, "--data.binary" in odd.flags)
        assert len(source) == N[split]
        for index, stem in enumerate(stems(split)):
            image, mask = source.read(index)
            expected = values_of(stem)
            assert np.array_equal(mask, expected > 0 if len(source.classes) == 2 else expected)
            assert source.labels(index) == set(mask.unique().tolist())
            difference = image.permute(1, 2, 0).numpy().astype(int) - colours_of(stem)
            assert np.abs(difference).mean() < 12  # a JPEG's


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.usefixtures("no_pictures")
def test_a_run_trains_what_is_right(name: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = ODD[name]
    odd.make(root)
    flags = [*small_flags(tmp_path / "out"), "--method", "ft", "--optim.batch", "2", "--data.root", str(root)]
    assert main(["run", odd.scenario, *flags, *odd.flags]) == 0
    assert "results, pictures and checkpoints: " in capsys.readouterr().out
