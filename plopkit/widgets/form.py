"""The settings form: every setting of a run, from the same models as the command line and papermill's parameters."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
from traitlets import TraitError

from plopkit.catalogue import DATASETS, METHODS
from plopkit.flags import command_line
from plopkit.grammar import DOMAIN, PARTS, PROTOCOLS, Words, joined, protocols_of, read_words, task_fits, usual_tasks
from plopkit.parameters import parameters, parameters_yaml
from plopkit.presets import configure, overrides_of
from plopkit.settings import Settings, flat
from plopkit.support.errors import unknown_name
from plopkit.viz.colours import ERROR
from plopkit.widgets.controls import Control, controls_of, top_controls
from plopkit.widgets.explorer import with_fallback

PLACES = ("data.root", "data.saliency", "start.checkpoint", "start.classes", "out", "name")
"""Where data and runs are: settings that a reset keeps."""


class SettingsForm:
    """A form of all settings.

    `form.settings` are the last valid settings; `form.error` says what is wrong with those in the form, "" if nothing.
    A preset, a data set and a method set their own values; what was changed by hand stays, and only that is an
    override.

    Example:
        >>> form = SettingsForm()
        >>> form.set(scenario="voc 15-1 overlap", **{"optim.lr": 0.1})
        >>> form.settings, form.command_line
    """

    def __init__(self, settings: Settings | None = None, preset: str = "laptop", recipe: str = "own"):
        """Make the form.

        Args:
            settings: The first settings; where they differ from the preset, they count as changed by hand.
            preset: The preset that they are compared with.
            recipe: The recipe that they are compared with.
        """
        self.settings = settings or configure(preset=preset, recipe=recipe)
        self.preset, self.recipe, self.error = preset, recipe, ""
        self._chosen = {"scenario": self.settings.scenario, "method": self.settings.method}
        self._chosen |= {"preset": preset, "recipe": recipe}
        self._hand: dict[tuple[str, str], Any] = {}
        for name, value in overrides_of(self.settings, preset, recipe).items():
            self._hand[self._key(name)] = value
        self._muted = False
        self._top = top_controls()
        groups = {"": Settings} | {name: type(getattr(self.settings, name)) for name in ("data", "start", "model")}
        groups |= {name: type(getattr(self.settings, name)) for name in ("optim", "memory", "compute")}
        self._groups = {name: list(controls_of(kind, name and f"{name}.")) for name, kind in groups.items()}
        self._groups[""] = [control for control in self._groups[""] if control.name not in ("scenario", "method")]
        self._hyper = {name: list(controls_of(kind, "hyper.")) for name, kind in METHODS.items()}
        self._build_box()
        for control in self._all_controls():
            control.widget.observe(
                lambda change, control=control: self._changed(control.name, control.read(change["new"])), "value"
            )
        for name, control in self._top.items():
            control.observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        self._apply()

    @property
    def controls(self) -> dict[str, Any]:
        """The widgets by setting: `dataset, task, protocol, order, method, preset, recipe`, then the dotted names."""
        return self._top | {control.name: control.widget for control in self._current_controls()}

    @property
    def command_line(self) -> str:
        """The `plopkit run` command that means `settings`."""
        return command_line(self.settings, self.preset, self.recipe)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of a notebook that mean `settings`."""
        return parameters(self.settings, self.preset, self.recipe)

    @property
    def yaml(self) -> str:
        """`parameters` as a file for `papermill -f`."""
        return parameters_yaml(self.settings, self.preset, self.recipe)

    def set(self, **values: Any) -> None:
        """Change several settings at once. A wrong value is explained in the form, as if typed there.

        Args:
            values: By dotted name, or by the name of a first choice; `scenario` stands for its parts.

        Raises:
            ValueError: There is no such setting.
        """
        method = values.get("method", self._chosen["method"])
        hyper = [control.name for control in self._hyper.get(method, ())]
        known = [
            "scenario",
            *self._top,
            *(control.name for group in self._groups.values() for control in group),
            *hyper,
        ]
        for name in values:
            if name not in known:
                raise unknown_name("setting", name, known)
        for name in sorted(values, key=known.index):  # the method before its hyper-parameters
            self._take(name, values[name])
        self._apply(*values)

    def reset(self) -> None:
        """Undo all changes by hand except those of `PLACES`: back to the values of preset, data set and method."""
        self._hand = {key: value for key, value in self._hand.items() if key[1] in PLACES}
        self._apply()

    def _changed(self, name: str, value: Any) -> None:
        if not self._muted:
            self._take(name, value)
            if name == "dataset":
                self._adapt_scenario(value)
            elif name == "protocol":
                self._adapt_task(value)
            self._apply(name)

    def _take(self, name: str, value: Any) -> None:
        """Note a choice. A control may hold a wrong value, which `_apply` finds."""
        if name in self._chosen:
            self._chosen[name] = value
        elif name in PARTS:
            self._put(self._top[name], value)
            self._chosen["scenario"] = joined(*(self._top[part].value.strip() for part in PARTS))
        else:
            control = next((control for control in self._current_controls() if control.name == name), None)
            if control is not None:
                self._put(control.widget, control.write(value))
                value = control.read(value) if isinstance(value, str) else value
            self._hand[self._key(name)] = value

    def _adapt_scenario(self, dataset: str) -> None:
        """Keep protocol, task and order where the new data set has them."""
        if self._top["protocol"].value not in protocols_of(dataset):
            self._take("protocol", PROTOCOLS[0])
        tasks = usual_tasks(dataset, self._top["protocol"].value)
        if self._top["task"].value not in tasks:
            self._take("task", tasks[0])
        if self._top["order"].value not in DATASETS[dataset].class_orders():
            self._take("order", "")

    def _adapt_task(self, protocol: str) -> None:
        """Keep task and order where they fit the new protocol: classes are not as many as domains."""
        if protocol == DOMAIN:
            self._take("order", "")
        words = Words(*(self._top[part].value.strip() for part in PARTS))
        if not task_fits(words, DATASETS[words.dataset].n_labels):
            self._take("task", usual_tasks(words.dataset, words.protocol)[0])

    def _key(self, name: str) -> tuple[str, str]:
        """The key of a change by hand. Hyper-parameters belong to a method: MiB's `hyper.kd` is not LwF's."""
        return (self._chosen["method"] if name.startswith("hyper.") else "", name)

    def _apply(self, *touched: str) -> None:
        """Check the choices: valid settings are applied and shown, wrong ones explained."""
        chosen = self._chosen
        overrides = {name: value for (method, name), value in self._hand.items() if method in ("", chosen["method"])}
        try:
            self.settings = configure(
                chosen["scenario"], chosen["method"], chosen["preset"], overrides, recipe=chosen["recipe"]
            )
        except ValueError as error:
            self.error = str(error)
        else:
            self.error, self.preset, self.recipe = "", chosen["preset"], chosen["recipe"]
            own = overrides_of(self.settings, self.preset, self.recipe)
            for name in touched:  # set back to the preset's value by hand: no longer a change
                if name not in own:
                    self._hand.pop(self._key(name), None)
            self._refill()
        self._explain()

    def _refill(self) -> None:
        """Show the settings in all controls."""
        words = read_words(self.settings.scenario)
        scenario = words._replace(protocol=words.protocol or PROTOCOLS[0])._asdict()
        values = flat(self.settings.model_dump(mode="json"))
        self._top["task"].options = usual_tasks(words.dataset, scenario["protocol"])
        self._top["order"].options = tuple(filter(None, DATASETS[words.dataset].class_orders()))
        for name, control in self._top.items():
            self._put(control, (scenario | self._chosen)[name])
        for control in self._current_controls():
            self._put(control.widget, control.write(values[control.name]))
        kind = METHODS[self.settings.method]
        self._hyper_box.children = [control.row() for control in self._hyper[kind.name]] or [ipywidgets.HTML("none")]
        self._accordion.set_title(len(self._groups), f"hyper: the hyper-parameters of {kind.title}")
        self._about.value = html.escape(f"{kind.title} ({kind.source}): {kind.about()}")

    def _explain(self) -> None:
        """Show what is wrong, and the settings as a command and as parameters."""
        text = html.escape(self.error).replace("\n", "<br>")
        self.message.value = f"<b style='color:{ERROR}'>Not applied: {text}</b>" if self.error else ""
        style = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4;margin:0"
        self.equivalents.value = (
            f"The same as a command:<pre style='{style}'>{html.escape(self.command_line)}</pre>"
            f"and as papermill's parameters (<code>papermill -f</code> reads them from a file):"
            f"<pre style='{style}'>{html.escape(self.yaml)}</pre>"
        )

    def _put(self, control: Any, value: Any) -> None:
        """Set a control without reacting to it; a control that cannot hold the value stays as it is."""
        with self._silent():
            try:
                control.value = value
            except TraitError:
                return

    def _current_controls(self) -> Iterator[Control]:
        """Those of all groups and of the chosen method."""
        for group in self._groups.values():
            yield from group
        yield from self._hyper.get(self._chosen["method"], ())

    def _all_controls(self) -> Iterator[Control]:
        for group in (*self._groups.values(), *self._hyper.values()):
            yield from group

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before, self._muted = self._muted, True
        try:
            yield
        finally:
            self._muted = before

    def _build_box(self) -> None:
        self.message, self.equivalents, self._about = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        seed = next(control.widget for control in self._groups[""] if control.name == "seed")
        seed.layout.width = "12em"
        reset = ipywidgets.Button(description="Back to the preset", tooltip="undo all changes by hand")
        reset.on_click(lambda button: self.reset())
        self._hyper_box = ipywidgets.VBox()
        rows = [
            ipywidgets.VBox([control.row() for control in group if control.name != "seed"])
            for group in self._groups.values()
        ]
        titles = ["run: evaluation and folders"]
        titles += [f"{name}: {type(getattr(self.settings, name)).__doc__}" for name in self._groups if name]
        self._accordion = ipywidgets.Accordion([*rows, self._hyper_box], titles=[*titles, "hyper"])
        wrapped = {"flex_flow": "row wrap"}
        top = ipywidgets.HBox([*self._top.values(), seed, reset], layout=wrapped)
        self.box = ipywidgets.VBox([top, self._about, self.message, self._accordion, self.equivalents])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return with_fallback(self.box, {"text/plain": f"{self.command_line}\n\n{self.yaml}"})
