"""Data folders as people have them. Each is right, or says why it is not.

A folder is made by a function of an empty folder. All hold 6 training and 4 validation images of 48 x 40 pixels, every
image with two of three classes in vertical stripes, unless they say otherwise.
"""

import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from picture_files import COLOURS
from PIL import Image

SIZE = (40, 48)
N = {"train": 6, "val": 4}
NAMES = ("background", "cat", "dog", "cow")


@dataclass(frozen=True)
class Odd:
    """A folder and what becomes of it."""

    make: Callable[[Path], None]
    error: str = ""
    """part of the message with which it is refused; "" where it is right"""
    warning: str = ""
    """part of a warning; "" where none is expected but those of every folder"""
    flags: tuple[str, ...] = ()
    scenario: str = "folder 2-1 overlap"

    @property
    def name(self) -> str:
        return self.make.__name__


ODD: dict[str, Odd] = {}


def odd(error: str = "", warning: str = "", flags: tuple[str, ...] = (), scenario: str = "folder 2-1 overlap"):  # type: ignore[no-untyped-def]
    """Register a folder."""

    def register(make: Callable[[Path], None]) -> Callable[[Path], None]:
        ODD[make.__name__] = Odd(make, error, warning, flags, scenario)
        return make

    return register


# What the folders are made of


def stems(split: str) -> list[str]:
    return [f"{split}-{index}" for index in range(N[split])]


def all_stems() -> list[str]:
    return stems("train") + stems("val")


