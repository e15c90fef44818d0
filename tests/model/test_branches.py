"""Two branches: the released block and head, how they are mixed, and what merging does to the function."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from comparing import close
from drawing import draw
from released import later_case, part_of
from torch import Tensor, nn

from plopkit.model.abn import ABN
from plopkit.model.branches import TwoBranch, mixed
from plopkit.model.decoder import Parallel
from plopkit.model.released_branches import load_released, merge_released, released_block, released_head
from plopkit.model.resnet import Bottleneck

BLOCKS = pytest.mark.parametrize("case", ["block", "block_identity"])


def activated(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.01)


def block_of(case: str) -> tuple[Bottleneck, dict[str, Tensor]]:
    numbers = later_case("rcil", case)
    return released_block(part_of(numbers, "state"), int(numbers["stride"]), int(numbers["dilation"])), numbers


@BLOCKS
@torch.no_grad()
def test_the_released_block_in_evaluation(case: str) -> None:
    block, numbers = block_of(case)
    x, branches = numbers["x"], block.conv2
    inner = block.bn1(block.conv1(x))
    close(branches.norm(branches.conv(inner)), numbers["eval_branch1"])
    close(branches.norm_new(branches.conv_new(inner)), numbers["eval_branch2"])
    close(activated(block(x)), numbers["eval_activated"])


@BLOCKS
@torch.no_grad()
def test_the_released_block_in_training(case: str) -> None:
    numbers = later_case("rcil", case)
    options = int(numbers["stride"]), int(numbers["dilation"])
    block = released_block(part_of(numbers, "state"), *options, numbers["train_r"])
    close(activated(block(numbers["x"])), numbers["train_activated"])
    close(block.conv2.norm.running_mean, numbers["train_after/convs.bn2.running_mean"])
    close(block.conv2.norm_new.running_mean, numbers["train_after/convs.bn2_new.running_mean"])


@BLOCKS
@torch.no_grad()
def test_the_released_block_merged_twice(case: str) -> None:
    numbers = later_case("rcil", case)
    for step, trained in ((1, ()), (2, (part_of(numbers, "trained_2"),))):
        block = merge_released(block_of(case)[0], *trained)
        close(block.conv2.conv.weight, numbers[f"merged_{step}/conv2.weight"])
        close(block.conv2.norm.bias, numbers[f"merged_{step}/conv2.bias"])
        close(activated(block(numbers["x"])), numbers[f"merged_{step}/eval_activated"])


@torch.no_grad()
def test_the_released_head() -> None:
    numbers = later_case("rcil", "head")
    head = released_head(part_of(numbers, "state"))
    close(activated(head(numbers["x"]))[:, ::16], numbers["before_reduction_eval"])
    merge_released(head)
    width = len(numbers["merged_1/map_convs.0.bias"])
    for index, convolution in enumerate(head.conv):
        close(convolution.weight, numbers[f"merged_1/map_convs.{index}.weight"])
        close(head.norm.bias[index * width : (index + 1) * width], numbers[f"merged_1/map_convs.{index}.bias"])


def test_other_names_than_the_released_ones_are_refused() -> None:
    block, _ = block_of("block")
    with pytest.raises(ValueError, match=r"no tensor of this part is named 'conv3\.weight'; names begin with convs\."):
        load_released(block, {"conv3.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"this part has no tensors conv4\.weight"):
        load_released(block, {"convs.conv4.weight": torch.zeros(1)})


def test_a_number_for_each_channel_chooses_a_branch_or_the_mean() -> None:
    first, second = draw(1, 2, 6, 3, 3), draw(2, 2, 6, 3, 3)
    found = mixed(first, second, torch.tensor([0.0, 0.3299, 0.33, 0.6599, 0.66, 0.9999]))
    for channel, expected in enumerate([first, first, second, second, (first + second) / 2, (first + second) / 2]):
        close(found[:, channel], expected[:, channel])


def branches_of(kind: str, changed: bool = True) -> TwoBranch:
    """Branches with statistics, scales of both signs and shifts unlike each other's, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        conv = {
            "dense": lambda: nn.Conv2d(4, 6, 3, padding=1, bias=False),
            "biased": lambda: nn.Conv2d(4, 6, 3, padding=1),
            "depthwise": lambda: nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False),
            "parallel": lambda: Parallel([nn.Conv2d(4, 2, 1), nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False)]),
        }[kind]()
        branches = TwoBranch(conv, ABN(6, "identity") if kind in ("dense", "parallel") else nn.BatchNorm2d(6))
        for parameter in branches.parameters():
            parameter.data += 0.5 * torch.randn_like(parameter) if changed else 0
        for norm in (branches.norm, branches.norm_new):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return branches.eval()


