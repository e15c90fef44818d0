"""The groups of settings: images, start, network, training, memory and hardware."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from plopkit.support.places import expanded
from plopkit.support.printable import control_character


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
    saliency: Path | None = Field(
        None, description="folder of saliency maps, PNGs named as the images (SSUL only); None = all is salient"
    )

    @field_validator("root", "saliency")
    @classmethod
    def _can_be_a_path(cls, path: Path | None, info: Any) -> Path | None:
        return path and usable_path(path, f"data.{info.field_name}")

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

    encoder: str = Field(
        "resnet101", description="resnet18, 34, 50 or 101 as released (activated batch norm), or any timm name"
    )
    weights: str = Field("imagenet", description="initial weights of the encoder: imagenet, none, or a file of them")
    digest: str = Field(
        "", pattern="^([0-9a-f]{16})?$", description="digest of a file of weights; found out if left out"
    )
    norm: Literal["abn", "iabn"] = Field(
        "abn", description="activated batch norm: abn in plain torch, or iabn, the same in less memory"
    )
    slope: float = Field(0.01, ge=0, lt=1, description="slope of the released ResNets' leaky ReLU; 0 = plain ReLU")
    stages: int | None = Field(None, ge=4, le=8, description="number of encoder stages to keep; None = all")
    output_stride: Literal[8, 16, 32] = Field(
        16, description="image pixels per pixel of the last feature map; transformers have their own"
    )
    frozen: bool = Field(False, description="the encoder is never trained, in step 0 neither")
    decoder: Literal["aspp", "linear", "pyramid"] = Field(
        "aspp", description="decoder: aspp, a linear map of the last feature map, or a pyramid of all four"
    )
    width: int = Field(256, ge=8, le=2048, description="number of channels of the decoder")
    dilations: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (), description="dilations of the decoder's 3x3 convolutions; none = as released for the output stride"
    )
    pool: int | None = Field(
        32, ge=1, description="side of the decoder's pooling window at evaluation; None = the whole map"
    )

    @property
    def weights_file(self) -> Path | None:
        """The file with the encoder's initial weights, if there is one."""
        return None if self.weights in ("imagenet", "none") else expanded(self.weights)


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
    warmup: float = Field(0, ge=0, lt=1, description="share of a step's iterations in which the learning rate rises")


class Memory(Frozen):
    """Images of earlier steps that are kept and trained on; none without a budget."""

    images: int | None = Field(
        None, ge=1, le=1_000_000, description="number of images of earlier steps to keep; None = no limit"
    )
    mb: float | None = Field(
        None, gt=0, le=1_000_000, description="megabytes of these images and their masks; None = no limit"
    )
    choice: Literal["balanced", "random"] = Field(
        "balanced", description="which are kept: one for each class in turn (SSUL-M, DKD-M, STAR-M), or any at random"
    )
    labels: Literal["kept", "seen", "new"] = Field(
        "kept",
        description="labels in their targets: those known when they were kept, all seen so far (SSUL-M), or only the "
        "step's new ones (DKD-M)",
    )
    mix: Literal["beside", "half"] = Field(
        "beside", description="further images of each epoch (DKD-M, STAR-M), or half of every batch (SSUL-M)"
    )

    @property
    def is_kept(self) -> bool:
        """Whether there is a budget."""
        return self.images is not None or self.mb is not None

    @property
    def shows_old(self) -> bool:
        """Whether the targets of these images show classes of earlier steps."""
        return self.is_kept and self.labels != "new"


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
