"""Every explorer, the form, the live run and questions in JupyterLab: by mouse, by keyboard, on four screens, by name,
and without a kernel.

All of them are in one notebook, on a few small images; the tests use it in turn.
"""

import re
from pathlib import Path

import nbformat
import pytest
from explorers import EXPLORERS, OTHERS
from lab import PATIENCE, Lab, Open, shot
from lesson_runs import FOREIGN_WARNINGS
from nbformat import v4
from playwright.sync_api import Locator, Page, expect

pytest_plugins = ["lesson_runs"]
pytestmark = FOREIGN_WARNINGS

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SCREENS = {"laptop": (1280, 800), "dark": (1280, 800), "zoomed to 150 %": (853, 533), "phone": (390, 800)}
TALLEST = 600  # pixels of an explorer: its controls, picture and words are in sight together

# What is wider than the screen, a long word included; a picture may be, in a box that scrolls.
OVERFLOW = """output => {
    const room = output.getBoundingClientRect();
    const kinds = '.jupyter-widgets, .widget-html-content > *, button, input, select, .noUi-handle, .plopkit-words';
    const parts = [...output.querySelectorAll(kinds)];
    const cut = parts.filter(part => part.checkVisibility() && part.tagName !== 'IMG')
        .map(part => [part, part.getBoundingClientRect()])
        .filter(([, box]) => box.left < room.left - 3 || box.right > room.right + 1);
    return cut.map(([part, box]) => `${part.className}: ${box.left} to ${box.right} of ${room.right}`);
}"""

ACTIVE = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"

# Words and their background, each as [red, green, blue].
COLOURS = """part => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    let behind = part;
    while ((numbers(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
    return [part, behind].map((one, k) => numbers(getComputedStyle(one)[k ? 'backgroundColor' : 'color']).slice(0, 3));
}"""


@pytest.fixture(scope="module")
def notebook(lab: Lab, page: Page) -> Open:
    cells = [v4.new_code_cell(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport explorers")]
    cells += [v4.new_code_cell(f"explorer_{n} = explorers.EXPLORERS[{n!r}]()\nexplorer_{n}") for n in EXPLORERS]
    cells += [v4.new_code_cell(f"other_{n} = explorers.OTHERS[{n!r}]()\nother_{n}") for n in OTHERS]
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), lab.folder / "explorers.ipynb")
    opened = Open(lab, page, "explorers.ipynb")
    opened.run_all()
    return opened


@pytest.fixture(params=EXPLORERS)
def explorer(request: pytest.FixtureRequest, notebook: Open) -> Locator:
    """The output of a lesson's explorer, once it has its names."""
    output = notebook.output(f"explorer_{request.param} =")
    expect(picture(output)).to_have_attribute("alt", re.compile(r".{20,}\."))
    return output


def picture(output: Locator) -> Locator:
    return output.get_by_role("img")


def wait_for_another(image: Locator, before: str) -> None:
    expect(image).not_to_have_attribute("src", before)


