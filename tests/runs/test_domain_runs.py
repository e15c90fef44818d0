"""Runs of the protocol `domain`, end to end: results by domain, resume, mending, pages, and refusals."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import SMALL, contents, small, small_flags, ticks_until

from plopkit import viz
from plopkit.cli import main
from plopkit.flags import parse_run
from plopkit.grids.plan import plan
from plopkit.methods import METHODS, Batch, Method
from plopkit.parameters import from_parameters
from plopkit.presets import configure
from plopkit.runs import mending
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.domains import domain_forgetting, domain_means, load_domains
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.report import write_page
from plopkit.runs.results import compare, load_results, report
from plopkit.scenario import IGNORE
from plopkit.trainer import evaluate
from plopkit.widgets import SettingsForm

TEXT = "emoji 2-1 domain"
DOMAINS = ["day", "night", "paper", "rain"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """PLOP, trained without interruption, with pictures."""
    experiment = Experiment.open(small(tmp_path_factory.mktemp("domains"), TEXT))
    experiment.run(progress=False)
    return experiment


def copied(done: Experiment, out: Path) -> Experiment:
    for path in done.settings.out.iterdir():
        shutil.copytree(path, out / path.name)
    return Experiment(small(out, TEXT))


def test_the_tables_of_a_run(done: Experiment) -> None:
    results, summary, by_domain = done.folder.results, done.folder.summary, done.folder.domains
    assert results.groupby("step")["label"].agg(list).tolist() == [list(range(21))] * 3
    assert set(results["learned_at"]) == {0}
    assert summary["new"].isna().all() and summary["all"].equals(summary["old"])
    seen = by_domain.groupby("step")["domain"].agg(lambda column: list(dict.fromkeys(column)))
    assert seen.tolist() == [DOMAINS[:2], DOMAINS[:3], DOMAINS]
    assert by_domain.groupby("domain")["learned_at"].agg(set).to_dict() == dict(
        zip(DOMAINS, ({0}, {0}, {1}, {2}), strict=True)
    )
    pixels = by_domain.groupby(["step", "label"])["pixels"].sum()
    assert pixels.tolist() == results.set_index(["step", "label"])["pixels"].sort_index().tolist()


def test_the_rows_of_a_domain_are_those_of_its_images_alone(done: Experiment) -> None:
    step = done.scenario.steps[2]
    loader = done.data.eval_loader(step, domain="night")
    counts = evaluate(done.net(2), loader, step.n_seen).numpy()
    labels = np.concatenate([target.flatten() for _, target in loader])
    rows = done.folder.domains.query("step == 2 and domain == 'night'")
    assert rows["pixels"].tolist() == [int((labels == label).sum()) for label in range(21)]
    assert counts.sum() == (labels != IGNORE).sum()
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    expected = [100 * counts[i, i] / union[i] if counts[i].sum() else np.nan for i in range(21)]
    np.testing.assert_allclose(rows["iou"], expected, atol=1e-5)


def test_means_and_forgetting_by_domain(done: Experiment) -> None:
    means = domain_means(done.folder.domains)
    assert len(means) == 2 + 3 + 4
    first = done.folder.domains.query("step == 0 and domain == 'day'")["iou"]
    assert means["miou"][0] == pytest.approx(np.nanmean(first))
    table = domain_forgetting(means).set_index("domain")
    for domain in DOMAINS:
        history = means[means["domain"] == domain]["miou"].tolist()
        assert table.loc[domain, "learnt"] == history[0] and table.loc[domain, "last"] == history[-1]
        assert table.loc[domain, "forgetting"] == pytest.approx(max(history) - history[-1])


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_run_gives_the_same_tables(done: Experiment, tmp_path: Path) -> None:
    def opened() -> Experiment:
        return Experiment.open(small(tmp_path, TEXT))

    ticks_until(opened(), lambda tick: tick.step == 0)
    ticks_until(opened(), lambda tick: tick.step == 1 and tick.iteration == 0)
    assert opened().folder.evaluated() == 1
    ticks_until(opened())
    own, expected = contents(tmp_path), contents(done.settings.out)
    for name in ("results.csv", "domains.csv", "summary.csv", "examples.npz"):
        path = f"{done.folder.path.name}/{name}"
        assert own[path] == expected[path]
    for index in range(3):
        one, other = (StepStore(e.folder.checkpoints, index).weights() for e in (opened(), done))
        assert all((one[name] == other[name]).all() for name in one | other)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("damage", ["delete", "flip", "cut"])
def test_a_damaged_table_of_domains_is_made_again(
    done: Experiment, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = copied(done, tmp_path)
    path, before = experiment.folder.domains_file, experiment.folder.domains_file.read_bytes()
    if damage == "delete":
        path.unlink()
    elif damage == "flip":
        path.write_bytes(before.replace(b"night", b"nigth", 1))
    else:
        path.write_bytes(before[: len(before) // 2])
    assert not mending.is_untouched(experiment.folder, 3)
    with pytest.raises((ValueError, FileNotFoundError), match=r"domains\.csv"):
        load_domains(load_results(experiment.folder.path))
    run(experiment.settings, progress=False)
    assert path.read_bytes() == before
    assert experiment.folder.results_file.read_bytes() == done.folder.results_file.read_bytes()
    assert "domains.csv" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pictures")
def test_rows_of_a_step_without_results_are_written_again(done: Experiment, tmp_path: Path) -> None:
    experiment = copied(done, tmp_path)
    (experiment.folder.checkpoints / "step-2.safetensors").unlink()  # its results are removed, not its domains
    run(experiment.settings, progress=False)
    assert experiment.folder.domains_file.read_bytes() == done.folder.domains_file.read_bytes()


def test_step_0_belongs_to_its_domains(done: Experiment, tmp_path: Path) -> None:
    texts = (TEXT, "emoji 2-2 domain", "emoji 1-1 domain", "emoji 15-5 overlap")
    runs = plan(texts, ["ft", "plop"], [0], "smoke", {name: [value] for name, value in SMALL.items()}, tmp_path)
    shared = {run.settings.scenario: run.step_0 for run in runs}
    assert shared[TEXT] == shared["emoji 2-2 domain"]
    assert len(set(shared.values())) == 3


def test_comparisons_pages_and_pictures(done: Experiment, tmp_path: Path) -> None:
    ft = run(small(done.settings.out, TEXT, "ft"), progress=False)
    other = run(small(tmp_path / "other", "emoji joint", "ft"), progress=False)
    results = load_results(done.folder.path, ft.path, other.path)
    assert compare(results).index.unique("scenario").tolist() == [TEXT, "emoji joint"]
    text = report(results)
    lines = [line.split() for line in text.splitlines() if line.split()[:1] in (["plop"], ["ft"])]
    for domain, step in zip(DOMAINS, "0012", strict=True):
        assert any(line[1:3] == [domain, step] for line in lines)
    assert text.count("mIoU of each domain by itself") == 1
    assert text.count("forgetting of the classes of step 0") == 1  # of the other scenario
    write_page(results, tmp_path / "page.html")
    assert '<img alt="Domains of emoji 2-1 domain: curves of each' in (tmp_path / "page.html").read_text()
    names = {path.name for path in done.folder.pictures.glob("*.png")}
    assert names == {"curves.png", "domains.png", "losses.png", "predictions.png"}
    assert {path.name for path in other.pictures.glob("*.png")} == names - {"domains.png"}
    figure = viz.domain_curves(domain_means(load_domains(results)), "title")
    shown = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in shown] == ["day, step 0", "night, step 0", "paper, step 1", "rain, step 2"]
    assert [len(axis.lines) for axis in shown] == [4, 4, 4, 4]  # a line and a dot for each method
    assert load_domains(load_results(other.path)).empty


@pytest.mark.usefixtures("no_pictures")
def test_a_domain_without_validation_images_has_no_numbers(tmp_path: Path) -> None:
    folder = run(small(tmp_path, TEXT, "ft", data__val_scenes=3), progress=False)
    rain = folder.domains.query("domain == 'rain'")
    assert len(rain) == 21 and rain["iou"].isna().all() and (rain["pixels"] == 0).all()
    assert domain_forgetting(domain_means(folder.domains)).set_index("domain")["forgetting"].isna().tolist() == [
        *(False, False, False),
        True,
    ]
    assert "rain" in report(load_results(folder.path))


def test_many_domains_are_drawn_in_rows() -> None:
    rows = [
        {"scenario": "s", "method": "ft", "seed": 0, "step": step, "domain": f"city {first}", "learned_at": first}
        | {"miou": 50.0 - step}
        for step in range(9)
        for first in range(step + 1)
    ]
    figure = viz.domain_curves(pd.DataFrame(rows), "nine")
    assert [axis.get_title() for axis in figure.axes if axis.axison] == [f"city {i}, step {i}" for i in range(9)]


# Refusals


class NeedsClasses(Method):
    """A method that says nothing of domains."""

    name, title, source = "needs-classes", "needs classes", "a test"

    def losses(self, batch: Batch) -> dict:
        return METHODS["ft"]().losses(batch)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(METHODS, "needs-classes", NeedsClasses)
    return "makes no sense in the protocol domain.*methods that learn domains: ft, lwf, .*plop, prototypes, joint"


def test_a_method_that_needs_classes_is_refused_before_anything_is_written(
    refused: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=refused):
        configure(TEXT, "needs-classes", "smoke")
    with pytest.raises(ValueError, match=refused):
        parse_run([TEXT, "--method", "needs-classes", "--preset", "smoke"])
    parameters = {"scenario": TEXT, "method": "needs-classes", "preset": "smoke", "overrides": {}}
    with pytest.raises(ValueError, match=refused):
        from_parameters(parameters | {"data_root": None, "out": out})
    with pytest.raises(ValueError, match=refused):
        plan([TEXT], ["ft", "needs-classes"], [0], "smoke", {}, out)
    assert main(["run", TEXT, "--method", "needs-classes", *small_flags(out)]) == 2
    assert "methods that learn domains: ft" in capsys.readouterr().err
    with pytest.raises(ValueError, match=refused):
        Experiment(small(out, TEXT, "ft").model_copy(update={"method": "needs-classes"}))
    assert not out.exists()
    assert configure("emoji 15-5 overlap", "needs-classes", "smoke").method == "needs-classes"


def test_the_form_explains_the_refusal_and_adapts_tasks(refused: str) -> None:
    form = SettingsForm()
    form.controls["protocol"].value = "domain"
    assert form.error == "" and form.settings.scenario == "emoji 2-1 domain"
    form.controls["method"].value = "needs-classes"
    assert "methods that learn domains: ft" in form.error
    form.controls["method"].value = "mib"
    assert form.error == "" and form.settings.method == "mib"
    form.controls["dataset"].value = "cityscapes"
    assert (form.error, form.settings.scenario) == ("", "cityscapes 11-5 domain")
    form.controls["dataset"].value = "voc"
    assert (form.error, form.settings.scenario) == ("", "voc 15-5 overlap")
    form.controls["protocol"].value = "domain"
    assert "voc has no domains" in form.error
    form.set(scenario="emoji 1-1 domain")
    form.controls["protocol"].value = "disjoint"
    assert form.error == "" and form.settings.scenario.split()[2] == "disjoint"


def test_a_folder_of_results_can_be_read_as_it_was_after_a_step(done: Experiment) -> None:
    first = RunFolder(done.folder.path).first_steps(1)
    assert set(first.domains["step"]) == {0}
