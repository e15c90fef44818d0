"""Two branches of convolution and norm in the place of one (RCIL, Zhang et al., CVPR 2022).

Branch j computes `y_j = f_j (w_j ∗ x − μ_j) + β_j`, where `f_j` is the norm's scale over `√(v_j + ε)`. The scale is
`|γ_j| + ε` for an ABN and `γ_j` for a plain batch norm. The two are mixed channel by channel, the same for all images:
in training a number u is drawn for each channel in each forward pass, and the channel is y_1 where u < 0.33, y_2 where
u < 0.66, else their mean; in evaluation the mean. The activation follows the mixture.

In evaluation the mean is one convolution K with one bias b, into which the branches are merged:

    K = ½ Σ_j f_j w_j        b = ½ Σ_j (β_j − f_j μ_j).
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.abn import Activated
from plopkit.model.decoder import Parallel
from plopkit.model.pairs import scale_of

FIRST_ALONE, ONE_ALONE = 0.33, 0.66
"""Below the first of these a number chooses branch 1, below the second branch 2, and beyond it their mean."""

Merge = Literal["released", "exact"]


def mixed(
    first: Float[Tensor, "B C h w"], second: Float[Tensor, "B C h w"], draws: Float[Tensor, " C"]
) -> Float[Tensor, "B C h w"]:
    """Two branches mixed in training, by a number in [0, 1) for each channel."""
    share = torch.where(draws < FIRST_ALONE, 1.0, torch.where(draws < ONE_ALONE, 0.0, 0.5))
    return torch.lerp(second, first, share.to(first.dtype)[:, None, None])


class TwoBranch(nn.Module):
    """Two branches of convolution and norm: (B, C, H, W) -> (B, D, h, w), before the activation.

    Branch 1 is ``conv`` and ``norm``, branch 2 ``conv_new`` and ``norm_new``, which begins as a copy.

    Args:
        conv: a convolution, or `Parallel` convolutions whose outputs are joined.
        norm: its norm, without an activation.
    """

    conv: Any
    conv_new: Any
    norm: Any
    norm_new: Any

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        if not isinstance(conv, nn.Conv2d | Parallel) or scale_of(norm) is None:
            raise TypeError(f"two branches are made of a convolution and its norm, not of {conv} and {norm}")
        self.conv, self.norm = conv, norm
        self.conv_new, self.norm_new = copy.deepcopy(conv), copy.deepcopy(norm)
        self.draws: Tensor | None = None
        """the numbers that mix the channels, (D,); None draws new ones in each forward pass"""

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        first, second = self.norm(self.conv(x)), self.norm_new(self.conv_new(x))
        if not self.training:
            return torch.add(first, second).mul_(0.5)
        drawn = torch.rand(first.shape[1], device=first.device) if self.draws is None else self.draws
        return mixed(first, second, drawn)

    @torch.no_grad()
    def merge(self, how: Merge = "released") -> None:
        """Let branch 1 be both branches merged, in place.

        Branch 1's convolution becomes K. Its norm, which is meant to stay in evaluation mode, adds b and does nothing
        else.

        Args:
            how: "released" leaves branch 2 as it is. The function is *not* kept: before, branch 1 counted ½; now its
                old function counts ¼, and that of branch 2 ¾. "exact" lets branch 2 begin at the merged function as
                well, so that every mixture of the branches is that function in evaluation mode. Branch 2 is normalised
                by its batches in training, so its norm needs a mean and a variance: see `_statistics`.
        """
        weights, bias = self.merged_kernels()
        if how == "exact":
            mean, var = self._statistics(weights)
        else:
            mean, var = torch.zeros_like(bias), torch.full_like(bias, 1 - self.norm.eps)
        _set(self.conv, self.norm, weights, bias, mean, var)
        if how == "exact":
            _set(self.conv_new, self.norm_new, weights, bias, mean, var)

    @torch.no_grad()
    def merged(self) -> tuple[nn.Module, nn.Module]:
        """A convolution and a norm that compute in evaluation mode what both branches do. They are copies."""
        conv, norm = copy.deepcopy(self.conv), copy.deepcopy(self.norm)
        weights, bias = self.merged_kernels()
        _set(conv, norm, weights, bias, torch.zeros_like(bias), torch.full_like(bias, 1 - norm.eps))
        return conv, norm

    @torch.no_grad()
    def merged_kernels(self) -> tuple[list[Tensor], Float[Tensor, " D"]]:
        """K for each of the convolutions, and b for all channels."""
        first, second = (_half_kernels(conv, norm) for conv, norm in self._branches())
        return [a + b for a, b in zip(first[0], second[0], strict=True)], first[1] + second[1]

    def _branches(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        return (self.conv, self.norm), (self.conv_new, self.norm_new)

    def _statistics(self, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and variance that K ∗ x should have, by channel.

        The mean follows from those of w_j ∗ x. The variance does not; it is that of K ∗ x if x varies alike in all
        directions, as strongly as the branches' variances say: ‖K‖² times the mean of v_j / ‖w_j‖².
        """
        mean, strengths = torch.zeros_like(self.norm.running_mean), []
        for conv, norm in self._branches():
            mean = mean + 0.5 * _factor(norm) * (norm.running_mean - _bias(conv))
            squared = _joined(conv, lambda convolution: convolution.weight.square().sum((1, 2, 3)))
            strengths.append(norm.running_var / squared.clamp(min=torch.finfo(squared.dtype).tiny))
        squared = torch.cat([weight.square().sum((1, 2, 3)) for weight in weights])
        return mean, (squared * torch.stack(strengths).mean(0)).clamp(min=self.norm.eps)


def convolutions_of(conv: nn.Module) -> Iterable[Any]:
    """The convolution itself, or each of those in parallel."""
    return [conv] if isinstance(conv, nn.Conv2d) else conv.children()


def _half_kernels(conv: Any, norm: Any) -> tuple[list[Tensor], Tensor]:
    """½ f w for each convolution, and ½ (β − f (μ − the convolutions' own bias))."""
    half = 0.5 * _factor(norm)
    convolutions = list(convolutions_of(conv))
    shares = half.split([convolution.out_channels for convolution in convolutions])
    pairs = zip(convolutions, shares, strict=True)
    weights = [convolution.weight * share[:, None, None, None] for convolution, share in pairs]
    return weights, 0.5 * norm.bias - half * (norm.running_mean - _bias(conv))


def _factor(norm: Any) -> Tensor:
    return scale_of(norm) / (norm.running_var + norm.eps).sqrt()


def _bias(conv: Any) -> Tensor:
    return _joined(conv, lambda c: c.weight.new_zeros(c.out_channels) if c.bias is None else c.bias)


def _joined(conv: Any, of: Callable[[Any], Tensor]) -> Tensor:
    return torch.cat([of(convolution) for convolution in convolutions_of(conv)])


def _set(conv: Any, norm: Any, weights: list[Tensor], bias: Tensor, mean: Tensor, var: Tensor) -> None:
    """Let convolution and norm compute K ∗ x + b in evaluation mode, with these statistics."""
    for convolution, weight in zip(convolutions_of(conv), weights, strict=True):
        convolution.weight.copy_(weight)
        if convolution.bias is not None:
            convolution.bias.zero_()
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    own = norm.eps if isinstance(norm, Activated) else 0.0  # what such a norm adds to its weight
    norm.weight.copy_((norm.running_var + norm.eps).sqrt() - own)
    norm.bias.copy_(bias + mean)
