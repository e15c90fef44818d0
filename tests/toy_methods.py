"""Five methods that use every verb: small, and not meant to be good.

A test registers them; as a file they are also a plugin.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from plopkit.datasets.steps import Selection
from plopkit.losses import cross_entropy
from plopkit.methods import Method, State, StepContext
from plopkit.methods.base import Batch, Term
from plopkit.model.classifiers import Classifier
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import IGNORE, Step


class Fused(Method):
    """The weights after a step are the mean of those before and after it."""

    name, title, source = "toy-fused", "fused", "a test"

    share: float = Field(0.5, ge=0, le=1, description="share of the new weights")

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"ce": cross_entropy(batch.out.logits, batch.target).mean()}

    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        if context.teacher is not None:
            old = dict(context.teacher.named_parameters())
            with torch.no_grad():
                for name, parameter in net.named_parameters():
                    if name in old:
                        parameter.lerp_(old[name], 1 - self.share)
        return net, {}


class Frozen(Method):
    """Only the new classifier is trained, at half the rate, without weight decay on its bias."""

    name, title, source = "toy-frozen", "frozen", "a test"

    def teacher(self, before: Segmenter, step: Step) -> None:
        return None

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        net = before.grown(len(step.new), balanced=False)
        old = [f"classifier.{index}" for index in range(step.index)]
        return net.freeze(["encoder", "decoder", *old])

    def parameter_groups(self, net: Segmenter, step: Step) -> list[dict[str, Any]]:
        if step.index == 0:
            return super().parameter_groups(net, step)
        new = net.classifier[-1]
        return [
            {"params": [new.weight], "lr_scale": 0.5},
            {"params": [new.bias], "lr_scale": 0.5, "weight_decay": 0.0},
        ]

    def losses(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """The mean over labelled pixels, however many there are in a part of the batch or in a process."""
        labelled = batch.target != IGNORE
        return {"ce": (cross_entropy(batch.out.logits, batch.target).sum(), labelled.sum())}


class Prototypes(Method):
    """A mean feature for every class, gathered after each step; the classifier must still know those of old classes."""

    name, title, source = "toy-prototypes", "prototypes", "a test"

    weight: float = Field(0.1, ge=0, description="of the cross-entropy of prototypes")

    def teacher(self, before: Segmenter, step: Step) -> None:
        return None

    def losses(self, batch: Batch) -> dict[str, Term]:
        """A sum and a count that see the whole net, and a mean that sees the classifier alone."""
        labelled = batch.target != IGNORE
        ce: dict[str, Term] = {"ce": (cross_entropy(batch.out.logits, batch.target).sum(), labelled.sum())}
        state = batch.context.state
        if "prototypes" not in state:
            return ce
        prototypes = state["prototypes"].to(batch.target.device)
        logits = batch.net.classify(prototypes[:, :, None, None])[:, :, 0, 0]
        known = (state["counts"] > 0).to(batch.target.device)
        expected = torch.arange(len(prototypes), device=logits.device)
        return ce | {"replay": self.weight * F.cross_entropy(logits[known], expected[known])}

    @torch.no_grad()
    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        n_seen, width = context.step.n_seen, net.decoder.width
        device = next(net.parameters()).device
        table = torch.zeros(n_seen, width + 1, device=device)
        training = net.training
        net.eval()
        for image, target in context.batches():
            head = net(image).head
            assert head is not None
            small = F.interpolate(target[:, None].float(), head.shape[2:], mode="nearest-exact")[:, 0].long()
            features = torch.cat([head.movedim(1, 3).flatten(0, 2), torch.ones(small.numel(), 1, device=device)], 1)
            mask = small.flatten() != IGNORE
            table.index_add_(0, small.flatten()[mask], features[mask])
        net.train(training)
        table = context.reduce(table)
        means, counts = table[:, :-1] / table[:, -1:].clamp(min=1), table[:, -1]
        if "prototypes" in context.state:  # the old classes are background in this step's targets
            n_old = context.step.n_old
            means[:n_old], counts[:n_old] = context.state["prototypes"].to(device), context.state["counts"].to(device)
        return net, {"prototypes": means, "counts": counts}


class Rehearsal(Method):
    """Keeps images of earlier steps and trains on them with all labels seen so far."""

    name, title, source = "toy-memory", "memory", "a test"

    per_step: int = Field(8, ge=1, description="images kept of each step")

    def teacher(self, before: Segmenter, step: Step) -> None:
        return None

    def images(self, step: Step, presence: np.ndarray, state: State) -> Selection:
        own = Selection.protocol(step, presence)
        kept = state.get("memory")
        return own if kept is None else own + Selection.of(kept.numpy(), step.lookup("seen"))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"ce": cross_entropy(batch.out.logits, batch.target).mean()}

    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        assert context.selection is not None
        own = torch.from_numpy(context.selection.groups[0].indices)
        earlier = context.state.get("memory", own[:0])
        return net, {"memory": torch.cat([earlier, own[: self.per_step]])}


class SigmoidClassifier(Classifier, kind="toy-sigmoid"):
    """Binary decisions; the background's logit is 0, so that it wins where no sigmoid exceeds 0.5."""

    def forward(self, features: Tensor) -> Tensor:
        logits = super().forward(features)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits[:, 1:]], 1)


class Sigmoid(Method):
    """A sigmoid head from step 0 on."""

    name, title, source = "toy-sigmoid", "sigmoid", "a test"

    def build(self, encoder: nn.Module, decoder: nn.Module, n_seen: int) -> Segmenter:
        return Segmenter.from_parts(encoder, decoder, SigmoidClassifier(decoder.width, (n_seen,)))

    def teacher(self, before: Segmenter, step: Step) -> None:
        return None

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        return before.grown(len(step.new), balanced=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        labelled = batch.target != IGNORE
        hot = F.one_hot(torch.where(labelled, batch.target, 0), batch.out.logits.shape[1]).movedim(3, 1)[:, 1:]
        bce = F.binary_cross_entropy_with_logits(batch.out.logits[:, 1:], hot.float(), reduction="none").sum(1)
        return {"bce": (bce * labelled).mean()}

    def predict(self, logits: Tensor) -> Tensor:
        """Background where no sigmoid exceeds 0.5."""
        best, channel = logits[:, 1:].sigmoid().max(1)
        return torch.where(best > 0.5, channel + 1, 0)


TOYS: dict[str, type[Method]] = {kind.name: kind for kind in (Fused, Frozen, Prototypes, Rehearsal, Sigmoid)}
