"""The data sets and the methods that plopkit knows: one entry each, and the only place that lists them.

Both registries take entries from outside the package: another distribution names them in the entry-point groups
`plopkit.datasets` and `plopkit.methods`, or a file registers them when it is imported (`plopkit run --plugin FILE`).
Neither torch nor a method is imported before its entry is accessed.
"""

import functools
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plopkit.support import resources
from plopkit.support.places import expanded
from plopkit.support.registry import Registry, load_object

if TYPE_CHECKING:  # only for the annotations: this module must stay free of torch
    import numpy as np

    from plopkit.datasets.source import Source
    from plopkit.methods.base import Method
    from plopkit.settings import Data

Values = Mapping[str, Any]
Orders = Mapping[str, tuple[int, ...]]
Domains = Sequence[tuple[str, ...]]
"""The domains that each step learns."""


@dataclass(frozen=True)
class DataSet:
    """All that plopkit knows about a data set.

    Example:
        >>> DATASETS["shapes"] = DataSet("shapes", opener="my_data:open_shapes", names=("background", "disc", "star"))
    """

    name: str
    """The first word of its scenarios."""
    opener: "str | Callable[[str, Data, int], Source]"
    """Opens a split: `(split, data, seed) -> Source` with split "train" or "val", or its "module:function"."""
    title: str = ""
    """What it is, in a few words for help texts."""
    names: Sequence[str] | Callable[[], Sequence[str]] | None = None
    """A name per label, background first; None where they are read from the user's folder by `name_reader`."""
    name_reader: str | Callable[[Path], Sequence[str]] | None = None
    """Reads the names from the data set's folder: `(root) -> names`, or its "module:function"."""
    needs_root: bool = True
    """Are its images in the folder `data.root`?"""
    tasks: tuple[str, ...] = ("joint",)
    """Usual tasks, which forms and error messages offer; any other that fits the number of labels is possible."""
    orders: Orders | Callable[[], Orders] = field(default_factory=dict)
    """Class orders by name; each begins with 0."""
    task_aliases: tuple[tuple[str, str], ...] = ()
    """Other spellings of its tasks: regular expressions and replacements, tried on what follows the name."""
    presets: Mapping[str, Values] = field(default_factory=dict)
    """By preset: the settings that it changes for this data set, in the form of `plopkit.presets.PRESETS`."""
    task_presets: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    """By preset and task, or task and protocol ("11-1 domain"): the settings that it changes there."""
    lesson: Mapping[str, Values] = field(default_factory=dict)
    """By preset, or preset and task ("laptop 15-1"): the settings that the lessons change."""
    downloader: str | Callable[[str, Path, Mapping[str, str], bool], str] | None = None
    """Makes it ready, or says where to ask for it: `(name, root, urls, any_archive) -> message`, or its
    "module:function"."""
    archives: tuple[str, ...] = ()
    """The archives that it is made from, each with a flag `--url.<archive>` of `plopkit data get`."""
    known_presence: "str | Callable[[], tuple[np.ndarray, np.ndarray]] | None" = None
    """Which labels its images have, where that is known without the images: two (N, 256) bool tables, training and
    validation, or their "module:function"."""
    domains: tuple[str, ...] = ()
    """The groups that its images come from, such as cities, in the order in which the protocol `domain` learns them;
    () where it does not offer that protocol."""
    domain_tasks: tuple[str, ...] = ()
    """As `tasks`, for the protocol `domain`: the numbers count domains."""
    domain_opener: "str | Callable[[str, Data, int, Domains], Source] | None" = None
    """Opens a split for the protocol `domain`: `(split, data, seed, domains) -> Source` with the domains that each step
    learns, or its "module:function". The source says which domain each image comes from."""
    has_background: bool = True
    """Is label 0 learnt in the protocol `domain`? Otherwise its pixels, which have no label, are ignored there."""
    table_tasks: tuple[str, ...] = ()
    """Its tasks in cssegmentation's table of PLOP, which `plopkit rows` prints first."""
    credit: str = ""
    """Attribution required in pictures made from it."""

    def class_names(self, root: Path | None = None) -> tuple[str, ...]:
        """A name per label, background first.

        Args:
            root: The data set's folder, needed only where the names are read from it.

        Raises:
            ValueError: The names are in the folder, and root is None.
            FileNotFoundError: The folder has no list of names.
        """
        if self.names is not None:
            return tuple(self.names() if callable(self.names) else self.names)
        return tuple(_call(self.name_reader, self._root(root)))

    @property
    def n_labels(self) -> int | None:
        """Number of labels, background included; None where the user's folder decides it."""
        return None if self.names is None else len(self.class_names())

    @property
    def is_users_own(self) -> bool:
        """Are the images the user's own, so that two folders are two data sets?"""
        return self.names is None

    def class_orders(self) -> Orders:
        """Class orders by name."""
        return self.orders() if callable(self.orders) else self.orders

    def open(self, split: str, data: "Data", seed: int = 0) -> "Source":
        """Open the training ("train") or validation ("val") images. `seed` is for data sets that are drawn.

        Raises:
            ValueError: `data.root` is missing, or the data are broken.
            FileNotFoundError: Names the file or folder that is missing.
        """
        if self.needs_root:
            self._root(data.root)
        return _call(self.opener, split, data, seed)

    def open_domains(self, split: str, data: "Data", seed: int, domains: Domains) -> "Source":
        """Open the training or validation images for the protocol `domain`, of the domains that each step learns.

        Raises:
            ValueError, FileNotFoundError: As for `open`.
        """
        if self.needs_root:
            self._root(data.root)
        return _call(self.domain_opener, split, data, seed, domains)

    def download(self, root: Path, urls: Mapping[str, str], any_archive: bool = False) -> str:
        """Make the data set ready in `root` and say what is there now.

        Args:
            root: The folder that it goes into.
            urls: Other places for its archives, by their names.
            any_archive: Whether archives of another size or checksum are accepted.
        """
        return _call(self.downloader, self.name, root, urls, any_archive)

    def presence_tables(self) -> "tuple[np.ndarray, np.ndarray] | None":
        """Which labels the training and the validation images have, (N, 256) bool each; None where that is not known
        without the images."""
        return None if self.known_presence is None else _call(self.known_presence)

    def _root(self, root: Path | None) -> Path:
        if root is None:
            raise ValueError(f"{self.name} needs data.root, the folder that the data set is in")
        return root


