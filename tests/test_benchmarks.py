"""Every contender of the benchmarks computes what the others do; no test here looks at a clock."""

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import NARROW
from torch import Tensor

from benchmarks import gpu, gpu_methods, known, picture, profiling, table
from benchmarks.apart import apart
from benchmarks.files import write_data_set
from benchmarks.machine import environment
from benchmarks.references import net as published_net
from benchmarks.subjects import demo, iteration, loader, losses, pod, pseudo, remap, scan
from benchmarks.timing import Effort, Row, interleaved
from plopkit.model import resnet
from plopkit.ticks import Tick


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One narrow block in each stage of ResNet-50, on both sides."""
    for module in (resnet, published_net):
        monkeypatch.setattr(module, "WIDTHS", NARROW)
    for blocks in (resnet.BLOCKS, published_net.BLOCKS):
        monkeypatch.setitem(blocks, "resnet50", (1, 1, 1, 1))


def close(found: Tensor, expected: Tensor, atol: float = 1e-6, rtol: float = 1e-4) -> None:
    torch.testing.assert_close(found.detach().float(), expected.detach().float(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("work", [pod.contenders(64, 2, width=32), losses.contenders(64, 2)], ids=["pod", "losses"])
def test_losses_and_gradients_are_those_of_the_reference(work: dict) -> None:
    ours, reference = work["ours"](), work["reference"]()
    assert reference[0] > 0
    assert len(ours) == len(reference)
    for found, expected in zip(ours, reference, strict=True):
        close(found, expected, atol=1e-5 * float(expected.abs().max()))


def test_pseudo_labels_and_thresholds_are_those_of_the_reference() -> None:
    work = pseudo.contenders(64, 2)
    (labels, factor), (plain_labels, plain_factor) = (work["pseudo-label"][who]() for who in ("ours", "reference"))
    assert torch.equal(labels.long(), plain_labels)
    assert {0, 255} < set(labels.unique().tolist())
    close(factor, plain_factor)
    assert 0 < factor.min() <= factor.max() < 1
    ours, reference = (work["thresholds"][who]() for who in ("ours", "reference"))
    close(ours, reference)
    assert ours.max() > ours.min()


def test_targets_are_those_of_the_reference() -> None:
    work = remap.contenders(64)
    target, expected = work["ours"]().long(), work["reference"]().long()
    assert torch.equal(target, expected)
    assert set(target.unique().tolist()) == {0, 16, 20, 255}


def test_the_loader_gives_the_images_and_targets_of_the_reference(tmp_path: Path) -> None:
    root = write_data_set(tmp_path, 24, 1, size=(64, 64))
    whole = {"size": 32, "scale": (1, 1), "flip": 0, "batch": 1}  # nothing random
    ours, reference = (
        {target.long().numpy().tobytes(): (image, target) for image, target in make(root, **whole)()}
        for make in (loader.plopkit_epoch, loader.published_epoch)
    )
    assert len(ours) > 3
    assert ours.keys() == reference.keys()
    for key, (image, _) in ours.items():
        close(image, reference[key][0], atol=1.01 / 255 / 0.224)  # a level, since both round to 8 bits


def test_the_scan_finds_the_labels_of_the_reference(tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data", 30, 1, size=(24, 32))
    with scan.empty_cache(tmp_path / "cache"):
        ours = scan.ours(root)
        assert np.array_equal(ours, scan.ours(root))
    assert np.array_equal(ours, scan.reference(root))
    assert ours[:, 1:21].any()


def test_iterations_have_the_losses_of_the_published_one(tmp_path: Path, shallow: None) -> None:
    configuration = {"size": 64, "encoder": "resnet50"}
    iteration.save_start(tmp_path, **configuration)
    work = {f"published {norm}": iteration.published_iteration(tmp_path, norm) for norm in iteration.norms()}
    for norm in iteration.norms():
        work[f"plopkit {norm}"] = iteration.plopkit_iteration(tmp_path, norm, "fp32", configuration)
    for tolerance in (1e-4, 3e-2):  # the second time after an optimiser step, which magnifies rounding
        found = {name: item() for name, item in work.items()}
        for terms in found.values():
            assert terms == pytest.approx(found["published abn"], rel=tolerance)
            assert min(terms.values()) > 0.1
    assert iteration.convolution_gflop(work["plopkit abn"]) == pytest.approx(0.96108544)


def test_the_demo_has_the_losses_of_the_plain_training(tmp_path: Path) -> None:
    small = {"data__size": 64, "optim__batch": 4, "model__width": 16, "model__dilations": (1, 2)}
    ours = demo.plopkit_iteration(tmp_path, small)()
    reference = demo.plain_iteration(tmp_path, small)()
    assert ours == pytest.approx(reference, rel=1e-4)
    assert min(ours.values()) > 0


def test_a_profile_finds_every_kind_of_work(shallow: None) -> None:
    seconds = profiling.measure(Effort(), size=64, encoder="resnet50")
    assert tuple(seconds) == profiling.KINDS
    assert min(seconds.values()) > 0
    figure = picture.draw({"before": seconds, "now": seconds}, "an iteration")
    assert len(figure.axes[0].patches) == 2 * len(profiling.KINDS)


def test_what_is_measured_on_a_gpu_can_be_measured(monkeypatch: pytest.MonkeyPatch, shallow: None) -> None:
    monkeypatch.setattr(gpu, "EPOCH", 2)
    monkeypatch.setattr(gpu, "ROUNDS", (1, 1))
    rows = gpu.measure(Effort(quick=True), size=64, batch=2, encoder="resnet50", precisions=("fp32",))
    subjects = [row.subject.partition(",")[0] for row in rows]
    assert subjects == ["an image"] * len(iteration.norms()) + [rows[-1].subject.partition(",")[0]]
    assert "waiting" in rows[-1].subject
    assert all(row.ours > 0 and row.reference > 0 for row in rows)


@pytest.mark.parametrize("method", ["ewc", "reminder", "star-m"])
def test_what_a_method_costs_on_a_gpu_can_be_measured(method: str, tmp_path: Path) -> None:
    """Methods that need something of step 0: importances, prototypes, spreads and images."""
    root = write_data_set(tmp_path / "photographs", gpu_methods.EPOCH * 4, 8, (80, 90), labels=gpu.LABELS)
    subject = gpu_methods.Subject(method, "test_efficientnet", size=64)
    chosen = gpu_methods.settings(subject, root, tmp_path / "runs", 4, "cpu", compute__precision="fp32")
    seconds, peak = gpu_methods.measured(chosen, 1, "cpu")
    assert seconds > 0 and peak == 0


def test_an_epoch_is_counted_where_ticks_come_late() -> None:
    """Those of a GPU come an iteration late, the last two of an epoch together; a memory makes epochs longer."""
    begun = []

    def ticks() -> Iterator[Tick]:
        for epoch in range(3):
            for index in range(8):
                begun.append(epoch)
                if index:
                    yield Tick(1, epoch, 3, 8 * epoch + index - 1, 24, {}, 0.1, 0.0, False)
            yield Tick(1, epoch, 3, 8 * epoch + 7, 24, {}, 0.1, 0.0, True)

    drawn = ticks()
    for epoch in range(3):
        assert gpu_methods.epoch_of(drawn) == 8
        assert begun.count(epoch) == 8 and len(begun) == 8 * (epoch + 1)


def test_a_row_takes_the_place_of_the_same_subject() -> None:
    row = gpu_methods.Subject("plop")._asdict() | {"ms": 1.0}
    table = gpu_methods.with_row(pd.DataFrame(columns=list(gpu_methods.Subject._fields)), row)
    table = gpu_methods.with_row(table, row | {"method": "mib"})
    table = gpu_methods.with_row(table, row | {"ms": 2.0})
    assert table[["method", "ms"]].to_numpy().tolist() == [["mib", 1.0], ["plop", 2.0]]


def test_the_page_shows_what_was_measured_on_a_gpu() -> None:
    root = Path(__file__).parents[1]
    rows = pd.read_csv(root / "data/measured/gpu_methods.csv").itertuples()
    lines = [
        f"| {row.method} | {row.encoder}{', frozen' * row.frozen} | {row.ms:.0f} | {row.gib:.1f} |\n" for row in rows
    ]
    assert "|---|---|---|---|\n" + "".join(lines) + "\n" in (root / "docs/scale.md").read_text(encoding="utf-8")


def test_rows_are_judged_by_ratio_or_by_value() -> None:
    assert Row("a", 1.0, 2.0, bar=0.5).met is True
    assert Row("a", 1.1, 2.0, bar=0.5).met is False
    assert Row("a", 4.0, 8.0, bar=5, absolute=True).met is True
    assert Row("a", 6.0, 60.0, bar=5, absolute=True).met is False
    assert Row("a", 6.0, 60.0).met is None


def test_the_table_names_every_row_and_the_json_holds_it(tmp_path: Path) -> None:
    rows = [Row("POD", 0.02, known.POD, bar=0.12, published=known.POD), Row("memory", 3.0, 3.5, "GiB")]
    about = environment(rounds=1)
    text = table.as_text(rows, about | {"gflops": known.GFLOPS})
    pod_line = next(line for line in text.splitlines() if line.startswith("POD"))
    assert pod_line.split() == [
        "POD",
        "20",
        "ms",
        "233",
        "ms",
        "0.0858",
        "≤",
        "0.12",
        "yes",
        "reference",
        "1.00",
        "0.09",
    ]
    table.write(tmp_path / "bench.json", rows, about, {}, False)
    content = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert content["environment"]["gflops"] > 0
    assert [row["subject"] for row in content["rows"]] == ["POD", "memory"]
    assert content["rows"][0]["ratio"] == pytest.approx(0.02 / 0.233)


def test_contenders_in_processes_answer_and_say_what_failed() -> None:
    with apart() as start:
        assert start(partial, math.hypot, 3, 4)() == 5
        assert start(partial, torch.get_num_threads)() == torch.get_num_threads()
        with pytest.raises(ValueError, match="math domain error"):
            start(partial, math.log, -1)()
        with pytest.raises(TypeError):
            start(partial)


def test_contenders_take_turns() -> None:
    calls: list[str] = []
    work = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    assert interleaved(work, rounds=2, at_least=0).keys() == {"a", "b"}
    assert calls == ["a", "b", "a", "b", "a", "b"]