def contrast(colours: list[list[float]]) -> float:
    """The ratio of luminances of https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    parts = [
        [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in rgb)] for rgb in colours
    ]
    low, high = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in parts)
    return (high + 0.05) / (low + 0.05)


def test_questions_are_answered_by_keyboard(notebook: Open) -> None:
    page, cells = notebook.page, notebook.panel.locator(".jp-Cell")
    count = cells.count()
    question = notebook.output("other_reveal =")
    question.get_by_role("button", name="the net that was fine-tuned").focus()
    active = page.evaluate(ACTIVE)
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(question.get_by_role("button", name="both alike")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("b")
    assert question.get_by_role("img").count() == 0
    page.keyboard.press("Space")
    expect(question.get_by_role("status")).to_have_text("You chose both alike. Right is: the net that was fine-tuned.")
    expect(question.get_by_role("img")).to_have_attribute("alt", re.compile(r".{20,}\."))
    box = notebook.output("other_typed =").get_by_role("textbox", name="your guess")
    box.fill("21")
    box.press("Enter")
    expect(notebook.output("other_typed =").get_by_role("status")).to_have_text("Right: 21.")
    assert page.evaluate(ACTIVE) == active + 1 and cells.count() == count


def test_a_run_is_started_by_keyboard(notebook: Open) -> None:
    live = notebook.output("other_live =")
    button = live.get_by_role("button", name="Run")
    button.focus()
    button.press("Space")
    expect(live).to_contain_text("finished: ")
    expect(picture(live)).to_have_attribute("alt", re.compile(r"losses after .*\."))
    expect(live.get_by_role("progressbar")).to_have_accessible_name(re.compile(r"\S"))


def test_the_form_is_filled_by_keyboard_and_has_names(notebook: Open) -> None:
    form, page = notebook.output("other_form ="), notebook.page
    cells = notebook.panel.locator(".jp-Cell")
    count = cells.count()
    title = form.get_by_role("button", name=re.compile(r"\boptim: "))
    for key, opened in (("Space", "true"), ("Space", "false"), ("Enter", "true")):
        title.press(key)
        expect(title).to_have_attribute("aria-expanded", opened)
    rate = form.get_by_label("optim.lr", exact=True)
    expect(rate).to_be_visible()
    active = page.evaluate(ACTIVE)
    rate.fill("0.02")
    rate.press("Enter")
    expect(form).to_contain_text("--optim.lr 0.02")
    form.get_by_label("method", exact=True).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(ACTIVE) == active and cells.count() == count
    for role in ("button", "textbox", "combobox", "spinbutton", "checkbox"):
        for control in form.get_by_role(role).all():
            expect(control).to_have_accessible_name(re.compile(r"\S"))


@pytest.mark.parametrize("screen", SCREENS)
def test_everything_is_in_sight_and_legible(notebook: Open, screen: str) -> None:
    page = notebook.page
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    theme = "JupyterLab Dark" if screen == "dark" else "JupyterLab Light"
    notebook._do("apputils:change-theme", {"theme": theme})
    if screen == "phone":
        notebook._do("application:toggle-left-area")
    for number in EXPLORERS:
        output = notebook.output(f"explorer_{number} =")
        output.scroll_into_view_if_needed()
        box = output.bounding_box()
        assert box is not None and output.evaluate(OVERFLOW) == [], number
        if screen != "phone":
            assert box["height"] <= TALLEST, number
        shown, drawn = picture(output).evaluate("image => [image.width, image.naturalWidth]")
        assert drawn >= 2 * shown and shown >= min(640, drawn // 2), number
        for words in (output.locator(".plopkit-words"), output.locator(".widget-label").first):
            assert contrast(words.evaluate(COLOURS)) >= 4.5, number
        shot(output, f"{number}_{screen.split()[0]}")
    for name in OTHERS:
        output = notebook.output(f"other_{name} =")
        output.scroll_into_view_if_needed()
        assert output.evaluate(OVERFLOW) == [], name
        for words in output.locator(".widget-label, .widget-html-content, [role=status]").all():
            if words.is_visible() and words.inner_text().strip():
                assert contrast(words.evaluate(COLOURS)) >= 4.5, (name, words.inner_text())
        shot(output, f"{name}_{screen.split()[0]}")
    if screen == "phone":
        notebook._do("application:toggle-left-area")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_every_control_has_a_name(explorer: Locator) -> None:
    for role in ("button", "slider", "textbox"):
        for control in explorer.get_by_role(role).all():
            expect(control).to_have_accessible_name(re.compile(r"\S"))
    groups = explorer.locator(".widget-toggle-buttons")
    assert groups.count() == explorer.get_by_role("group").count() > 0
    for group in groups.all():
        expect(group.locator("button[aria-pressed=true]")).to_have_count(1)
    expect(explorer.get_by_role("status")).to_have_text(picture(explorer).get_attribute("alt") or "")


def test_by_mouse(explorer: Locator) -> None:
    image = picture(explorer)
    for group in explorer.locator(".widget-toggle-buttons").all():
        before = image.get_attribute("src") or ""
        group.locator("button[aria-pressed=false]").first.click()
        wait_for_another(image, before)
    for slider in explorer.locator(".widget-slider:has(.noUi-target:not([disabled]))").all():
        before, track = image.get_attribute("src") or "", slider.locator(".noUi-target")
        box = track.bounding_box()
        assert box is not None
        track.click(position={"x": 0.9 * box["width"], "y": box["height"] / 2})
        wait_for_another(image, before)


def test_by_keyboard_which_neither_moves_nor_deletes_cells(explorer: Locator, notebook: Open) -> None:
    image, page = picture(explorer), notebook.page
    cells = notebook.panel.locator(".jp-Cell")
    count = cells.count()
    explorer.locator("button").first.focus()
    active = page.evaluate(ACTIVE)
    changed = 0
    for _ in range(explorer.locator("button:enabled, .noUi-handle, [contenteditable=true]").count()):
        expect(explorer.locator(":focus")).to_have_count(1)
        focus, before = page.locator(":focus"), image.get_attribute("src") or ""
        if focus.and_(page.locator(".noUi-target:not([disabled]) .noUi-handle")).count():
            value = focus.get_attribute("aria-valuetext") or ""
            focus.press("ArrowLeft")  # not every value changes the picture
            expect(focus).not_to_have_attribute("aria-valuetext", value)
        elif changed < 4 and focus.get_attribute("aria-pressed") == "false":
            focus.press("Space")
            wait_for_another(image, before)
            changed += 1
        if focus.get_attribute("contenteditable") is None:
            page.keyboard.press("ArrowDown")
            page.keyboard.press("b")
        assert page.evaluate(ACTIVE) == active
        page.keyboard.press("Tab")
    assert changed >= 2
    assert cells.count() == count


def test_without_a_kernel_pictures_stand_in(notebook: Open, lab: Lab) -> None:
    notebook._do("docmanager:save")
    expect(notebook.page.locator("#jp-main-statusbar")).to_contain_text("Saving completed")
    lab.end_kernels()
    notebook.page.goto(lab.url("lab/tree/explorers.ipynb") + "&reset", timeout=PATIENCE * 1000)
    for number in EXPLORERS:
        output = notebook.output(f"explorer_{number} =")
        expect(output.get_by_text("choose Run > Run All Cells")).to_be_visible()
        expect(picture(output)).to_have_attribute("alt", re.compile(r".{20,}\."))
        expect(output.get_by_text("model not found")).to_be_hidden()
    for name in OTHERS:
        output = notebook.output(f"other_{name} =")
        expect(output.get_by_text("choose Run > Run All Cells")).to_be_visible()
        expect(output.get_by_text("model not found")).to_be_hidden()
    shot(notebook.page, "without_a_kernel")
