"""More data folders as people have them: links, odd names, odd lists of classes, and files of odd kinds."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
from datasets.odd_folders import N, all_stems, classes, colours_of, lists, odd, save, stems, values_of, write
from PIL import Image

STEP_0 = "folder 2-1 overlap, step 0"


def png_of(width: int, height: int, depth: int, kind: int, pixels: bytes) -> bytes:
    """A PNG of any depth and kind of colours, which Pillow does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


# Lists


@odd(error="train.txt: line 1 names several images (train-0, train-1, train-2); write each on a line of its own")
def list_as_json(root: Path) -> None:
    write(root)
    for split in N:
        (root / f"{split}.txt").write_text(json.dumps(stems(split)))


@odd(error="train.txt: line 1 names several images (train-0, train-1, train-2)")
def list_on_one_line(root: Path) -> None:
    write(root)
    for split in N:
        (root / f"{split}.txt").write_text(" ".join(stems(split)))


@odd()
def list_of_three_columns(root: Path) -> None:
    write(root)
    lists(root, "images/{stem}.jpg\tmasks/{stem}.png\tcamera 3")


@odd(warning="images that no list names (1): {root}/images/train-0.png")
def list_that_names_one_of_two_files_of_a_stem(root: Path) -> None:
    write(root)
    save(root / "images/train-0.png", colours_of("train-5"))
    lists(root, "{stem}.jpg")


@odd(error="images/train-0.jpg and train-0.png have the same stem; keep one image per mask")
def list_that_names_both_files_of_a_stem(root: Path) -> None:
    write(root)
    save(root / "images/train-0.png", colours_of("train-5"))
    lists(root, "{stem}.jpg", before="train-0.png\n")


# Files and folders


@odd(error="images/train-1.jpg is missing; complete the data set, or remove the image from the split file (a link of ")
def a_link_that_leads_nowhere(root: Path) -> None:
    write(root)
    (root / "images/train-1.jpg").unlink()
    (root / "images/train-1.jpg").symlink_to("nowhere/train-1.jpg")


@odd(error="masks/train-1.png is missing; complete the data set, or remove the image from the split file (a folder has")
def a_folder_with_the_name_of_a_mask(root: Path) -> None:
    write(root)
    (root / "masks/train-1.png").unlink()
    (root / "masks/train-1.png").mkdir()


@odd()
def links_in_a_circle(root: Path) -> None:
    write(root)
    (root / "images/again").symlink_to(root / "images")
    (root / "masks/again").symlink_to("../masks")


@odd()
def links_to_each_file(root: Path) -> None:
    write(root)
    (root / ".store").mkdir()
    for number, path in enumerate([*(root / "images").iterdir(), *(root / "masks").iterdir()]):
        path.rename(root / ".store" / f"{number}{path.suffix}")
        path.symlink_to(root / ".store" / f"{number}{path.suffix}")


@odd()
def folders_twelve_deep(root: Path) -> None:
    deep = "/".join("abcdefghijkl")
    write(root, f"images/{deep}/{{stem}}.jpg", f"masks/{deep}/{{stem}}.png")


@odd(error="masks: it contains no masks (.jpg, .png, .tif, .bmp and .webp), but 10 files .npy; images/*.jpg and masks/")
def masks_of_numpy(root: Path) -> None:
    write(root)
    for path in (root / "masks").iterdir():
        path.unlink()
        np.save(path.with_suffix(".npy"), values_of(path.stem))


@odd(
    error="it contains no masks/; images/*.jpg and masks/*.png are needed (`plopkit data convert` makes masks from ann"
)
def annotations_in_place_of_masks(root: Path) -> None:
    write(root)
    shutil.rmtree(root / "masks")
    (root / "annotations.json").write_text("{}")


@odd()
def names_with_emoji_braces_and_a_number_sign(root: Path) -> None:
    write(root, "images/#🐱 100% {{x}} {stem}.jpg", "masks/#🐱 100% {{x}} {stem}.png")
    lists(root, "#🐱 100% {{x}} {stem}")


# Classes


@odd()
def classes_with_the_label_behind(root: Path) -> None:
    write(root)
    (root / "classes.txt").write_text("cat 1\ndog 2\ncow 3\nbackground 0\n")


@odd()
def classes_with_dashes(root: Path) -> None:
    write(root)
    (root / "classes.txt").write_text("- background\n- cat\n- dog\n- cow\n")


@odd(error="classes.txt: line 2 is empty; line n names label n - 1: name it, or remove the line")
def classes_with_blank_lines(root: Path) -> None:
    write(root)
    (root / "classes.txt").write_text("background\n\ncat\n\ndog\n\ncow\n")


# Masks and images


@odd(error=f"{STEP_0}: none of the 6 training images listed in {{root}}/train.txt is of its classes", warning="ignored")
def masks_that_are_ignored_as_a_whole(root: Path) -> None:
    write(root, change=lambda values: np.full_like(values, 255))


