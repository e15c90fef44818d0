"""UCD: MiB, and an uncertainty-aware contrast between pixels (Yang et al., TPAMI 2022)."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool
from pydantic import Field

from plopkit.catalogue import METHODS
from plopkit.contrast import check_released_labels, contrast_loss, contrast_pairs
from plopkit.datasets.steps import Selection
from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch, Method, State, Term, Whole
from plopkit.methods.distil import Unbiased
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step


class UCD(Unbiased):
    """MiB, and a contrast that draws pixels of a class together, in the teacher's features as well."""

    name = "ucd"
    title = "UCD"
    source = "Yang et al., TPAMI 2022"

    contrast: float = Field(0.01, ge=0, description="weight of the contrast")
    temperature: float = Field(0.07, gt=0, description="temperature of the contrast")
    labels: Literal["released", "nearest"] = Field(
        "released",
        description="how labels become small: interpolated as numbers, as in the released code (21 channels at most), "
        "or that of the nearest pixel",
    )
    negatives: Literal["released", "shifted"] = Field(
        "released",
        description="whether negatives weigh exp(1 / temperature) times as much as positives, as in the released code, "
        "or the same",
    )
    uncertainty: bool = Field(True, description="weight a pair of pixels by the teacher's probability of one class")
    freeze_first: bool = Field(
        True, description="never train the classifier of step 0, as in the released code; its step 0 is then its own"
    )

    def first_step(self) -> Method:
        """Fine-tuning, or with a frozen classifier the same for all other hyper-parameters."""
        return UCD() if self.freeze_first else METHODS["ft"]()

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        return self._with_first_frozen(super().build(encoder, decoder, n_seen))

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        return self._with_first_frozen(super().begin_step(before, step))

    def images(self, step: Step, presence: Bool[np.ndarray, "N ids"], state: State) -> Selection:
        """The protocol's.

        Raises:
            ValueError: the released labels end before the step's classes; found before anything is trained.
        """
        if self.labels == "released" and step.index:
            check_released_labels(step.n_seen)
        return super().images(step, presence, state)

    def _with_first_frozen(self, net: Segmenter) -> Segmenter:
        return net.freeze("classifier.0") if self.freeze_first else net

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        out, old = batch.out, batch.old
        if old is None:  # step 0
            return {"ce": cross_entropy(out.logits, batch.target).mean()}
        assert out.head is not None and old.head is not None
        pairs = contrast_pairs(out.head, old.head, old.small, batch.target, out.logits.shape[1], self.labels)
        value = contrast_loss(pairs, self.temperature, self.negatives, self.uncertainty)
        return {**super().losses(batch), "contrast": Whole(self.contrast * value)}
