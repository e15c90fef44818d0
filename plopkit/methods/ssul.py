"""SSUL: a frozen net with a head per step, and a channel for what is unknown (Cha et al., NeurIPS 2021)."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor, nn

from plopkit.datasets.steps import Selection
from plopkit.losses import binary_cross_entropy
from plopkit.memory import one_class_off, recognised
from plopkit.methods.base import Batch, Method, Schedule, State, Term
from plopkit.methods.sigmoid import FixedNorms, group
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.norms import norm_names
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.unknown import BACKGROUND, UNKNOWN, Heads, WithUnknown
from plopkit.scenario import Step, ignored_id
from plopkit.settings import Optim
from plopkit.support.precision import at_least_float32
from plopkit.unknown import THRESHOLD, salient_id, with_pseudo_labels, with_unknown

FLOOR = 1e-6
"""Least learning rate without a warm-up."""


class WithUnknownChannel(FixedNorms):
    """What SSUL does without and with a memory. Not a method itself: it has no name."""

    uses_saliency = True

    threshold: float = Field(THRESHOLD, ge=0, le=1, description="least probability of a pseudo-label")
    encoder_lr: float = Field(0.1, gt=0, description="rate of the encoder in step 0, relative to optim.lr")
    background_lr: float = Field(
        1e-4, gt=0, description="rate of the background's head later, relative (none is below 1e-6 without a warm-up)"
    )

    def first_step(self) -> Method:
        """The same for all hyper-parameters of later steps."""
        return self.without("threshold", "background_lr")

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        encoder, aspp = self.prepared_parts(encoder, decoder, last=False)
        return WithUnknown.from_parts(encoder, aspp, Heads(aspp.width, (n_seen,), encoder.slope))

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        """The new head is a copy of the unknown's; encoder, decoder and old heads are frozen, but dropout stays on.

        Raises:
            ValueError: for a net of another kind.
        """
        if not isinstance(before, WithUnknown):
            raise ValueError(f"SSUL continues a net of its own kind, with an unknown channel, not a {before.kind!r}")
        net = before.grown(len(step.new))
        end: Any = net.decoder.last
        if self.dropout or len(end):  # a net that was given may have another one
            end.add_module("dropout", nn.Dropout(self.dropout))
        old = (f"classifier.{number}" for number in range(2, len(net.classifier) - 1))
        return net.freeze(["encoder", "decoder", *old], norms=False).freeze(norm_names(net))

    def schedule(self, optim: Optim, step: Step) -> Schedule:
        """That of the settings, with SSUL's floor where there is no warm-up."""
        usual = super().schedule(optim, step)
        return usual if optim.warmup else usual._replace(floor=FLOOR)

    def images(self, step: Step, presence: Bool[np.ndarray, "N ids"], state: State) -> Selection:
        """The protocol's; the background that is salient has a target of its own.

        Raises:
            ValueError: that target would be a channel.
        """
        if (number := salient_id(step.n_seen)) < step.n_seen:
            raise ValueError(
                f"SSUL needs the target {number} for what is unknown, and step {step.index} has that channel"
            )
        return super().images(step, presence, state).with_salient(number)

    def parameter_groups(self, net: Segmenter, step: Step) -> list[dict[str, Any]]:
        if not step.index:
            return [group([net.encoder], self.encoder_lr), group([net.decoder, net.classifier], 1.0)]
        heads = list(net.classifier)
        return [
            group([heads[-1]], 1.0),
            group([heads[UNKNOWN]], 1.0),
            group([heads[BACKGROUND]], self.background_lr),
        ]

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        """The sum over channels of the binary cross-entropy, a mean over the pixels of a batch that are not ignored."""
        logits, n_seen = batch.out.aux, batch.out.logits.shape[1]
        target = with_unknown(batch.target, n_seen)
        if batch.old is not None:
            target = with_pseudo_labels(target, batch.old.aux, self.threshold)
        valid = target != ignored_id(n_seen + 1)
        return {"bce": (binary_cross_entropy(logits, target).sum(), valid.sum())}


class SSUL(WithUnknownChannel):
    """Binary decisions in a frozen net: only a new head learns, and what is salient or unlabelled is unknown."""

    name = "ssul"
    title = "SSUL"
    source = "Cha et al., NeurIPS 2021"


class SSULM(WithUnknownChannel):
    """SSUL with a memory, whose images show all classes seen so far."""

    name = "ssul-m"
    title = "SSUL-M"
    source = "Cha et al., NeurIPS 2021"
    allows_memory = True

    targets: Literal["released", "repaired"] = Field(
        "released", description="classes of memory images: one class off, as in the released code, or the right ones"
    )

    def first_step(self) -> Method:
        """SSUL's, so that both share it."""
        return self.first_step_of(SSUL)

    def memory_images(self, kept: Selection, step: Step) -> Selection:
        """Right, or one class off: the background is unknown then, salient or not."""
        unknown = salient_id(step.n_seen)
        if self.targets == "repaired":
            return kept.with_salient(unknown)
        return kept.with_targets(lambda lookup: one_class_off(lookup, unknown))

    def candidate_target(self, out: Output, target: Int[Tensor, "B H W"], step: Step) -> Int[Tensor, "B H W"]:
        """The target, with the old classes that the net labels on its background."""
        probabilities = at_least_float32(out.aux).sigmoid()
        no_class = probabilities[:, :2].amax(dim=1, keepdim=True)  # unknown, and background
        return recognised(torch.cat([no_class, probabilities[:, 2:]], dim=1), target, self.threshold)