@odd(
    error="masks/train-0.png: label 50 is outside the classes",
    warning=f"without the images that cannot be used: {STEP_0}: none of the 6 training images",
)
def masks_stretched_to_be_seen(root: Path) -> None:
    write(root, change=lambda values: values * 50)


@odd()
def masks_packed_as_in_tiff(root: Path) -> None:
    write(root, mask="masks/{stem}.tif", compression="packbits")


@odd(error="masks/train-0.tif: it holds several pictures; save each as a file", warning="without the images that")
def masks_of_two_pages(root: Path) -> None:
    write(root)
    for stem in all_stems():
        (root / "masks" / f"{stem}.png").unlink()
        page = Image.fromarray(values_of(stem))
        page.save(root / "masks" / f"{stem}.tif", save_all=True, append_images=[page])


@odd()
def masks_of_8_and_of_16_bits(root: Path) -> None:
    write(root)
    for stem in stems("train")[::2]:
        save(root / "masks" / f"{stem}.png", values_of(stem).astype(np.uint16))


@odd()
def images_of_16_bits_a_colour(root: Path) -> None:
    write(root)
    for stem in all_stems():
        (root / "images" / f"{stem}.jpg").unlink()
        wide = colours_of(stem).astype(">u2") * 257
        rows = b"".join(b"\0" + row.tobytes() for row in wide)
        (root / "images" / f"{stem}.png").write_bytes(png_of(wide.shape[1], wide.shape[0], 16, 2, rows))


@odd(error="images/train-3.png: 400,000,000 pixels; an image has at most 67,108,864: make it smaller, or cut it into ")
def an_image_of_a_whole_slide(root: Path) -> None:
    write(root)
    (root / "images/train-3.jpg").unlink()
    (root / "images/train-3.png").write_bytes(png_of(20_000, 20_000, 8, 0, b""))


@odd(error="images/train-3.jpg: not a readable image (it is empty); replace the file")
def an_image_of_no_bytes(root: Path) -> None:
    write(root)
    (root / "images/train-3.jpg").write_bytes(b"")


@odd(error="images/train-0.jpg has 48 x 40 pixels, but its mask {root}/masks/train-0.png has 96 x 80; make them equal")
def masks_larger_than_the_images(root: Path) -> None:
    write(root, change=lambda values: values.repeat(2, 0).repeat(2, 1))


# What is near


@odd(error="classes.txt is missing; write one class name per line, the background first (it is in {root}/deeper: ")
def a_folder_in_a_folder(root: Path) -> None:
    write(root / "deeper")


@odd(
    error="write one class name per line, the background first (Label_Names.txt is there: rename it, or copy its names)"
)
def classes_in_a_file_of_another_name(root: Path) -> None:
    write(root)
    (root / "classes.txt").rename(root / "Label_Names.txt")


@odd(
    error="val.txt: no val list; write the file stems of that split, one per line, or put its images into images/val/ ("
)
def a_test_list_and_no_validation_list(root: Path) -> None:
    write(root)
    (root / "val.txt").rename(root / "test.txt")


@odd(
    error="masks/train-0.png is missing and 5 more; complete the data set, or remove the image from the split file (TRA"
)
def masks_in_upper_case(root: Path) -> None:
    write(root)
    for path in list((root / "masks").iterdir()):
        path.rename(path.with_name(path.name.upper()))


@odd(
    error="train.txt: line 1: {root}/images/Bild.jpg is missing; complete the data set, or remove the image from the sp"
)
def list_with_a_header_in_german(root: Path) -> None:
    write(root)
    lists(root, "{stem}.jpg\t{stem}.png", before="Bild\tMaske\n")


@odd()
def list_with_characters_without_width(root: Path) -> None:
    write(root)
    lists(root, "\ufeff{stem}\u200b")


@odd()
def list_of_a_program(root: Path) -> None:
    write(root)
    lists(root, "'{stem}',")


@odd()
def classes_of_labelme(root: Path) -> None:
    write(root)
    classes(root, ("__ignore__", "_background_", "cat", "dog", "cow"))


@odd()
def classes_of_a_dictionary(root: Path) -> None:
    write(root)
    classes(root, ("0: 'background'", "1: 'cat'", "2: 'dog'", "3: 'cow'"))


@odd(error="classes.txt: 'background\\t1200' has several columns; write the name alone, or behind its label")
def classes_with_counts(root: Path) -> None:
    write(root)
    classes(root, ("background\t1200", "cat\t300", "dog\t200", "cow\t10"))


@odd(error="images/train-3.jpg: not a readable image (it is the pointer of Git LFS to a file that was not fetched: ")
def an_image_that_git_lfs_did_not_fetch(root: Path) -> None:
    write(root)
    (root / "images/train-3.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")


@odd(error="label -1 is outside the classes, which are 0 to 3; correct the mask (255 marks ignored pixels)")
def masks_that_begin_at_minus_1(root: Path) -> None:
    write(root, mask="masks/{stem}.tif", change=lambda values: values.astype(np.int32) - 1)
