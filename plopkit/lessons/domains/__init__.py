"""Lesson 10, domains: everything that the notebook needs."""

from plopkit.lessons.domains.figures import scenes_by_domain, through_the_steps
from plopkit.lessons.domains.measures import PRICES, brightness, by_domain, most_forgotten, price, same_scenes
from plopkit.lessons.exercises import check
from plopkit.runs.domains import domain_forgetting, domain_means, load_domains
from plopkit.viz.curves import domain_curves

__all__ = [
    "PRICES",
    "brightness",
    "by_domain",
    "check",
    "domain_curves",
    "domain_forgetting",
    "domain_means",
    "load_domains",
    "most_forgotten",
    "price",
    "same_scenes",
    "scenes_by_domain",
    "through_the_steps",
]
