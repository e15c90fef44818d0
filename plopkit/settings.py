"""Settings: one tree of frozen values behind the command line, papermill's parameters, the form and a run's folder.

Neither torch nor a method is needed here: `hyper` holds plain values, which the method checks (`presets.settle`).
"""

import difflib
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plopkit import scenario as scenarios
from plopkit.grammar import is_of_unknown_data_set
from plopkit.support.errors import unknown_name
from plopkit.support.places import expanded
from plopkit.support.plain_yaml import read_yaml, write_yaml
from plopkit.support.printable import control_character, one_line

M = TypeVar("M", bound=BaseModel)

FROM_FILE = "from a file"
"""The context in which a scenario's data set may be unknown, such as one of a plugin that is not loaded."""


def usable_path(path: Path, name: str) -> Path:
    """The path of a setting with `~` expanded.

    Raises:
        ValueError: It holds a control character, or its `~` is nobody's home directory.
    """
    if found := control_character(str(path)):
        raise ValueError(f"{name} holds the control character {found}; write the path without it")
    return expanded(path)


class Frozen(BaseModel):
    """A frozen model that refuses unknown names, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Data(Frozen):
    """The images."""

    root: Path | None = Field(None, description="folder of the data set; emoji needs none")
    digest: Literal["sample", "all"] = Field(
        "sample", description="content by which files are the same: both ends, or all"
    )
    size: int = Field(512, ge=16, le=4096, description="side in pixels of training crops and evaluation crops")
    scale: tuple[float, float] = Field(
        (0.5, 2.0), description="share of the image's area that a training crop covers, smallest and largest"
    )
    scenes: int = Field(1000, ge=1, le=1_000_000, description="number of training scenes to draw (emoji only)")
    val_scenes: int = Field(300, ge=1, le=1_000_000, description="number of validation scenes to draw (emoji only)")
    binary: bool = Field(
        False, description="255 in the masks is the one class of classes.txt, not ignored pixels (folder only)"
    )

    @field_validator("root")
    @classmethod
    def _can_be_a_path(cls, root: Path | None) -> Path | None:
        return root and usable_path(root, "data.root")

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 10:
            raise ValueError(
                f"scale must be two numbers (smallest, largest) with 0 < smallest <= largest <= 10, not {scale}"
            )
        return scale


class Start(Frozen):
    """What a run begins with in place of training step 0."""

    checkpoint: Path | None = Field(
        None,
        description="a run's folder, a checkpoint of a step or a released one, in place of training step 0",
    )
    classes: Path | None = Field(
        None, description="list of the checkpoint's classes, background first, if it names none"
    )
    step: int | None = Field(None, ge=0, description="last step taken from a run's folder; None = all that fit")
    digest: str = Field("", pattern="^([0-9a-f]{16})?$", description="digest of the checkpoint; found out if left out")

    @field_validator("checkpoint", "classes")
    @classmethod
    def _can_be_a_path(cls, path: Path | None, info: Any) -> Path | None:
        return path and usable_path(path, f"start.{info.field_name}")

    @property
    def is_given(self) -> bool:
        """Whether the run has a step 0 that it does not train."""
        return self.checkpoint is not None


class Model(Frozen):
    """The network."""

    encoder: str = Field("resnet101", description="resnet18, 34, 50 or 101 as released, or any timm name")
    weights: str = Field("imagenet", description="initial weights of the encoder: imagenet, none, or a file of them")
    norm: Literal["abn", "iabn"] = Field(
        "abn", description="activated batch norm: abn in plain torch, or iabn, the same in less memory"
    )
    slope: float = Field(0.01, ge=0, lt=1, description="slope of the released ResNets' leaky ReLU; 0 = plain ReLU")
    stages: int | None = Field(None, ge=4, le=8, description="number of stages to keep; None = all")
    output_stride: Literal[8, 16, 32] = Field(16, description="stride of the last feature map")
    frozen: bool = Field(False, description="never train the encoder")
    decoder: Literal["aspp", "linear", "pyramid"] = Field("aspp", description="decoder, over one map or all four")
    width: int = Field(256, ge=8, le=2048, description="number of channels of the decoder")
    dilations: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (), description="dilations of ASPP; none = as released for the output stride"
    )
    pool: int | None = Field(
        32, ge=1, description="side of the decoder's pooling window at evaluation; None = the whole map"
    )


class Optim(Frozen):
    """How a step is trained."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="optimiser: sgd (Nesterov, as published) or adamw")
    lr: float = Field(0.01, gt=0, le=10, description="learning rate of step 0")
    lr_later: float = Field(0.001, gt=0, le=10, description="learning rate of later steps")
    epochs: int = Field(30, ge=1, le=10_000, description="epochs of step 0")
    epochs_later: int = Field(30, ge=1, le=10_000, description="epochs of later steps")
    min_iterations: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="least iterations of a later step, for which it is trained for more epochs; 0 = off",
    )
    batch: int = Field(24, ge=1, le=4096, description="number of images per iteration, over all processes")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="weight decay of all parameters")
    power: float = Field(
        0.9, ge=0, le=10, description="power of the poly schedule, lr (1 - iteration / iterations) ** power"
    )


