"""Settings: one tree of frozen values behind the command line, papermill's parameters, the form and a run's folder.

Neither torch nor a method is needed here: `hyper` holds plain values, which the method checks (`presets.settle`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from plopkit import scenario as scenarios
from plopkit.grammar import is_of_unknown_data_set
from plopkit.identity import OF_A_CHECKPOINT, decisive, decisive_at_step_0, digest
from plopkit.setting_groups import Compute, Data, Frozen, Memory, Model, Optim, Start, usable_path
from plopkit.setting_values import build, flat, known_names, nested
from plopkit.support.errors import unknown_name
from plopkit.support.moved import renamed
from plopkit.support.plain_yaml import read_yaml, write_yaml
from plopkit.support.printable import control_character

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)

__all__ = [
    "OF_A_CHECKPOINT",
    "TRACKERS",
    "Compute",
    "Data",
    "Frozen",
    "Memory",
    "Model",
    "Optim",
    "Settings",
    "Start",
    "build",
    "digest",
    "flat",
    "from_yaml",
    "known_names",
    "nested",
    "to_yaml",
]

FROM_FILE = "from a file"
"""The context in which a scenario's data set may be unknown, such as one of a plugin that is not loaded."""

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
    memory: Memory = Memory()
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
        if self.data.root is not None or self.model.digest:  # earlier versions counted places as part of the identity
            identity = self.identity()
            identity["data"]["root"] = self.data.root and str(self.data.root)
            if self.model.digest:
                identity["model"]["weights"] = self.model.weights
                del identity["model"]["digest"]
            if (earlier := self.out / (named + digest(identity))).is_dir():
                return earlier
        return self.out / (named + self.fingerprint())

    def identity(self) -> dict[str, Any]:
        """The settings that decide the numbers (`plopkit.identity.decisive`)."""
        return decisive(self.model_dump(mode="json"), Settings().model_dump(mode="json"))

    def fingerprint(self) -> str:
        """The digest of `identity`, part of the folder's name."""
        return digest(self.identity())

    def step0_identity(self) -> dict[str, Any]:
        """What step 0 depends on, apart from its classes."""
        return decisive_at_step_0(self.identity())


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
