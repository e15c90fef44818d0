"""Snapshots of a net during a step, which must not change its training."""

from collections.abc import Callable

import pytest
import torch
from small_runs import small

from plopkit.lessons.pod.measures import pod_maps
from plopkit.lessons.snapshots import outputs_of, snapshots
from plopkit.runs.experiment import Experiment
from plopkit.ticks import Tick


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    done = Experiment.open(small(tmp_path_factory.mktemp("runs"), optim__epochs_later=2))
    done.run(progress=False)
    return done


def test_retraining_a_step_gives_the_same_net_and_writes_nothing(experiment: Experiment) -> None:
    images = experiment.data.look(experiment.scenario.steps[1], 2, "val").images
    before = sorted((path, path.stat().st_mtime_ns) for path in experiment.settings.out.rglob("*"))
    net, ticks = experiment.retrain_step(1)
    seen = snapshots(net, ticks, images, (1 / 2, 1))
    assert sorted((path, path.stat().st_mtime_ns) for path in experiment.settings.out.rglob("*")) == before
    assert [moment.done for moment in seen] == [0, seen[0].n_iterations // 2, seen[0].n_iterations]
    for name, weights in experiment.net(1).state_dict().items():  # despite the snapshots
        assert torch.equal(net.state_dict()[name], weights), name
    assert torch.equal(seen[-1].output.logits, outputs_of(experiment.net(1), images).logits)


def test_before_the_first_iteration_only_the_logits_differ(experiment: Experiment) -> None:
    step = experiment.scenario.steps[1]
    images = experiment.data.look(step, 2, "val").images
    net, ticks = experiment.retrain_step(1)
    start, later = snapshots(net, ticks, images, (0.001,))
    teacher = outputs_of(experiment.net(0), images)
    assert (start.done, later.done) == (0, 1)  # less than an iteration counts as one
    distances = [pod_maps(moment.output, teacher, step.n_old).distances for moment in (start, later)]
    for name in distances[0]:
        assert bool((distances[0][name] > 0).any()) == (name == "logits")
        assert (distances[1][name] > 0).all()
    assert net.training  # restored after the snapshot


def test_training_ends_after_the_last_snapshot(tiny_net: Callable) -> None:
    drawn = []

    def ticks():
        for iteration in range(8):
            drawn.append(iteration)
            yield Tick(1, 0, 1, iteration, 8, {"ce": 1.0}, 0.1, 0.1, iteration == 7)

    net, images = tiny_net(16), torch.zeros(1, 3, 64, 64)
    assert [moment.done for moment in snapshots(net, ticks(), images, (1 / 8, 1 / 2))] == [0, 1, 4]
    assert drawn == [0, 1, 2, 3]
    for shares in ((0, 1), (1.5,), ()):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            snapshots(net, ticks(), images, shares)
    with pytest.raises(ValueError, match="no iteration left"):
        snapshots(net, [], images)