class Compute(Frozen):
    """The hardware; Accelerate chooses the device."""

    cpu: bool = Field(False, description="use the CPU even where there is a GPU")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="precision of the forward passes; POD stays in fp32"
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="largest number of images that go through the net at once on one device: the gradients add up to "
        "those of the batch, but each part has its own batch statistics",
    )
    tf32: bool = Field(
        True,
        description="on a GPU, matrix products and convolutions in fp32 round their factors to ten bits, as fp16 has",
    )
    search: bool = Field(
        True,
        description="on a GPU, try cuDNN's algorithms for each size and take the fastest; each rounds differently",
    )
    compile: Literal["no", "yes", "graphs"] = Field(
        "no", description="compile the net with torch.compile; graphs = on a GPU, replay it as CUDA graphs as well"
    )
    workers: int = Field(
        0, ge=0, le=256, description="number of processes that load images; 0 = the training process loads them"
    )
    save_minutes: float = Field(
        10,
        ge=0,
        le=10_000,
        description="minutes between two saves within an epoch, more where saving takes over 2 % of the time; "
        "0 = after every iteration",
    )


SINCE_0_2 = (
    "compute.tf32",
    "compute.search",
    "compute.compile",
    "optim.min_iterations",
    "model.frozen",
    "model.decoder",
    "future",
    "data.binary",
    "data.digest",
)
"""Settings that version 0.1 does not have."""

LATER_ONLY = ("lr_later", "epochs_later", "min_iterations")
"""Settings of `Optim` for later steps only."""

OF_A_CHECKPOINT = ("output_stride", "pool", "norm")
"""Settings of `Model` that a released checkpoint does not say; all others are its own."""

HYPER_SINCE_0_2 = {"plop": {"distil": "pod"}}
"""Hyper-parameters that a method of version 0.1 did not have, and the values with which it computes what it did."""

WITHOUT_EFFECT = ("workers", "save_minutes")
"""Settings of `Compute` that change no number."""

NOT_DECISIVE = ("out", "name", "log")
"""Settings that say where a run is written down, and change no number either."""

TRACKERS = ("tensorboard", "wandb", "mlflow", "jsonl")
"""What `Settings.log` may name."""


class Settings(Frozen):
    """Everything that decides a run. The same settings give the same folder.

    Example:
        >>> settings = configure("emoji 15-5 overlap", "plop", "laptop", {"seed": 1})
        >>> settings.optim.lr, settings.folder()
    """

    scenario: str = Field(
        "emoji 15-5 overlap", description="<data set> <task> <protocol> [order=<name, random:number or labels>]"
    )
    method: str = Field("plop", description="name of the method, one of plopkit.METHODS")
    seed: int = Field(0, ge=0, lt=2**31, description="random seed for weight initialisation, shuffling and cropping")
    hyper: dict[str, Any] = Field(default_factory=dict, description="hyper-parameters of the method")
    evaluate: Literal["crop", "full"] = Field(
        "crop",
        description="images to evaluate on: centre crops of data.size pixels, as published, or full images, one by one",
    )
    future: Literal["background", "void", "left_out"] = Field(
        "background",  # as published; void: ignored; left_out: ignored, and images without a seen class count as well
        description="what pixels of classes not learnt yet count as at evaluation",
    )
    data: Data = Data()
    start: Start = Start()
    model: Model = Model()
    optim: Optim = Optim()
    compute: Compute = Compute()
    out: Path = Field(Path("runs"), description="folder for the run folders")
    name: str | None = Field(None, description="name of the run folder; None = made from the settings")
    log: tuple[str, ...] = Field(
        (), description="where to log as well, separated by spaces or commas: tensorboard, wandb, mlflow, jsonl"
    )

    @field_validator("scenario")
    @classmethod
    def _known(cls, text: str, info: Any) -> str:  # a ValidationInfo, which cannot be checked at run time
        if info.context == FROM_FILE and is_of_unknown_data_set(text):
            return text  # it was checked when the file was written; what needs the data set says that it is unknown
        return scenarios.check(text)

    @field_validator("out")
    @classmethod
    def _can_be_a_path(cls, out: Path) -> Path:
        return usable_path(out, "out")

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str | None) -> str | None:
        if name is not None and (not name or name.startswith(".") or Path(name).name != name):
            raise ValueError(f"name must be a single folder name that does not begin with a dot, not {name!r}")
        if name and (found := control_character(name)):
            raise ValueError(f"name holds the control character {found}; leave it out")
        return name

    @field_validator("log", mode="before")
    @classmethod
    def _known_trackers(cls, log: Any) -> Any:
        parts = [log] if isinstance(log, str) else log
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            return log  # its type is refused
        names = tuple(dict.fromkeys(name for part in parts for name in part.replace(",", " ").split()))
        for name in names:
            if name not in TRACKERS:
                raise unknown_name("tracker", name, TRACKERS)
        return names

    def folder(self) -> Path:
        """The run's folder, `out / name`."""
        if self.name:
            return self.out / self.name
        words = self.scenario.replace(" ", "_").replace("=", "-").replace(",", "-").replace(":", "-")[:60]
        named = f"{words}_{self.method}_seed{self.seed}_"
        if self.data.root is not None:  # earlier versions counted it as part of the identity
            identity = self.identity()
            identity["data"]["root"] = str(self.data.root)
            if (earlier := self.out / (named + digest(identity))).is_dir():
                return earlier
        return self.out / (named + self.fingerprint())

    def identity(self) -> dict[str, Any]:
        """The settings that decide the numbers: not where data are and results go, nor what is for speed only.

        Which data these are, a run notes by their content (`plopkit.runs.opening`).
        """
        left_out: dict[str, Any] = dict.fromkeys(NOT_DECISIVE, True) | {"compute": set(WITHOUT_EFFECT)}
        identity = self.model_dump(mode="json", exclude=left_out)
        usual = Settings().model_dump(mode="json")
        for name in SINCE_0_2:  # at their defaults they change no number, and a run of version 0.1 keeps its folder
            *above, last = name.split(".")
            own, default = (functools.reduce(dict.__getitem__, above, tree) for tree in (identity, usual))
            if own[last] == default[last]:
                del own[last]
        identity["data"]["root"] = None
        start = identity.pop("start")
        if self.start.is_given:
            identity["start"] = {"digest": start["digest"]}
            of_run = (*OF_A_CHECKPOINT, "frozen")
            identity["model"] = {name: identity["model"][name] for name in of_run if name in identity["model"]}
        for name, value in HYPER_SINCE_0_2.get(self.method, {}).items():
            if identity["hyper"].get(name) == value:
                del identity["hyper"][name]
        return identity

    def fingerprint(self) -> str:
        """The digest of `identity`, part of the folder's name."""
        return digest(self.identity())

    def step0_identity(self) -> dict[str, Any]:
        """What step 0 depends on, apart from its classes: neither the method nor how later steps are trained."""
        identity = self.identity()
        for name in ("scenario", "method", "hyper", "evaluate", "future"):
            identity.pop(name, None)
        identity["optim"] = {k: v for k, v in identity["optim"].items() if k not in LATER_ONLY}
        return identity


