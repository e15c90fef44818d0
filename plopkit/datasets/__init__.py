"""The data sets: sources of images with masks, and how a scenario's steps use them."""

from typing import TYPE_CHECKING

from plopkit.catalogue import DATASETS
from plopkit.datasets.source import Pair, Source
from plopkit.scenario import Scenario
from plopkit.settings import Data
from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


__all__ = ["Pair", "Source", "open_for", "open_split"]


def open_split(dataset: str, split: str, data: Data, seed: int = 0) -> Source:
    """Open the training ("train") or validation ("val") images of a data set in the catalogue.

    Args:
        dataset: A name in `plopkit.catalogue.DATASETS`.
        split: "train" or "val".
        data: Where the images are, or how they are drawn.
        seed: For data sets that are drawn.
    """
    return _digested(DATASETS[dataset].open(split, data, seed), data)


def open_for(scenario: Scenario, split: str, data: Data, seed: int = 0) -> Source:
    """Open the images of a scenario's data set as its protocol divides them; other arguments as for `open_split`."""
    entry = DATASETS[scenario.dataset]
    if scenario.domains:
        return _digested(entry.open_domains(split, data, seed, [step.domains for step in scenario.steps]), data)
    return _digested(entry.open(split, data, seed), data)


def _digested(source: Source, data: Data) -> Source:
    """The source, whose fingerprint depends on as much of its files as the settings say."""
    if source.digest != data.digest:
        source.digest = data.digest
    return source