def _call(function: Any, *args: Any) -> Any:
    """Call a function, or the function that "module:function" names."""
    return (load_object(function) if isinstance(function, str) else function)(*args)


@functools.cache
def _orders_of(name: str) -> Orders:
    """The published class orders of a data set."""
    orders = json.loads(resources.path("orders.json").read_text(encoding="utf-8"))
    return {key: tuple(order) for key, order in orders[name].items()}


# Photographs need more pixels than emoji do.
_PHOTOGRAPHS: Values = {
    "data": {"size": 192, "scale": (0.5, 2.0)},
    "model": {"dilations": (1, 3, 5)},
    "optim": {"lr": 1e-3, "lr_later": 3e-4, "epochs": 5, "epochs_later": 5},
    "hyper": {"plop": {"pod": 0.003, "pod_logits": 0.00015, "floor": 0.001}},
}
_VOC_TASKS = ("15-5", "15-1", "19-1", "10-1", "10-5", "5-3", "2-2", "2-1", "1-1", "joint")
_VOC_ALIASES = (  # the released code's names
    (r"^15-5s_([a-z])(?= |$)(.*)", r"15-1\2 order=\1"),
    (r"^15-5s(?= |$)", "15-1"),
)

_CITIES = (
    *("aachen", "bremen", "darmstadt", "erfurt", "hanover", "krefeld", "strasbourg", "tubingen", "weimar", "bochum"),
    *("cologne", "dusseldorf", "hamburg", "jena", "monchengladbach", "stuttgart", "ulm", "zurich"),
    *("frankfurt", "lindau", "munster"),  # the three of the validation set
)

PLUGIN_HINT = "what a plugin registers is known after --plugin FILE, or plopkit.load_plugin(FILE)"
"""The end of the error for an unknown data set or method."""