def values_of(stem: str) -> np.ndarray:
    """A mask: the background and two of three classes."""
    index = stem.rpartition("-")[2]
    labels = [0, *(1 + (int(index) + k) % 3 for k in (0, 1))]
    return np.repeat(np.array(labels, np.uint8)[np.arange(SIZE[1]) * 3 // SIZE[1]][None], SIZE[0], 0)


def colours_of(stem: str) -> np.ndarray:
    noise = np.random.default_rng(list(stem.encode())).integers(-10, 11, (*SIZE, 3))
    return (COLOURS[values_of(stem)] + noise).clip(0, 255).astype(np.uint8)


def save(path: Path, values: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def lists(root: Path, line: str = "{stem}", end: str = "\n", before: str = "", encoding: str = "utf-8") -> None:
    for split in N:
        text = before + "".join(line.format(stem=stem) + end for stem in stems(split))
        (root / f"{split}.txt").write_bytes(text.encode(encoding))


def classes(root: Path, names: tuple[str, ...] = NAMES) -> None:
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write(
    root: Path,
    image: str = "images/{stem}.jpg",
    mask: str = "masks/{stem}.png",
    change: Callable[[np.ndarray], np.ndarray] = lambda values: values,
    **options: object,
) -> None:
    """Images, masks, lists and classes; `change` is applied to each mask, and `options` save it."""
    for stem in all_stems():
        save(root / image.format(stem=stem, split=stem.split("-")[0]), colours_of(stem))
        save(root / mask.format(stem=stem, split=stem.split("-")[0]), change(values_of(stem)), **options)
    lists(root)
    classes(root)


# Lists


@odd()
def plain(root: Path) -> None:
    write(root)


@odd()
def list_of_file_names(root: Path) -> None:
    write(root)
    lists(root, "{stem}.jpg")


@odd()
def list_of_paths_from_the_root(root: Path) -> None:
    write(root)
    lists(root, "images/{stem}.jpg")


@odd()
def list_of_paths_with_a_slash_before(root: Path) -> None:
    write(root)
    lists(root, "/images/{stem}.jpg /masks/{stem}.png")


@odd()
def list_of_absolute_paths(root: Path) -> None:
    write(root)
    lists(root, f"{root}/images/{{stem}}.jpg,{root}/masks/{{stem}}.png")


@odd()
def list_of_absolute_paths_of_another_machine(root: Path) -> None:
    write(root)
    lists(root, "/home/somebody/my data/images/{stem}.jpg\t/home/somebody/my data/masks/{stem}.png")


@odd()
def list_of_windows_paths(root: Path) -> None:
    write(root)
    lists(root, r"C:\Users\me\images\{stem}.jpg", "\r\n")


@odd()
def list_with_backslashes_and_two_columns(root: Path) -> None:
    write(root)
    lists(root, r"images\{stem}.jpg  masks\{stem}.png", "\r\n")


@odd()
def list_with_byte_order_mark(root: Path) -> None:
    write(root)
    lists(root, end="\r\n", encoding="utf-8-sig")


@odd()
def list_in_utf_16(root: Path) -> None:
    write(root)
    lists(root, encoding="utf-16")


@odd()
def list_with_old_mac_line_ends(root: Path) -> None:
    write(root)
    lists(root, end="\r")


@odd()
def list_with_a_header(root: Path) -> None:
    write(root)
    lists(root, "images/{stem}.jpg,masks/{stem}.png", before="image,mask\n")


@odd()
def list_with_the_mask_first(root: Path) -> None:
    write(root, mask="masks/m_{stem}.png")
    lists(root, "masks/m_{stem}.png,images/{stem}.jpg", before="mask,image\n")


@odd()
def list_with_a_header_of_one_column(root: Path) -> None:
    write(root)
    lists(root, "{stem}.jpg", before="filename\n")


@odd()
def list_with_quoted_fields(root: Path) -> None:
    write(root)
    lists(root, '"images/{stem}.jpg","masks/{stem}.png","a, b"', before='"image","mask","remark"\n')


@odd()
def list_with_comments_and_blank_lines(root: Path) -> None:
    write(root)
    lists(root, "{stem}  ", "\n\n", before="# my images\n\n")


@odd(warning="line 7 names train-0 again, as line 1 does; each image is used once")
def list_that_repeats_an_image(root: Path) -> None:
    write(root)
    with open(root / "train.txt", "a", encoding="utf-8") as file:
        file.write("images/train-0.jpg\n")


@odd()
def list_with_scores(root: Path) -> None:
    write(root)
    lists(root, "{stem}.jpg 0.93 good")


@odd()
def list_of_names_with_blanks(root: Path) -> None:
    write(root, "images/my photo {stem}.jpg", "masks/my photo {stem}.png")
    lists(root, "my photo {stem}")


@odd()
def list_of_two_columns_of_names_with_blanks(root: Path) -> None:
    write(root, "images/my photo {stem}.jpg", "masks/its mask {stem}.png")
    lists(root, "images/my photo {stem}.jpg masks/its mask {stem}.png")


@odd()
def list_of_names_with_commas(root: Path) -> None:
    write(root, "images/a, b {stem}.jpg", "masks/a, b {stem}.png")
    lists(root, "a, b {stem}.jpg")


@odd()
def list_named_csv(root: Path) -> None:
    write(root)
    for split in N:
        text = "id;image;mask\n" + "".join(f"1;{stem}.jpg;{stem}.png\n" for stem in stems(split))
        (root / f"{split}.csv").write_text(text, encoding="utf-8")
        (root / f"{split}.txt").unlink()


@odd()
def list_of_a_table_with_row_numbers(root: Path) -> None:
    write(root)
    lists(root, "7,{stem}.jpg,{stem}.png", before=",image_id,mask_id\n")


@odd()
def list_with_row_numbers_and_no_header(root: Path) -> None:
    write(root)
    lists(root, "7\t{stem}.jpg\t{stem}.png")


@odd()
def list_of_masks_and_images_without_a_header(root: Path) -> None:
    write(root)
    lists(root, "masks/{stem}.png images/{stem}.jpg")


@odd()
def list_of_quoted_names(root: Path) -> None:
    write(root, "images/my photo {stem}.jpg", "masks/my photo {stem}.png")
    lists(root, '"my photo {stem}.jpg"')


@odd(error="train.txt: line 3: {root}/images/train-9.jpg is missing; complete the data set, or remove the image")
def list_with_a_missing_image(root: Path) -> None:
    write(root)
    (root / "train.txt").write_text("train-0\ntrain-1\ntrain-9\n", encoding="utf-8")


@odd(error="(the nearest name there is train-0.jpg)")
def list_with_a_typing_mistake(root: Path) -> None:
    write(root)
    (root / "train.txt").write_text("tarin-0\ntrain-1\n", encoding="utf-8")


@odd(error="masks/nothing.png is missing")
def list_with_a_missing_mask_column(root: Path) -> None:
    write(root)
    lists(root, "images/{stem}.jpg masks/nothing.png")


@odd(error="leads out of the folder images/")
def list_that_leads_outside(root: Path) -> None:
    write(root)
    save(root.parent / "outside.jpg", colours_of("train-0"))
    with open(root / "train.txt", "a", encoding="utf-8") as file:
        file.write("../outside.jpg\n")


@odd(error="train.txt: the split is empty; write one file stem per line")
def list_of_comments_only(root: Path) -> None:
    write(root)
    (root / "train.txt").write_text("# nothing yet\n", encoding="utf-8")


@odd(error="val.txt: no val list; write the file stems of that split, one per line, or put its images into images/val/")
def list_missing(root: Path) -> None:
    write(root)
    (root / "val.txt").unlink()


@odd(error="train.txt: not UTF-8 text")
def list_in_latin_1(root: Path) -> None:
    write(root, "images/möwe {stem}.jpg", "masks/möwe {stem}.png")
    lists(root, "möwe {stem}", encoding="latin-1")


@odd(error="train.txt: line 1 holds the control character \\x00")
def list_in_utf_16_without_mark(root: Path) -> None:
    write(root)
    lists(root, encoding="utf-16-le")


# Where the files are, and what they are called


@odd()
def endings_in_capitals(root: Path) -> None:
    write(root, "images/{stem}.JPG", "masks/{stem}.PNG")


@odd()
def pictures_of_many_formats(root: Path) -> None:
    write(root)
    endings = (".jpeg", ".png", ".tif", ".Tiff", ".bmp", ".webp")
    for index, ending in enumerate(endings):
        os.remove(root / f"images/train-{index}.jpg")
        save(root / f"images/train-{index}{ending}", colours_of(f"train-{index}"))


@odd()
def masks_of_many_formats(root: Path) -> None:
    write(root)
    endings = (".tif", ".tiff", ".bmp", ".TIF", ".webp", ".BMP")
    for index, ending in enumerate(endings):
        os.remove(root / f"masks/train-{index}.png")
        values = values_of(f"train-{index}")
        values = np.repeat(values[..., None], 3, 2) if ending == ".webp" else values
        save(root / f"masks/train-{index}{ending}", values, **({"lossless": True} if ending == ".webp" else {}))


@odd()
def masks_with_a_word(root: Path) -> None:
    write(root, mask="masks/{stem}_mask.png")


@odd()
def masks_with_a_word_and_a_dash(root: Path) -> None:
    write(root, mask="annotations/{stem}-labels.png")


@odd()
def masks_next_to_the_images(root: Path) -> None:
    write(root, "{stem}.jpg", "{stem}_mask.png")


@odd()
def masks_next_to_the_images_in_a_folder(root: Path) -> None:
    write(root, "images/{stem}.png", "images/{stem}_label.png")


@odd()
def masks_next_to_the_images_of_the_same_stem(root: Path) -> None:
    write(root, "images/{stem}.jpg", "images/{stem}.png")


@odd()
def folders_of_other_names(root: Path) -> None:
    write(root, "Images/{stem}.jpg", "Labels/{stem}.png")


@odd()
def masks_named_after_the_whole_file(root: Path) -> None:
    write(root, mask="masks/{stem}.jpg.png")


@odd()
def masks_and_images_with_a_word_before(root: Path) -> None:
    write(root, "images/img_{stem}.jpg", "masks/mask_{stem}.png")
    lists(root, "img_{stem}")


@odd()
def masks_in_a_folder_of_another_name(root: Path) -> None:
    write(root, mask="ground truth/{stem}.png")


@odd()
def lists_in_a_folder(root: Path) -> None:
    write(root)
    (root / "splits").mkdir()
    for split in N:
        (root / f"{split}.txt").rename(root / "splits" / f"{split}.txt")


@odd(error="line 1: 'photo' may be {root}/images/a/photo.jpg or {root}/images/b/photo.jpg; write its path")
def one_stem_in_two_folders(root: Path) -> None:
    write(root)
    for folder in ("a", "b"):
        save(root / f"images/{folder}/photo.jpg", colours_of("train-0"))
        save(root / f"masks/{folder}/photo.png", values_of("train-0"))
    (root / "train.txt").write_text("photo\n", encoding="utf-8")


@odd()
def hidden_files(root: Path) -> None:
    write(root)
    for folder in ("images", "masks"):
        for name in (".DS_Store", "._train-0.jpg", "Thumbs.db", "._train-0.png", "desktop.ini"):
            (root / folder / name).write_bytes(b"\0\5\x16\7")
        (root / folder / ".ipynb_checkpoints").mkdir()
        (root / folder / ".ipynb_checkpoints" / "train-0-checkpoint.jpg").write_bytes(b"")
    (root / "__MACOSX" / "images").mkdir(parents=True)
    (root / "__MACOSX" / "images" / "train-0.jpg").write_bytes(b"")


@odd()
def sub_folders(root: Path) -> None:
    write(root, "images/{split}/{stem}.jpg", "masks/{split}/{stem}.png")
    for split in N:
        text = "".join(f"{split}/{stem}\n" for stem in stems(split))
        (root / f"{split}.txt").write_text(text, encoding="utf-8")


@odd()
def sub_folders_that_the_list_leaves_out(root: Path) -> None:
    write(root, "images/{split}/{stem}.jpg", "masks/{split}/{stem}.png")


@odd()
def sub_folders_without_lists(root: Path) -> None:
    write(root, "images/{split}/{stem}.jpg", "masks/{split}/{stem}.png")
    for split in N:
        (root / f"{split}.txt").unlink()


@odd()
def a_folder_for_each_split(root: Path) -> None:
    write(root, "{split}/images/{stem}.jpg", "{split}/masks/{stem}.png")
    for split in N:
        (root / f"{split}.txt").unlink()


@odd()
def names_decomposed_on_disk(root: Path) -> None:
    name = unicodedata.normalize("NFD", "Müße")
    write(root, f"images/{name} {{stem}}.jpg", f"masks/{name} {{stem}}.png")
    lists(root, unicodedata.normalize("NFC", "Müße") + " {stem}")
    classes(root, (*NAMES[:3], unicodedata.normalize("NFD", "Möwe")))


@odd()
def names_decomposed_in_the_list(root: Path) -> None:
    name = unicodedata.normalize("NFC", "été")
    write(root, f"images/{name} {{stem}}.jpg", f"masks/{unicodedata.normalize('NFD', name)} {{stem}}.png")
    lists(root, unicodedata.normalize("NFD", name) + " {stem}.jpg")


@odd()
def names_with_dots(root: Path) -> None:
    write(root, "images/2020.01.{stem}.v1.jpg", "masks/2020.01.{stem}.v1.png")
    lists(root, "2020.01.{stem}.v1")


@odd(error="train-1.jpg and train-1.png have the same stem; keep one image per mask")
def two_images_of_one_stem(root: Path) -> None:
    write(root)
    save(root / "images/train-1.png", colours_of("train-1"))


@odd(error="may both be the mask of {root}/images/train-1.jpg; keep one")
def two_masks_of_one_image(root: Path) -> None:
    write(root)
    save(root / "masks/train-1.tif", values_of("train-1"))


@odd(error="masks/train-1.png is missing and 1 more; complete the data set")
def masks_missing(root: Path) -> None:
    write(root)
    for index in (1, 4):
        (root / f"masks/train-{index}.png").unlink()


@odd(error="(train-1.gif is there, but only .jpg, .png, .tif, .bmp and .webp are read)")
def mask_that_is_a_gif(root: Path) -> None:
    write(root)
    (root / "masks/train-1.png").rename(root / "masks/train-1.gif")


@odd(error="it contains no masks/; images/*.jpg and masks/*.png are needed")
def no_masks(root: Path) -> None:
    write(root)
    shutil.rmtree(root / "masks")


@odd(warning="masks without a listed image (1): {root}/masks/more.png")
def masks_without_images(root: Path) -> None:
    write(root)
    save(root / "masks/more.png", values_of("train-0"))


@odd(warning="images that no list names (1): {root}/images/more.jpg")
def images_without_masks(root: Path) -> None:
    write(root)
    save(root / "images/more.jpg", colours_of("train-0"))


# Masks


@odd()
def masks_with_a_palette(root: Path) -> None:
    write(root)
    for stem in all_stems():
        picture = Image.fromarray(values_of(stem))
        picture.putpalette(COLOURS.tobytes())
        picture.save(root / f"masks/{stem}.png")


@odd()
def masks_of_16_bits(root: Path) -> None:
    write(root, change=lambda values: np.where(values == 0, 65535, values).astype(np.uint16))


@odd()
def masks_grey_in_three_channels(root: Path) -> None:
    write(root, change=lambda values: np.repeat(values[..., None], 3, 2))


@odd()
def masks_grey_with_opaque_alpha(root: Path) -> None:
    write(root, change=lambda values: np.dstack([values, values, values, np.full_like(values, 255)]))


@odd(error="transparent; save the labels in that format")
def masks_with_transparency(root: Path) -> None:
    write(root, change=lambda values: np.dstack([values, 255 * (values > 0)]).astype(np.uint8))


@odd(error="'PNG RGB'; save the labels in that format (255 marks ignored pixels), or make labels of its colours with")
def masks_in_colours(root: Path) -> None:
    write(root, change=lambda values: COLOURS[values])


@odd(error="'JPEG L', which changes the labels where it saves space; save the labels in that format")
def masks_in_jpeg(root: Path) -> None:
    write(root, mask="masks/{stem}.jpg")


@odd(error="'WEBP RGB', which changes the labels")
def masks_in_lossy_webp(root: Path) -> None:
    write(root, mask="masks/{stem}.webp", change=lambda values: np.repeat(values[..., None], 3, 2), quality=80)


@odd(error="'PNG 1', which tells two labels apart")
def masks_of_one_bit_for_many_classes(root: Path) -> None:
    write(root, change=lambda values: values > 0)


@odd(scenario="folder joint")
def masks_of_one_bit(root: Path) -> None:
    write(root, change=lambda values: values > 0)
    classes(root, NAMES[:2])


@odd(scenario="folder joint")
def masks_of_0_and_1(root: Path) -> None:
    write(root, change=lambda values: (values > 0).astype(np.uint8))
    classes(root, NAMES[:2])


@odd(
    error="{root}: binary masks: they hold only 0 and 255, and 255 marks ignored pixels, so that none shows 'cat' of "
    "classes.txt; set data.binary (--data.binary) to take 255 for the class",
    scenario="folder joint",
)
def masks_of_0_and_255(root: Path) -> None:
    write(root, change=lambda values: (255 * (values > 0)).astype(np.uint8))
    classes(root, NAMES[:2])


@odd(flags=("--data.binary",), scenario="folder joint")
def masks_of_0_and_255_with_the_setting(root: Path) -> None:
    masks_of_0_and_255(root)


@odd(error="write the background and one class there, and set data.binary")
def masks_of_0_and_255_for_three_classes(root: Path) -> None:
    write(root, change=lambda values: (255 * (values > 0)).astype(np.uint8))


@odd(error="4 names, but data.binary is for masks of the background and one class", flags=("--data.binary",))
def binary_setting_for_three_classes(root: Path) -> None:
    write(root)


@odd(error="label 128 is outside the classes, which are 0 to 1", flags=("--data.binary",), scenario="folder joint")
def binary_masks_with_soft_edges(root: Path) -> None:
    masks_of_0_and_255(root)
    values = (255 * (values_of("train-2") > 0)).astype(np.uint8)
    values[:, 15:17] = 128
    save(root / "masks/train-2.png", values)


@odd(error="masks/train-2.png: label 3 is outside the classes, which are 0 to 2", scenario="folder 1-1 overlap")
def labels_without_a_name(root: Path) -> None:
    write(root, change=lambda values: values.clip(0, 2))
    classes(root, NAMES[:3])
    save(root / "masks/train-2.png", values_of("train-2"))


@odd(
    warning="1 of 6 (17 %) training masks are background only, and no step uses their images: {root}/masks/train-1.png"
)
def an_empty_mask(root: Path) -> None:
    write(root)
    save(root / "masks/train-1.png", np.zeros(SIZE, np.uint8))


@odd(warning="no training pixels of horse: it cannot be learnt", scenario="folder 2-2 overlap")
def a_class_that_no_mask_shows(root: Path) -> None:
    write(root)
    classes(root, (*NAMES, "horse"))


@odd(
    error="folder 3-1 overlap, step 1: none of the 6 training images listed in {root}/train.txt is of its classes "
    "(no image shows horse)",
    scenario="folder 3-1 overlap",
)
def a_step_without_images(root: Path) -> None:
    write(root)
    classes(root, (*NAMES, "horse"))


@odd(
    error="folder 2-1 overlap, step 1: this step has 4 training images, fewer than one batch of 5",
    flags=("--optim.batch", "5"),
)
def a_step_smaller_than_a_batch(root: Path) -> None:
    write(root)


# Images


@odd(error="images/train-1.jpg has 48 x 40 pixels, but its mask {root}/masks/train-1.png has 47 x 40; make them equal")
def sizes_that_differ(root: Path) -> None:
    write(root)
    save(root / "masks/train-1.png", values_of("train-1")[:, 1:])


def turned_image(root: Path, stem: str, orientation: int, values: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(root / f"images/{stem}.jpg", values, exif=exif)


@odd(warning="1 of 6 (17 %) training images are turned by their EXIF flag, their masks are not: look whether they fit")
def an_image_turned_by_exif(root: Path) -> None:
    write(root)
    turned_image(root, "train-1", 6, np.rot90(colours_of("train-1")))


@odd(warning="training images are turned by their EXIF flag, and their masks with them")
def an_image_turned_by_exif_with_its_mask(root: Path) -> None:
    write(root)
    turned_image(root, "train-1", 8, np.rot90(colours_of("train-1"), -1))
    save(root / "masks/train-1.png", np.rot90(values_of("train-1"), -1))


@odd(error="make them equal (was one of them resized, or rotated by its EXIF flag?)")
def an_image_turned_without_exif(root: Path) -> None:
    write(root)
    save(root / "images/train-1.jpg", np.rot90(colours_of("train-1")))


@odd(error="images/train-1.jpg: damaged or truncated")
def a_truncated_image(root: Path) -> None:
    write(root)
    path = root / "images/train-1.jpg"
    path.write_bytes(path.read_bytes()[:-100])


@odd(error="and 1 more training images or masks that cannot be used; --findings CSV lists all")
def many_unreadable_images(root: Path) -> None:
    write(root)
    for index in range(4):
        (root / f"images/train-{index}.jpg").write_bytes(b"")


@odd(error="not a readable image (it is a HEIC, and JPEG, PNG, TIFF, BMP and WebP are read); replace the file")
def an_image_of_a_telephone(root: Path) -> None:
    write(root)
    (root / "images/train-1.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))


@odd(error="an image must have 8 bits per channel")
def an_image_of_16_bits(root: Path) -> None:
    write(root)
    (root / "images/train-1.jpg").unlink()
    save(root / "images/train-1.tif", np.full(SIZE, 3000, np.uint16))


@odd(error="images/train-1.tif: it holds several pictures; save each as a file")
def an_image_of_several_pages(root: Path) -> None:
    write(root)
    (root / "images/train-1.jpg").unlink()
    page = Image.fromarray(colours_of("train-1"))
    page.save(root / "images/train-1.tif", save_all=True, append_images=[page])


@odd(warning="images are smaller than the crop of 64 pixels (data.size), and are enlarged")
def images_smaller_than_the_crop(root: Path) -> None:
    write(root)


@odd(warning="1 of 4 (25 %) validation images are training images as well: {root}/images/train-1.jpg")
def an_image_in_both_lists(root: Path) -> None:
    write(root)
    (root / "val.txt").write_text("val-0\nval-1\nval-2\ntrain-1\n", encoding="utf-8")


@odd(warning="1 of 4 (25 %) validation images have the same pixels as a training image: {root}/images/val-0.jpg")
def a_copy_among_the_validation_images(root: Path) -> None:
    write(root)
    shutil.copyfile(root / "images/train-1.jpg", root / "images/val-0.jpg")


@odd(warning="1 of 6 (17 %) training images have the same pixels as another one, and 1 of them other masks")
def a_copy_with_another_mask(root: Path) -> None:
    write(root)
    shutil.copyfile(root / "images/train-1.jpg", root / "images/train-2.jpg")


# classes.txt


@odd()
def classes_with_byte_order_mark_and_crlf(root: Path) -> None:
    write(root)
    (root / "classes.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(NAMES).encode() + b"\r\n\r\n")


@odd()
def classes_with_labels(root: Path) -> None:
    write(root)
    classes(root, tuple(f"{label} {name}" for label, name in enumerate(NAMES)))


@odd()
def classes_with_a_header_and_commas(root: Path) -> None:
    write(root)
    classes(root, ("id,name", *reversed([f"{label},{name}" for label, name in enumerate(NAMES)]), "255,void"))


@odd()
def classes_from_1(root: Path) -> None:
    write(root)
    classes(root, ("# my classes", "1: cat", "2: dog", "3: cow"))


@odd(error="classes.txt: the class name 'cat' is repeated; every name must be unique")
def a_class_twice(root: Path) -> None:
    write(root)
    classes(root, ("background", "cat", "dog", "cat"))


@odd(error="classes.txt: line 3 repeats label 1; give every class its own")
def a_label_twice(root: Path) -> None:
    write(root)
    classes(root, ("0 background", "1 cat", "1 dog", "2 cow"))


@odd(error="classes.txt: label 2 has no name, and the largest label is 4; labels run from 0 without gaps")
def classes_with_a_gap(root: Path) -> None:
    write(root)
    classes(root, ("0 background", "1 cat", "4 dog", "3 cow"))


@odd(error="classes.txt: its lines hold colours, and masks hold labels; `plopkit data convert` makes labels of colours")
def classes_with_colours(root: Path) -> None:
    write(root)
    classes(root, ("background,0,0,0", "cat,255,0,0", "dog,0,255,0", "cow,0,0,255"))


@odd(error="classes.txt is missing; write one class name per line, the background first")
def no_classes(root: Path) -> None:
    write(root)
    (root / "classes.txt").unlink()
