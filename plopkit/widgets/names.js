// Names for the controls of one widget, as a screen reader says them, titles that open by key, and what of JupyterLab's
// keys they keep.
// Python replaces KEY by the widget's class.
{
  const TITLES = ".jupyter-widget-Collapse-header"; // of an Accordion: by themselves, they answer to the mouse only
  const text = (part, selector) => part.querySelector(selector)?.textContent.trim() ?? "";
  const name = (part, attribute, value) => {
    if (value && part.getAttribute(attribute) !== value) part.setAttribute(attribute, value);
  };
  const update = (box) => {
    for (const group of box.querySelectorAll(".widget-toggle-buttons")) {
      name(group, "role", "group");
      name(group, "aria-label", text(group, ".widget-label"));
      for (const button of group.querySelectorAll("button")) {
        name(button, "aria-pressed", String(button.classList.contains("mod-active")));
      }
    }
    for (const slider of box.querySelectorAll(".widget-slider")) {
      for (const part of slider.querySelectorAll(".noUi-handle, [contenteditable]")) {
        name(part, "aria-label", text(slider, ".widget-label"));
      }
      for (const handle of slider.querySelectorAll(".noUi-handle")) {
        name(handle, "aria-valuetext", text(slider, ".widget-readout"));
      }
    }
    for (const bar of box.querySelectorAll(".progress")) {
      name(bar, "role", "progressbar"); // a name alone is not read
      name(bar, "aria-label", bar.parentElement.title || "progress");
    }
    for (const title of box.querySelectorAll(TITLES)) {
      name(title, "role", "button");
      name(title, "tabindex", "0");
      name(title, "aria-expanded", String(title.parentElement.classList.contains("jupyter-widget-Collapse-open")));
    }
    for (const picture of box.querySelectorAll("img.widget-image")) {
      name(picture, "alt", text(picture.closest(".plopkit-pictured") ?? box, ".plopkit-words"));
    }
  };
  const begin = (box) => {
    if (box.dataset.named) return;
    box.dataset.named = "yes";
    update(box);
    const changes = { subtree: true, childList: true, characterData: true, attributes: true };
    new MutationObserver(() => update(box)).observe(box, { ...changes, attributeFilter: ["class", "src"] });
    const plain = (event) => !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    box.addEventListener("keydown", (event) => {
      if (!event.target.matches(TITLES) || ![" ", "Enter"].includes(event.key) || !plain(event)) return;
      event.preventDefault(); // Space would scroll the page
      event.target.click();
    });
    // Arrow keys move a slider and not JupyterLab's cells; a letter typed here deletes no cell. Ctrl-S still saves.
    const yieldKeys = (event) => {
      if (box.contains(event.target)) event.target.toggleAttribute("data-lm-suppress-shortcuts", plain(event));
    };
    window.addEventListener("keydown", yieldKeys, true);
  };
  let tries = 0;
  const wait = setInterval(() => {
    const boxes = document.querySelectorAll(".KEY");
    boxes.forEach(begin);
    if (boxes.length || ++tries > 2000) clearInterval(wait);
  }, 100);
}