def digest(value: Any) -> str:
    """Eight hexadecimal digits of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def to_yaml(settings: Settings) -> str:
    """The settings as YAML, which `from_yaml` reads."""
    return write_yaml(settings.model_dump(mode="json"))


def from_yaml(path: Path) -> Settings:
    """Read a run folder's `settings.yaml`. Its data set and its method may be those of a plugin that is not loaded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file does not hold settings; names the file and what is wrong.
    """
    values = read_yaml(path, "the settings of a run")
    try:
        return build(Settings, values, context=FROM_FILE)
    except ValueError as error:
        raise ValueError(f"{path}: not the settings of a run: {error}") from error


def build(kind: type[M], values: Any, where: str = "", context: str | None = None) -> M:
    """Validate values.

    Args:
        kind: The model.
        values: Its fields, as plain values.
        where: A prefix for the names of settings in messages, such as "hyper.".
        context: `FROM_FILE` for settings that a run has left behind.

    Raises:
        ValueError: Lists each wrong setting, its value and what is possible.
    """
    try:
        return kind.model_validate(values, context=context)
    except ValidationError as error:
        raise ValueError("\n".join(_explained(kind, item, where) for item in error.errors())) from None


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names: `{"optim": {"lr": 0.1}}` -> `{"optim.lr": 0.1}`; names that are dotted already stay as they are."""
    dotted: dict[str, Any] = {}
    for name, value in tree.items():
        dotted |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return dotted


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`: `{"optim.lr": 0.1}` -> `{"optim": {"lr": 0.1}}`.

    Raises:
        ValueError: A name is both a setting and a group of settings.
    """
    tree: dict[str, Any] = {}
    for name, value in dotted.items():
        *above, last = name.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise ValueError(f"setting {name!r}: {part!r} has a value as well, so it cannot be a group of settings")
        if isinstance(branch.get(last), dict):
            raise ValueError(
                f"{name!r} = {value!r}: this is a group of settings, such as {name}.{next(iter(branch[last]))}"
            )
        branch[last] = value
    return tree


def known_names(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted names of all settings."""
    names: list[str] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += known_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def _explained(kind: type[BaseModel], item: Any, where: str) -> str:
    name = one_line(where + ".".join(str(part) for part in item["loc"]))
    if item["type"] == "extra_forbidden":
        known = known_names(kind, where)
        near = difflib.get_close_matches(name, known, n=3)  # the name has been cut: this takes the square of its length
        guess = f" (did you mean {' or '.join(near)}?)" if near else ""
        return f"there is no setting {name!r}{guess}; known: {', '.join(known)}"
    message = item["msg"].removeprefix("Value error, ")
    value = repr(item["input"])
    if message.startswith(value):
        return message
    return f"{name or 'settings'} = {one_line(value, 300)}: {one_line(message, 1000)}"
