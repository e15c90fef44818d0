"""The files that plopkit carries: the papers' tables, class names, class orders and notebooks.

In a checkout they are in the top-level `data/` and `notebooks/`, in an installed package in `plopkit/_facts/` and
`plopkit/_notebooks/`.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def path(name: str) -> Path:
    """The path of a file of facts, such as `published.csv` or `classes/voc.txt`.

    Raises:
        FileNotFoundError: There is no such file; names both places that were searched.
    """
    return _carried("_facts", "data", name)


def notebook(name: str) -> Path:
    """The path of a notebook; errors as for `path`."""
    return _carried("_notebooks", "notebooks", name)


def class_names(dataset: str) -> tuple[str, ...]:
    """The names of a data set's labels: `class_names("voc")[1] == "aeroplane"`."""
    return tuple(path(f"classes/{dataset}.txt").read_text(encoding="utf-8").splitlines())


def _carried(packaged: str, checkout: str, name: str) -> Path:
    # The package's own folder comes first: next to an installed package, `data` may be anybody's.
    places = (_PACKAGE / packaged / name, _PACKAGE.parent / checkout / name)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"plopkit lacks its file {name!r}: neither {places[0]} nor {places[1]} exists")
