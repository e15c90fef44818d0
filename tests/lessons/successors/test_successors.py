"""What the methods since PLOP changed and gained; nets between two nets; the exercises of lesson 11."""

from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from looking import inside
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from torch.utils.data import DataLoader, TensorDataset

from plopkit.lessons import successors as lesson
from plopkit.lessons.successors.figures import PLACES, sigmoid, softmax
from plopkit.lessons.successors.fusing import between
from plopkit.metrics import iou
from plopkit.model import Segmenter
from plopkit.model.segmenter import segmenter_of
from plopkit.presets import configure, method_of
from plopkit.runs.experiment import Experiment
from plopkit.scenario import Scenario
from plopkit.settings import Model
from plopkit.trainer import evaluate


def test_the_ladder_is_in_the_order_of_publication_with_a_row_per_method() -> None:
    table = lesson.since_plop()
    assert table["method"].is_unique and all(first <= second for first, second in pairwise(table["year"]))
    assert set(table["where"]) <= set(PLACES)
    scores = table.set_index("method")["all"]
    (path,) = (Path(__file__).resolve().parents[3] / "notebooks").glob("11_*.ipynb")
    assert f"from {scores['plop']:.1f} to {scores.max():.1f}" in path.read_text(encoding="utf-8")
    best = table[table["where"].isin(["output", "weights", "memory"])]["all"]
    rest = table[~table["where"].isin(["output", "weights", "memory"])]["all"]
    assert best.min() > rest.max()
    assert list(lesson.ideas_table(table).columns) == [
        "method",
        "year",
        "changes",
        "by which idea",
        "all",
        "in plopkit",
    ]
    figure = lesson.ladder(table, "ladder")
    assert [bar.get_width() for bar in figure.axes[0].patches] == table["all"].tolist()
    assert "plop (loss, 2021) 54.6" in figure.alt
    assert inside(figure)


def test_a_gain_is_the_sum_of_its_shares() -> None:
    shares = lesson.shares_of_gain((60.0, 20.0), (70.0, 41.0), 16, 5)
    assert shares == pytest.approx((160 / 21, 105 / 21))
    assert sum(shares) == pytest.approx((16 * 70 + 5 * 41 - 16 * 60 - 5 * 20) / 21)


def test_the_best_gain_with_and_without_a_memory() -> None:
    rows = {"plop": ("loss", 50.0), "rival": ("loss", 48.0), "better": ("loss", 52.0), "other": ("net", 58.0)}
    rows |= {"keeps": ("memory", 60.0)}
    table = pd.DataFrame([(method, *row) for method, row in rows.items()], columns=["method", "where", "all"])
    assert lesson.best_gain(table, {"loss"}) == ("better", 0.2)
    assert lesson.best_gain(table, {"loss", "net"}) == ("other", 0.8)
    assert lesson.best_gain(table, {"memory", "net"}) == ("keeps", 1.0)


def test_the_published_method_that_gained_most_keeps_a_memory() -> None:
    """As the first question of lesson 11 says."""
    table = lesson.since_plop().set_index("method")
    assert table.loc[table["all"].idxmax(), "where"] == "memory"


def test_a_softmax_takes_from_the_old_classes_and_a_sigmoid_does_not() -> None:
    before, after = np.array([1.0, 3.0, -np.inf]), np.array([1.0, 3.0, 2.0])
    assert softmax(after).sum() == pytest.approx(1) and (softmax(after)[:2] < softmax(before)[:2]).all()
    assert np.array_equal(sigmoid(after)[:2], sigmoid(before)[:2])
    figure = lesson.outputs_compared({"background": 1.0, "cat": 3.0}, ("sheep", 2.0), "outputs")
    assert "cat 0.88 to 0.67" in figure.alt
    assert inside(figure)


