"""CVAT's XML for images and its masks of colours."""

from pathlib import Path

import numpy as np
import pytest
from conversions import array, convert, lines, masks_in, save_image

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task><id>1</id><name>t</name><labels>
      <label><name>road</name><color>#111111</color><type>any</type><attributes></attributes></label>
      <label><name>car</name><color>#222222</color><type>any</type><attributes></attributes></label>
      <label><name>arm</name><parent>body</parent></label>
    </labels></task>
    <dumped>2024-05-01 10:00:00</dumped>
  </meta>
"""


def source(
    folder: Path, *contents: str, subsets: tuple[str, ...] = ("", ""), size: str = 'width="8" height="6"'
) -> Path:
    images = []
    for i, content in enumerate([*contents, ""]):
        save_image(folder / "images" / f"{i}.jpg")
        subset = f'subset="{subsets[i]}"' if i < len(subsets) and subsets[i] else ""
        images.append(f'<image id="{i}" name="{i}.jpg" {subset} {size}>{content}</image>')
    (folder / "annotations.xml").write_text(HEADER + "\n".join(images) + "</annotations>", encoding="utf-8")
    return folder


def shape(kind: str, label: str, z: int = 0, **values: object) -> str:
    attributes = "".join(f' {key}="{value}"' for key, value in values.items())
    return f'<{kind} label="{label}" source="manual" occluded="0" z_order="{z}"{attributes}></{kind}>'


def test_shapes_are_painted_by_height(tmp_path: Path) -> None:
    shapes = (
        shape("box", "car", z=2, xtl="1.00", ytl="1.00", xbr="4.00", ybr="3.00")
        + shape("polygon", "road", z=0, points="0.00,0.00;8.00,0.00;8.00,6.00;0.00,6.00")
        + shape("mask", "car", z=1, rle="1, 2, 2, 1", left=5, top=3, width=3, height=2)
        + shape("polyline", "road", points="0,0;3,3")
        + '<tag label="road" source="manual"></tag>'
    )
    done = convert(source(tmp_path / "in", shapes), root=tmp_path / "root")
    assert (done.format, done.classes) == ("cvat", ("background", "road", "car"))
    expected = array("11111111 12221111 12221111 11111122 11111112 11111111")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], expected)
    assert any(note.startswith("points, lines and cuboids, left out: 1") for note in done.notes)


def test_turned_boxes_and_ellipses(tmp_path: Path) -> None:
    turned = shape("box", "car", xtl=2, ytl=2, xbr=6, ybr=4, rotation="90.0")
    ellipse = shape("ellipse", "road", cx=4, cy=3, rx=2, ry=1)
    convert(source(tmp_path / "in", turned, ellipse), root=tmp_path / "root")
    masks = masks_in(tmp_path / "root")
    assert np.array_equal(masks["0"], array("00000000 00022000 00022000 00022000 00022000 00000000"))
    assert np.array_equal(masks["1"], array("00000000 00000000 00111100 00111100 00000000 00000000"))


def test_subsets_are_splits(tmp_path: Path) -> None:
    done = convert(source(tmp_path / "in", "", "", subsets=("Train", "Validation", "Test")), root=tmp_path / "root")
    assert (done.train, done.val, done.divided) == (1, 1, "as in the source")
    assert lines(tmp_path / "root" / "val.txt") == ["1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (shape("polygon", "car", points="1,1;2"), "image 0.jpg: .*; correct the polygon of 'car'"),
        (shape("polygon", "car", points="1,1;2,nan;3,3"), "it has a coordinate that is no number"),
        (shape("box", "car", xtl="x", ytl=1, xbr=2, ybr=2), "'xtl' of <box> must be a number, not 'x'"),
        (
            shape("mask", "car", rle="1, 2", left=0, top=0, width=3, height=2),
            "run lengths add up to 3, but it covers 6",
        ),
        (shape("mask", "car", rle="1", left=0, top=0, width=99999, height=9999), "is larger than the picture"),
        (shape("box", "", xtl=1, ytl=1, xbr=2, ybr=2), "class name '' is empty"),
    ],
)
def test_damaged_shapes_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(source(tmp_path / "in", content), root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_odd_polygons(tmp_path: Path) -> None:
    shapes = shape("polygon", "car", points="1,1;2,2") + shape("polygon", "car", points="20,20;30,20;30,30")
    done = convert(source(tmp_path / "in", shapes), root=tmp_path / "root")
    assert not masks_in(tmp_path / "root")["0"].any()
    assert any(note.startswith("polygons of fewer than 3 points, left out: 1") for note in done.notes)
    assert any(note.startswith("shapes that cover no pixel, left out: 1") for note in done.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations><image/></annotations>', "declares a DOCTYPE or entities"),
        ("<annotations><image", "not the XML of CVAT"),
        ('<annotations><track id="0" label="car"></track></annotations>', "export 'CVAT for images 1.1' instead"),
    ],
)
def test_other_xml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        convert(path, root=tmp_path / "root")


def test_segmentation_masks(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 200, 0]], np.uint8)
    for i, split in enumerate(("train", "val")):
        save_image(folder / "JPEGImages" / f"{i}.jpg", (2, 3))
        save_image(folder / "SegmentationClass" / f"{i}.png", pixels=colours[array("012 220")])
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(f"{i}\n", encoding="utf-8")
    table = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:0,200,0::\ncar:128,0,0::\n"
    (folder / "labelmap.txt").write_text(table, encoding="utf-8")
    done = convert(folder, root=tmp_path / "root")
    assert (done.format, done.classes, done.divided) == ("cvat", ("background", "road", "car"), "as in the source")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("021 110"))
    assert lines(tmp_path / "root" / "val.txt") == ["1"]
