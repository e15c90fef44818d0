"""DFT*: fine-tuning of the new classifier alone, in a net that has the classifiers of all steps from the start."""

from torch import Tensor

from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch
from plopkit.methods.baselines import WithoutTeacher
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.reserved import Reserved
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Scenario, Step, ignored_id


class DFT(WithoutTeacher):
    """Trains the new classifiers alone, among those of all steps, allocated from the start; all else is frozen."""

    name = "dft"
    title = "DFT*"
    source = "arXiv 2508.04267"
    allows_memory = True

    def first_net(self, encoder: Encoder, decoder: Decoder, scenario: Scenario) -> Segmenter:
        """The net of `Method.build`, with a classifier for each later step."""
        first, *later = (len(step.new) for step in scenario.steps)
        return Reserved.from_parts(encoder, decoder, Classifier(decoder.width, (first,)), later)

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        """Encoder, decoder and old classifiers are frozen with their norms' statistics; later classifiers still learn
        that the images are not of their classes.

        A net without reserved classifiers gets a new one, at random.
        """
        net = before.grown(len(step.new), balanced=False)
        old = (f"classifier.{index}" for index in range(len(before.classes)))
        return net.freeze(["encoder", "decoder", *old])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy whose softmax is over the channels of all steps, to come as well."""
        out, target = batch.out, batch.target
        logits = out.logits if out.aux is None else out.aux
        ignored = ignored_id(out.logits.shape[1])
        if (wide := ignored_id(logits.shape[1])) != ignored:  # more than 255 channels with those to come
            target = target.masked_fill(target == ignored, wide)
        return {"ce": cross_entropy(logits, target).mean()}
