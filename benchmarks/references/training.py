"""One PLOP iteration as published, with the forward passes in any precision."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from benchmarks.references import pod, pseudo
from benchmarks.references.net import cross_entropy


class PlainTraining:
    """Trains `net` after `teacher`; `iterate` is one iteration.

    Args:
        net, teacher: nets that give (logits, small logits, maps); the teacher is frozen.
        optimizer: of the net's parameters.
        n_old, n_seen: channels of the teacher and of the net.
        weights: of POD on maps and on logits.
        precision: "fp32", "bf16" or "fp16", for autocast.
    """

    def __init__(
        self,
        net: nn.Module,
        teacher: nn.Module,
        optimizer: torch.optim.Optimizer,
        n_old: int,
        n_seen: int,
        weights: tuple[float, float] = (0.01, 0.0005),
        precision: str = "fp32",
    ):
        self.net, self.teacher, self.optimizer = net.train(), teacher.eval().requires_grad_(False), optimizer
        self.n_old, self.n_seen, self.weights = n_old, n_seen, weights
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.device = next(net.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.floor = 0.001
        self.thresholds: Tensor | None = None

    def autocast(self) -> torch.autocast:
        """Half precision for the forward passes, or none."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @torch.no_grad()
    def prepare(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """The thresholds, from one pass of the teacher."""
        with self.autocast():
            predicted = ((self.teacher(image).logits.float(), target) for image, target in batches)
            self.thresholds = pseudo.thresholds(predicted, self.n_old, self.n_seen, self.floor)
        return self.thresholds

    def iterate(self, image: Tensor, target: Tensor) -> dict[str, float]:
        """One iteration; the loss terms by name."""
        if self.thresholds is None:
            raise ValueError("prepare comes first")
        with self.autocast():
            with torch.no_grad():
                old = self.teacher(image)
            out = self.net(image)
        labels, factor = pseudo.pseudo_label(old.logits.float(), target, self.n_old, self.thresholds)
        ce = (factor[:, None, None] * cross_entropy(out.logits.float(), labels)).mean()
        distilled = pod.loss(out.maps, old.maps, out.small, old.small, self.weights)
        self.optimizer.zero_grad()
        self.scaler.scale(ce + distilled).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {"ce": ce.item(), "pod": distilled.item()}
