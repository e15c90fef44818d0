"""The protocol `domain`: steps with the same labels and images that come from elsewhere."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from plopkit.catalogue import DATASETS
from plopkit.grammar import DOMAIN, step_sizes
from plopkit.step import Step


def domain_steps(dataset: str, task: str, order: Sequence[int]) -> tuple[Step, ...]:
    """The steps of the protocol `domain`: all learn the same labels, each from images of other domains.

    Args:
        dataset: A name in `plopkit.catalogue.DATASETS`.
        task: Its numbers count domains.
        order: All labels of the data set in the order of the channels.
    """
    domains = DATASETS[dataset].domains
    unlearnt = () if DATASETS[dataset].has_background else (0,)
    labels = tuple(order[len(unlearnt) :])
    ends = np.cumsum([0, *step_sizes(task, len(domains))]).tolist()
    return tuple(
        Step(
            index,
            DOMAIN,
            () if index else labels,
            labels if index else (),
            (),
            domains[start:end],
            domains[:start],
            domains[end:],
            unlearnt,
        )
        for index, (start, end) in enumerate(pairwise(ends))
    )


def with_domains(
    presence: npt.NDArray[np.bool_], of_images: Sequence[str], domains: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Add the domain that each image comes from to a table of labels: the protocol `domain`.

    Args:
        presence: (N, 256) bool, the labels that each mask has.
        of_images: (N,) the domain of each image.
        domains: The scenario's domains, in the order learnt.

    Returns:
        (N, 256 + number of domains) bool.

    Raises:
        ValueError: There is not one domain for each image.
    """
    if len(of_images) != len(presence):
        raise ValueError(f"there are {len(presence)} images, and domains of {len(of_images)}")
    return np.hstack([presence, np.asarray(of_images)[:, None] == np.asarray(domains)[None]])
