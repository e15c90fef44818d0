"""What the commands of docs/guides/continue.md need: old pictures, new ones, and a net from elsewhere."""

from pathlib import Path

from small_folders import add_to_list, write_folder

OLD = {
    "train": {**{f"pet{i}": (1, 2) for i in range(4)}, **{f"apple{i}": (3,) for i in range(2)}},
    "val": {"pet-a": (1, 2), "apple-a": (3,)},
}
MORE = {"train": {f"apple{i}": (3,) for i in range(2, 4)}}
NEW = {"train": {f"car{i}": (4, 3) for i in range(4)}, "val": {"car-a": (4, 3)}}
CLASSES = ("background", "cat", "dog", "apple", "car")


def prepare(folder: Path) -> None:
    """Write the folders `photos` and `new`, and a checkpoint whose classes are in another order."""
    from plopkit.model.checkpoints import save_published
    from plopkit.model.encoders import Encoder
    from plopkit.model.segmenter import Segmenter

    photos = write_folder(folder / "photos", OLD, MORE, names=CLASSES[:4])
    (photos / "train.txt").unlink()
    add_to_list(photos / "train.txt", OLD["train"])
    add_to_list(folder / "more-pictures.txt", MORE["train"])
    write_folder(folder / "new", NEW, names=CLASSES)
    net = Segmenter(Encoder("test_efficientnet", weights="none"), (3,), width=16, dilations=(1,))
    save_published(net, folder / "net.safetensors", "plopkit")
    (folder / "old-classes.txt").write_text("background\ndog\ncat\n", encoding="utf-8")


def check(folder: Path, printed: str) -> None:
    """The grown run is next to the first one, which has kept its steps."""
    names = sorted(path.name for path in (folder / "runs").iterdir() if not path.name.startswith("."))
    assert sum(name.startswith("first_grown_") for name in names) == 1
    assert {"first", "second"} < set(names)
    step_0 = [folder / "runs" / name / "checkpoints" / "step-0.safetensors" for name in ("first", "second")]
    assert step_0[0].read_bytes() == step_0[1].read_bytes()