def test_methods_with_both_results() -> None:
    measured = pd.DataFrame({"method": ["plop", "plop", "ft"], "all": [40.0, 50.0, 1.0]})
    both = lesson.both_scores(lesson.since_plop(), measured)
    assert both.to_dict("records") == [{"method": "plop", "published": 54.64, "measured": 45.0}]
    assert inside(lesson.published_and_measured(both, "both", ("VOC", "emoji")))


def test_no_name_meets_another_name_or_a_marker() -> None:
    small = lesson.last_steps(lesson.measured("emoji_15-1_all_methods"))
    figure = lesson.published_and_measured(lesson.both_scores(lesson.since_plop(), small), "both", ("VOC", "emoji"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axis,) = figure.axes
    names = [text.get_window_extent(canvas.get_renderer()) for text in axis.texts]
    assert len(names) > 5
    assert not any(first.overlaps(second) for first, second in combinations(names, 2))
    radius = 4 / 72 * figure.dpi
    for line in axis.lines:
        x, y = axis.transData.transform(line.get_xydata())[0]
        marker = Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)
        assert not any(marker.overlaps(name) for name in names)


def test_the_exercises() -> None:
    table = lesson.since_plop()
    rows = table.set_index("method")
    gain = 16 / 21 * (rows.loc["ewf", "old"] - rows.loc["plop", "old"])
    assert lesson.check("11.1", gain, table=table, method="ewf").right
    assert not lesson.check("11.1", rows.loc["ewf", "old"] - rows.loc["plop", "old"], table=table, method="ewf").right
    both = pd.DataFrame({"method": list("abc"), "published": [1.0, 2.0, 3.0], "measured": [5.0, 9.0, 7.0]})
    assert lesson.check("11.2", 2 / 3, both=both).right


@pytest.fixture(scope="module")
def nets() -> tuple[Segmenter, Segmenter]:
    """A net of two channels, and one of three that has another encoder."""
    small = Model(encoder="resnet18", weights="none", width=8, dilations=(1,), pool=None)
    before = segmenter_of(small, (2,))
    after = segmenter_of(small, (2,)).grown(1)
    return before, after


def test_a_net_between_two_has_their_mean_weights_and_the_new_classifier(nets) -> None:
    before, after = nets
    mixed, names = between(before, after, 0.25).state_dict(), before.state_dict()
    weights = {name: tensor for name, tensor in names.items() if tensor.is_floating_point()}
    for name, old in weights.items():
        assert torch.allclose(mixed[name], 0.75 * old + 0.25 * after.state_dict()[name], atol=1e-6), name
    for name in after.state_dict().keys() - names.keys():
        assert torch.equal(mixed[name], after.state_dict()[name])
    assert all(
        torch.equal(a, b) for a, b in zip(between(before, after, 1.0).parameters(), after.parameters(), strict=True)
    )


class Made(Experiment):
    """A run of two steps with these nets, which are evaluated on these images."""

    def __init__(self, nets: tuple[Segmenter, Segmenter], loader: DataLoader):
        self.nets, self.loader = nets, loader
        self.scenario = Scenario.parse("folder 1-1 overlap", 3)
        self.settings = configure("emoji 15-5 overlap", "plop")
        self.method = method_of(self.settings)

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(eval_loader=lambda step: self.loader)

    def net(self, index: int) -> Segmenter:
        return self.nets[index]


def test_a_curve_ends_at_the_runs_own_net(nets) -> None:
    pairs = TensorDataset(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.randint(0, 3, (2, 32, 32)))
    run = Made(nets, DataLoader(pairs, 2))
    curve = lesson.fusion_curve(run, weights=(0.0, 1.0))
    assert curve["weight"].tolist() == [0.0, 1.0] and set(curve["method"]) == {"plop"}
    counts = evaluate(nets[1], run.loader, 3).numpy()
    assert curve.iloc[-1][["old_nobg", "new"]].tolist() == pytest.approx(iou(counts)[1:].tolist())
    figure = lesson.fusion_curves([curve, curve.assign(method="ft")], 0.49, "curves")
    assert [axis.get_title() for axis in figure.axes] == ["plop", "ft"]
    assert inside(figure)
