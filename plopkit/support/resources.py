"""The files of facts that plopkit carries: the papers' tables, class names and class orders.

In a checkout they lie in the top-level `data/`; in an installed package in `plopkit/_facts/`.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def path(name: str) -> Path:
    """Where the file of facts `name` lies, for example `published.csv` or `classes/voc.txt`.

    Raises FileNotFoundError that names both places looked at.
    """
    # The package's own folder first: beside an installed package, `data` may be anybody's.
    places = (_PACKAGE / "_facts" / name, _PACKAGE.parent / "data" / name)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"no file of facts {name!r}: neither {places[0]} nor {places[1]} exists")


def notebook(name: str) -> Path:
    """Where a notebook lies: in an installed package in `plopkit/_notebooks/`, in a checkout in `notebooks/`."""
    places = (_PACKAGE / "_notebooks" / name, _PACKAGE.parent / "notebooks" / name)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"no notebook {name!r}: neither {places[0]} nor {places[1]} exists")


def class_names(dataset: str) -> tuple[str, ...]:
    """The names of a data set's labels: `class_names("voc")[1] == "aeroplane"`."""
    return tuple(path(f"classes/{dataset}.txt").read_text(encoding="utf-8").split("\n")[:-1])