DATASETS: Registry[DataSet] = Registry(
    "data set",
    "plopkit.datasets",
    {
        "voc": DataSet(
            "voc",
            title="PASCAL VOC 2012, with or without SBD's masks",
            opener="plopkit.datasets.voc:open_split",
            names=functools.partial(resources.class_names, "voc"),
            tasks=_VOC_TASKS,
            orders=functools.partial(_orders_of, "voc"),
            task_aliases=_VOC_ALIASES,
            presets={"laptop": _PHOTOGRAPHS},
            task_presets={"paper": {"10-1": {"optim": {"epochs_later": 10}}}},
            downloader="plopkit.datasets.download.prepare:download",
            archives=("voc", "sbd"),
            known_presence="plopkit.datasets.check:voc_presence",
            table_tasks=("15-5", "15-1", "10-1"),
        ),
        "emoji": DataSet(
            "emoji",
            title="VOC's classes drawn with emoji, made on the spot",
            opener="plopkit.datasets.emoji:open_split",
            names=functools.partial(resources.class_names, "voc"),
            needs_root=False,
            tasks=_VOC_TASKS,
            orders=functools.partial(_orders_of, "voc"),
            task_aliases=_VOC_ALIASES,
            presets={"gpu": {"data": {"size": 128, "scenes": 4000}, "model": {"pool": None}}},
            domains=("day", "night", "paper", "rain"),
            domain_tasks=("2-1", "1-1", "joint"),
            domain_opener="plopkit.datasets.emoji:open_domains",
            # Half the scenes show the gap between methods in two minutes. Steps of one class need as many iterations as
            # with all scenes: with 90, MiB loses half of the background in the last one (benchmarks/README.md).
            lesson={
                "laptop": {"data": {"scenes": 1000, "val_scenes": 150}, "optim": {"min_iterations": 90}},
                "laptop 15-1": {"optim": {"min_iterations": 180}},
            },
            credit="Graphics: Twemoji, © Twitter, Inc and other contributors, CC-BY 4.0",
        ),
        "ade": DataSet(
            "ade",
            title="ADE20K, 150 classes",
            opener="plopkit.datasets.ade20k:open_split",
            names=functools.partial(resources.class_names, "ade"),
            tasks=("100-50", "100-10", "100-5", "50-50", "joint"),
            task_aliases=((r"^50(?= |$)", "50-50"),),
            presets={
                "paper": {
                    "optim": {"epochs": 60, "epochs_later": 60},
                    "hyper": {"plop": {"pod": 0.001, "pod_logits": 0.00001}},
                },
            },
            downloader="plopkit.datasets.download.prepare:download",
            archives=("ade",),
            table_tasks=("100-50", "100-10", "100-5"),
        ),
        "cityscapes": DataSet(
            "cityscapes",
            title="Cityscapes, 19 classes in 21 cities",
            opener="plopkit.datasets.cityscapes:open_split",
            names=functools.partial(resources.class_names, "cityscapes"),
            tasks=("14-1", "10-1", "joint"),
            presets={"laptop": _PHOTOGRAPHS, "paper": {"optim": {"epochs": 50, "epochs_later": 50}}},
            task_presets={
                "paper": {  # PLOP's weights in its own scripts
                    "11-5 domain": {"hyper": {"plop": {"pod": 0.0001, "pod_logits": 0.0001}}},
                    "11-1 domain": {"hyper": {"plop": {"pod": 0.0001, "pod_logits": 0.0001}}},
                    "1-1 domain": {"hyper": {"plop": {"pod": 0.0001, "pod_logits": 0.001}}},
                }
            },
            downloader="plopkit.datasets.cityscapes:look_for",
            domains=_CITIES,
            domain_tasks=("11-5", "11-1", "1-1", "joint"),
            domain_opener="plopkit.datasets.cityscapes:open_domains",
            has_background=False,
        ),
        "folder": DataSet(
            "folder",
            title="your own images and masks",
            opener="plopkit.datasets.folder:open_split",
            name_reader="plopkit.datasets.folder:folder_classes",
            tasks=("10-5", "joint"),
            presets={"laptop": _PHOTOGRAPHS},
        ),
    },
    PLUGIN_HINT,
)
"""The data sets, by the first word of a scenario."""

METHODS: "Registry[type[Method]]" = Registry(
    "method",
    "plopkit.methods",
    {
        "ft": "plopkit.methods:FineTuning",
        "lwf": "plopkit.methods:LwF",
        "lwf-mc": "plopkit.methods:LwFMC",
        "ilt": "plopkit.methods:ILT",
        "ewc": "plopkit.methods:EWC",
        "rw": "plopkit.methods:RW",
        "pi": "plopkit.methods:PI",
        "mib": "plopkit.methods:MiB",
        "plop": "plopkit.methods:PLOP",
        "ewf": "plopkit.methods:EWF",
        "ewf-mib": "plopkit.methods:EWFMiB",
        "reminder": "plopkit.methods:Reminder",
        "rcil": "plopkit.methods:RCIL",
        "ucd": "plopkit.methods:UCD",
        "alife": "plopkit.methods:ALIFE",
        "dft": "plopkit.methods:DFT",
        "ssul": "plopkit.methods:SSUL",
        "dkd": "plopkit.methods:DKD",
        "star": "plopkit.methods:STAR",
        "prototypes": "plopkit.methods:NearestPrototype",
        "ssul-m": "plopkit.methods:SSULM",
        "dkd-m": "plopkit.methods:DKDM",
        "star-m": "plopkit.methods:STARM",
        "joint": "plopkit.methods:Joint",
    },
    PLUGIN_HINT,
)
"""The methods, by the name that the command line, the tables and the run folders use."""

_plugins: dict[Path, str] = {}


def load_plugin(file: str | Path) -> None:
    """Import a Python file once; it registers its data sets and methods by `plopkit.DATASETS[name] = …`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file fails when it is imported; the message names the file and the error.
    """
    path = expanded(file).resolve()
    if path in _plugins:
        return
    if not path.is_file():
        raise FileNotFoundError(f"{file}: there is no such file; name a Python file")
    name = path.stem if _is_free(path) else f"plopkit_plugin_{len(_plugins)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file}: not a Python file; name one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that what it defines can be pickled
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{file}: the plugin fails when it is imported: {type(error).__name__}: {error}") from error
    _plugins[path] = str(file)


def _is_free(path: Path) -> bool:
    """Whether a file can be imported under its own name without hiding another module, such as timm."""
    name = path.stem
    if not name.isidentifier() or name in sys.modules:
        return False
    other = importlib.util.find_spec(name)
    return other is None or other.origin == str(path)


def plugins() -> tuple[str, ...]:
    """The files that `load_plugin` has imported, as they were named."""
    return tuple(_plugins.values())
