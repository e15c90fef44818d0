"""Classifiers: from the decoder's map to a channel per class, growing with every step."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

Kind = TypeVar("Kind")

CLASSIFIERS: dict[str, type["Classifier"]] = {}
"""By the name that a checkpoint keeps; a subclass of `Classifier` is registered under its `kind`."""


class Classifier(nn.ModuleList):
    """One 1x1 convolution per step; their outputs are the net's channels, for a softmax. Channel 0 is the background.

    A subclass names itself, `class Sigmoid(Classifier, kind="sigmoid")`, so that a checkpoint can say which it needs.
    If its constructor takes more than these arguments, its `recipe` holds them too.

    Args:
        width: channels of the decoder's map.
        classes: channels that each step brings, the background among those of step 0.

    Raises:
        ValueError: where a step brings none.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str, **options: Any):
        super().__init_subclass__(**options)
        cls.kind = kind
        CLASSIFIERS[kind] = cls

    def __init__(self, width: int, classes: Sequence[int]):
        if not classes or min(classes) < 1:
            raise ValueError(f"classes are the channels of each step, at least one, not {tuple(classes)}")
        super().__init__(nn.Conv2d(width, n, 1) for n in classes)

    @property
    def classes(self) -> tuple[int, ...]:
        """Channels of each step."""
        return tuple(step.out_channels for step in self)  # type: ignore[misc]

    def forward(self, features: Float[Tensor, "B width h w"]) -> Float[Tensor, "B C h w"]:
        return torch.cat([step(features) for step in self], 1)

    def grow(self, n_new: int, balanced: bool = True) -> None:
        """Add a step of ``n_new`` channels in place.

        balanced: MiB's initialisation (Cermelli et al., CVPR 2020, eq. 10): every new channel takes the background's
        weight, and its bias − ln(n_new + 1), as does the background itself. The background's probability is shared
        evenly, and every old class keeps its own exactly. Otherwise the new channels start at random.
        """
        if n_new < 1:
            raise ValueError(f"a step adds at least one channel, not {n_new}")
        first: nn.Conv2d = self[0]  # type: ignore[assignment]
        new = nn.Conv2d(first.in_channels, n_new, 1).to(first.weight)
        if balanced:
            with torch.no_grad():
                assert first.bias is not None and new.bias is not None
                first.bias[0] -= math.log(n_new + 1)
                new.weight.copy_(first.weight[:1].expand_as(new.weight))
                new.bias.copy_(first.bias[0].expand_as(new.bias))
        self.append(new)

    def recipe(self) -> dict[str, Any]:
        """The arguments that rebuild it, as plain values."""
        return {"kind": self.kind, "classes": list(self.classes)}

    @staticmethod
    def from_recipe(recipe: dict[str, Any], width: int) -> "Classifier":
        """The classifier that `recipe` described, with new weights; ValueError where its kind is unknown."""
        arguments = dict(recipe)
        return known_kind(CLASSIFIERS, arguments.pop("kind"), "classifier")(width, **arguments)


Classifier.kind = "softmax"
CLASSIFIERS["softmax"] = Classifier


def known_kind(kinds: Mapping[str, type[Kind]], kind: str, what: str) -> type[Kind]:
    """The class of this kind; ValueError where nothing has defined it."""
    if kind not in kinds:
        raise ValueError(
            f"the net has a {what} {kind!r}, which nothing has defined; known: {', '.join(kinds)}; load the file that "
            "defines it: --plugin FILE, or plopkit.load_plugin(FILE)"
        )
    return kinds[kind]
