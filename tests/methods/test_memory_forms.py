"""SSUL-M, DKD-M, STAR-M: what their memory images show and are taken to show, and whole runs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import Case, state_before
from released import numbers_of, part_of
from small_runs import small
from torch import Tensor

from plopkit.backward import value_of
from plopkit.catalogue import METHODS
from plopkit.datasets.kept import from_state, to_state
from plopkit.datasets.remembered import candidates, choose, joined
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.steps import Selection
from plopkit.memory import shown_labels
from plopkit.methods import DKDM, SSULM, STARM, Batch, Method, StepContext
from plopkit.methods.remembering import check_memory, remember
from plopkit.model.segmenter import Output, Segmenter
from plopkit.presets import configure
from plopkit.runs.experiment import run
from plopkit.scenario import IGNORE, Scenario
from plopkit.unknown import salient_id, with_unknown

LATER = Path(__file__).parents[1] / "golden" / "later"
FORMS = {"ssul-m": "ssul", "dkd-m": "dkd", "star-m": "star"}


def candidates_of(file: str) -> tuple[Tensor, Tensor, dict[str, list[int]]]:
    """Logits and targets of the images before step 2, and the classes that the released code recorded of some."""
    numbers = part_of(numbers_of(f"later/{file}"), "memory_step2")
    with np.load(LATER / f"{file}.npz") as arrays:
        recorded = {each[0]: each[-1] for each in json.loads(str(arrays["memory_step2/candidates_selected_json"]))}
    logits = numbers["logits_old"].repeat_interleave(6, 2).repeat_interleave(6, 3)
    labels = numbers["targets" if file == "ssul" else "labels"].long()
    if file == "ssul":
        labels = torch.where(labels == IGNORE, IGNORE, (labels - 1).clamp(min=0))
    return logits, labels, recorded


def found_by(method: Method, out: Output, target: Tensor) -> list[list[int]]:
    step = Scenario.parse("voc 15-1 overlap").steps[1]
    there = shown_labels(method.candidate_target(out, target, step), step.n_seen)
    return [[channel for channel in row.nonzero().flatten().tolist() if channel] for row in there]


def check(found: list[list[int]], recorded: dict[str, list[int]], form: str) -> None:
    ignored = (IGNORE - 1, IGNORE)
    own = {form.format(index): shown for index, shown in enumerate(found) if form.format(index) in recorded}
    assert len(own) > 5
    assert own == {name: [label for label in recorded[name] if label not in ignored] for name in own}


def test_ssul_m_takes_images_to_show_what_the_released_code_does() -> None:
    logits, target, recorded = candidates_of("ssul")
    check(found_by(SSULM(), Output(logits[:, 1:], logits[:, 1:], aux=logits), target), recorded, "im{:03d}")


def dkd_output(logits: Tensor) -> Output:
    """With the constant background in place of the auxiliary channel."""
    logits = torch.cat([torch.zeros_like(logits[:, :1]), logits[:, 1:]], 1)
    return Output(logits, logits)


def test_dkd_m_and_a_repaired_star_m_take_images_to_show_what_dkd_m_does() -> None:
    logits, target, recorded = candidates_of("dkd")
    form = "/JPEGImages/im{0:03d}.jpg /SegmentationClassAug/im{0:03d}.png"
    for method in (DKDM(), STARM(candidates="repaired")):
        check(found_by(method, dkd_output(logits), target), recorded, form)


def test_a_released_star_m_finds_classes_one_too_low_and_never_the_first() -> None:
    logits = torch.full((1, 5, 1, 4), -9.0)
    logits[0, [1, 2, 3, 4], 0, [0, 1, 2, 3]] = 9.0  # of each class a pixel
    target = torch.tensor([[[0, 0, 4, 0]]])
    step = Scenario.parse("voc 2-2 overlap").steps[1]
    assert STARM().candidate_target(Output(logits, logits), target, step).tolist() == [[[0, 1, 4, 3]]]
    right = STARM(candidates="repaired").candidate_target(Output(logits, logits), target, step)
    assert right.tolist() == [[[1, 2, 4, 4]]]


@pytest.mark.parametrize("case", ["voc_15_5", "voc_15_1_step2"])
def test_memory_targets_of_ssul_m_are_the_released_ones_or_right(case: str) -> None:
    numbers = part_of(numbers_of("later/ssul"), case)
    step = Scenario.parse("voc 15-5 overlap" if case == "voc_15_5" else "voc 15-1 overlap").steps[
        1 + (case != "voc_15_5")
    ]
    labels, n_seen = numbers["labels_full"].long(), step.n_seen

    def targets(method: SSULM, salient: bool) -> Tensor:
        (group,) = method.memory_images(Selection.of([0], step.lookup("seen")), step).groups
        table = group.salient if salient else group.lookup
        assert table is not None
        return with_unknown(torch.from_numpy(table.astype(np.int64))[labels], n_seen)

    assert torch.equal(targets(SSULM(), salient=False), numbers["target_memory_released"].long())
    seen = torch.where(torch.isin(labels, torch.tensor(step.seen)), labels, 0)  # later classes are background
    right = torch.where(labels == IGNORE, IGNORE, seen + 1)
    assert torch.equal(targets(SSULM(targets="repaired"), salient=False), right)
    assert torch.equal(targets(SSULM(targets="repaired"), salient=True), torch.where(right == 1, 0, right))
    assert salient_id(n_seen) == IGNORE - 1


@pytest.mark.parametrize("name", FORMS)
def test_a_form_with_a_memory_shares_step_0_and_has_the_papers_memory(name: str) -> None:
    with_memory, without = METHODS[name](), METHODS[FORMS[name]]()
    assert with_memory.first_step() == without.first_step()
    assert with_memory.first_step().first_step() == with_memory.first_step()
    memory = configure("voc 15-1 overlap", name, "paper").memory
    assert (memory.images, memory.choice, memory.mb) == (100, "balanced", None)
    assert (memory.labels, memory.mix) == (("seen", "half") if name == "ssul-m" else ("new", "beside"))
    assert configure("ade 100-50 overlap", name, "paper").memory.images == 300
    assert configure("voc 15-1 overlap", FORMS[name], "paper").memory.images is None


@pytest.mark.parametrize("name", FORMS)
def test_whole_runs_keep_and_use_images(name: str, tmp_path: Path, no_pictures: None) -> None:
    folder = run(small(tmp_path, "emoji 10-5 overlap", name, memory__images=20), progress=False)
    assert [len(folder.memory(index)) for index in range(3)] == [20, 20, 0]
    assert folder.ticks.filter(like="loss_").iloc[-1].notna().all()
    assert folder.summary["all"].between(0, 100).all()


@pytest.mark.parametrize("name", ["dkd-m", "star-m"])
def test_labels_of_old_classes_matter_where_a_method_takes_them(name: str, case: Callable[..., Case]) -> None:
    """They do not for DKD-M, so that it takes `memory.labels new` alone."""
    method = METHODS[name]()
    made = case(2, method)

    def terms(shown: int) -> dict[str, Tensor]:
        target = made.target.clone()
        target[:, 44:] = shown
        state = state_before(method, made.teacher, [(made.image, target)], made.step)
        context = StepContext(made.step, made.teacher, lambda: [(made.image, target)], state)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            batch = Batch(*made.outputs(), target, made.net, context, method.prepare(context))
            return {key: value_of(term) for key, term in method.losses(batch).items()}

    background, old_class = terms(0), terms(3)
    assert all(torch.equal(background[key], old_class[key]) for key in background) == (name == "dkd-m")
    assert (method.memory_labels == ("new",)) == (name == "dkd-m")


def test_what_only_a_net_can_find_too_much_costs_a_notice_and_not_the_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where twelve images are enough for 15 classes by the annotations, and not by what a perfect net sees in them."""
    few = {"data.scenes": 60, "data.val_scenes": 20, "data.size": 64, "optim.batch": 2, "memory.images": 12, "seed": 16}
    data = ScenarioData.open(configure("emoji 10-5 overlap", "dkd-m", "smoke", few))
    step = data.scenario.steps[1]
    before = to_state(check_memory(data, 0, {})[1])
    sees = data.mask_presence[0][step.trains_on(data.presence[0])][:, list(step.seen)]
    monkeypatch.setattr("plopkit.methods.remembering.recognised_by", lambda *_: sees)
    kept = from_state(remember(DKDM(), step, data, Segmenter.__new__(Segmenter), before))
    assert 0 < len(kept) <= 12
    assert "memory.images 12: no room for an image of each of the 15 classes" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no room for an image of each of the 15 classes"):
        choose(joined(from_state(before), candidates(data, step, sees)), data, data.settings.memory, step)
