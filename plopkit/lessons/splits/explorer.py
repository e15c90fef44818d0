"""An explorer of scenarios: which classes each step learns, and from how many images."""

from typing import Any

from matplotlib.figure import Figure

from plopkit.catalogue import DATASETS
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.tables import steps_table
from plopkit.grammar import PROTOCOLS, joined
from plopkit.lessons.splits.figures import schedule
from plopkit.scenario import Scenario
from plopkit.widgets.controls import HELP, choice
from plopkit.widgets.explorer import Explorer

NATURAL = "natural"


def splits_explorer(data: ScenarioData) -> Explorer:
    """An explorer with the controls ``dataset``, ``task``, ``protocol`` and ``order``; it draws `schedule`.

    The data sets are that of ``data`` and those for which the catalogue knows which image shows which classes.
    """
    own = data.scenario
    known = {own.dataset: (data.train.classes, *data.mask_presence)}
    for name, entry in DATASETS.items():
        if name not in known and (tables := entry.presence_tables()):
            known[name] = (entry.class_names(), *tables)

    def draw(dataset: str, task: str, protocol: str, order: str) -> Figure:
        names, train, val = known[dataset]
        text = joined(dataset, task, protocol, "" if order == NATURAL else order)
        scenario = Scenario.parse(text, len(names))
        return schedule(scenario, names, steps_table(scenario, train, val), (len(train), len(val)))

    tasks, orders = _choices(own, own.dataset)
    # For the others, plopkit would have to know the names of the images, or their domains.
    protocols = [protocol for protocol in PROTOCOLS if protocol in (own.protocol, "overlap", "disjoint", "sequential")]
    controls = {
        "dataset": choice(list(known), "data set", HELP["dataset"], own.dataset),
        "protocol": choice(protocols, "protocol", HELP["protocol"], own.protocol),
        "task": choice(tasks, "task", HELP["task"], own.task),
        "order": choice(orders, "class order", HELP["order"], _order(own)),
    }

    def offer_choices(change: Any) -> None:
        for name, options in zip(("task", "order"), _choices(own, change["new"]), strict=True):
            before = controls[name].value
            controls[name].options = options
            controls[name].value = before if before in options else options[0]

    controls["dataset"].observe(offer_choices, names="value")  # before the explorer's own observer
    shown = [(task, protocol) for protocol in protocols[:2] for task in tasks[:3]]
    frames = {f"{task} {protocol}": {"task": task, "protocol": protocol} for task, protocol in shown}
    return Explorer(draw, controls, frames)


def _choices(own: Scenario, dataset: str) -> tuple[list[str], list[str]]:
    """The tasks and class orders of a data set: the usual ones, and those of the notebook's own scenario."""
    entry = DATASETS[dataset]
    tasks, orders = list(entry.tasks), [NATURAL, *(name for name in entry.class_orders() if name != "a")]
    if dataset == own.dataset:
        tasks, orders = [*tasks, own.task], [*orders, _order(own)]
    return list(dict.fromkeys(tasks)), list(dict.fromkeys(orders))


def _order(scenario: Scenario) -> str:
    """The order's name, or its labels; `Scenario.parse` reads either."""
    if scenario.order == tuple(range(scenario.n_labels)):
        return NATURAL
    return scenario.order_name or ",".join(map(str, scenario.order[1:]))
