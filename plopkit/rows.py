"""The rows of the published tables: the command that makes each, the papers' mIoU, and one's own beside it."""

import pandas as pd

from plopkit import facts
from plopkit.grammar import DATASETS
from plopkit.methods import METHODS
from plopkit.results import compare
from plopkit.scenario import Scenario

# The twelve of cssegmentation's page on PLOP come first.
FIRST = [
    ("plop", f"{dataset} {task} {protocol}")
    for dataset, tasks in (("voc", ("15-5", "15-1", "10-1")), ("ade", ("100-50", "100-10", "100-5")))
    for task in tasks
    for protocol in ("disjoint", "overlap")
]


def rows(results: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per method and scenario: published ``all`` after the last step with its source, one's own, the command.

    results: finished runs (``load_results``); their mean over seeds fills ``own`` and ``seeds``. mIoU in percent.
    """
    table = pd.read_csv(facts.path("published.csv"))
    table["scenario"] = table["dataset"] + " " + table["task"] + " " + table["protocol"]
    listed = table[table["dataset"].isin(DATASETS) & table["method"].isin(METHODS)]
    order = list(dict.fromkeys([*FIRST, *zip(listed["method"], listed["scenario"], strict=True)]))
    own = {} if results is None else _own(results)
    made = []
    for method, scenario in order:
        theirs = listed[(listed["method"] == method) & (listed["scenario"] == scenario)]
        told = [
            f"{row.all:g} {'with' if row.background_counted == 'yes' else 'without'} background, {row.source}"
            for row in theirs.itertuples()
            if pd.notna(row.all)
        ]
        found = own.get((method, str(Scenario.parse(scenario))), (float("nan"), float("nan"), 0))
        made.append(
            {
                "method": method,
                "scenario": scenario,
                "published": "; ".join(told) or "-",
                "own": found[0],
                "own_nobg": found[1],
                "seeds": found[2],
                "command": command(method, scenario),
            }
        )
    return pd.DataFrame(made)


def command(method: str, scenario: str) -> str:
    """What trains a row."""
    root = scenario.split()[0]
    return f'plopkit run "{scenario}" --method {method} --preset paper --data.root data/{root}'


def _own(results: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, int]]:
    """(method, scenario) -> mean mIoU over all classes after the last step, with and without background; seeds.

    Runs whose settings differ carry other names and fill no row.
    """
    table = compare(results).reset_index()
    found = {}
    for (scenario, method), steps in table.groupby(["scenario", "method"], sort=False):
        if str(scenario).startswith("folder"):
            continue
        last = steps.iloc[-1]
        if last["step"] == len(Scenario.parse(scenario).steps) - 1:
            found[str(method), str(scenario)] = (float(last["all"]), float(last["all_nobg"]), int(last["seeds"]))
    return found