KINDS = pytest.mark.parametrize("kind", ["dense", "biased", "depthwise", "parallel"])


@KINDS
@torch.no_grad()
def test_merged_branches_compute_the_same(kind: str) -> None:
    branches, x = branches_of(kind), draw(0, 2, 6 if kind == "depthwise" else 4, 7, 7)
    expected = branches(x)
    conv, norm = branches.merged()
    close(norm(conv(x)), expected)
    close(branches(x), expected)  # unchanged
    branches.merge("exact")
    close(branches(x), expected)
    for _ in range(2):
        branches.merge("exact")  # also when branch 1 comes from an earlier merge
    close(branches(x), expected)
    for draws in torch.linspace(0, 0.99, 4):  # each branch alone, too
        first, second = branches.norm(branches.conv(x)), branches.norm_new(branches.conv_new(x))
        close(mixed(first, second, draws.expand(6)), expected)


@KINDS
@torch.no_grad()
def test_the_released_merge_does_not_keep_the_function(kind: str) -> None:
    """The old branches count a quarter and three quarters, where they counted a half each."""
    branches, x = branches_of(kind), draw(0, 2, 6 if kind == "depthwise" else 4, 7, 7)
    first, second = branches.norm(branches.conv(x)), branches.norm_new(branches.conv_new(x))
    branches.merge()
    close(branches(x), 0.25 * first + 0.75 * second)
    close(branches.norm(branches.conv(x)), (first + second) / 2)
    close(branches.norm_new(branches.conv_new(x)), second)


@torch.no_grad()
def test_an_exact_merge_has_the_statistics_of_its_output() -> None:
    """So branch 2 computes nearly the same with the statistics of a batch, where its input varies in all directions."""
    branches = branches_of("dense").train()
    x = draw(5, 64, 4, 12, 12)
    for norm in (branches.norm, branches.norm_new):
        norm.momentum = 1.0
    branches(x)
    branches.eval()
    expected = branches(x)
    branches.merge("exact")
    y = branches.conv_new(x)
    torch.testing.assert_close(branches.norm_new.running_mean, y.mean((0, 2, 3)), rtol=0, atol=0.02)
    torch.testing.assert_close(branches.norm_new.running_var, y.var((0, 2, 3)), rtol=0.2, atol=0)
    branches.norm_new.train()
    difference = branches.norm_new(y) - expected
    assert difference.std() < 0.1 * expected.std()


def test_training_draws_new_numbers_for_all_images_alike() -> None:
    branches = branches_of("dense").train()
    branches.norm.eval(), branches.norm_new.eval()
    x = draw(0, 1, 4, 5, 5).expand(3, -1, -1, -1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = [branches(x) for _ in range(5)]
        torch.manual_seed(0)
        assert torch.equal(branches(x), found[0])
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(found))
    for output in found:
        close(output[1], output[0], atol=1e-6)


def test_branches_need_a_convolution_and_its_norm() -> None:
    with pytest.raises(TypeError, match="made of a convolution and its norm"):
        TwoBranch(nn.Linear(2, 2), nn.BatchNorm2d(2))
    with pytest.raises(TypeError, match="made of a convolution and its norm"):
        TwoBranch(nn.Conv2d(2, 2, 3), nn.Identity())
