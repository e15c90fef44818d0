"""A step's net over its validation images: confusion matrices, in the protocol `domain` one for each domain seen."""

from collections.abc import Callable

import numpy as np
from accelerate import Accelerator
from torch import Tensor

from plopkit.compute import summed
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.model.segmenter import Segmenter
from plopkit.runs.progress import Progress
from plopkit.scenario import Step
from plopkit.trainer import evaluate

ALL = ""
"""The name under which all images are counted where there are no domains."""


def counts_by_domain(
    net: Segmenter,
    data: ScenarioData,
    step: Step,
    predict: Callable[[Tensor], Tensor],
    accelerator: Accelerator,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Confusion matrices (n_seen, n_seen) by domain, summed over processes; rows are targets.

    They add up to that of the step; without domains there is that one alone, under `ALL`.
    """
    shard = (accelerator.process_index, accelerator.num_processes)
    counts = {}
    for domain in step.seen_domains or (ALL,):
        loader = data.eval_loader(step, shard, domain)
        title = f"step {step.index}: evaluation{domain and f', {domain}'}"
        own = evaluate(net, progress(loader, title, len(loader)), step.n_seen, predict)
        counts[domain] = summed(own.to(accelerator.device), accelerator).cpu().numpy()
    return counts
