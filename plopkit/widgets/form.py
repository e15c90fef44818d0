"""The settings form: every setting of a run, from the same models as the command line and papermill's parameters."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
from traitlets import TraitError

from plopkit.catalogue import DATASETS, METHODS
from plopkit.flags import command_line
from plopkit.grammar import PROTOCOLS, Words, joined, read_words
from plopkit.parameters import parameters, parameters_yaml
from plopkit.presets import configure, overrides_of
from plopkit.settings import Settings, flat
from plopkit.support.errors import unknown_name
from plopkit.widgets.controls import Knob, knobs_of, top_controls
from plopkit.widgets.explorer import with_fallback

PARTS = Words._fields
"""A scenario's parts, each with a control: data set, task, protocol, order."""
PLACES = ("data.root", "out", "name")


class SettingsForm:
    """``form.settings`` are the last good settings; ``form.error`` tells what is wrong with those in the form, if so.

    A preset, a data set and a method bring their own values; what was changed by hand stays, and only that is an
    override. ``form.set(scenario="voc 15-1 overlap", **{"optim.lr": 0.1})`` does from code what the controls do.
    """

    def __init__(self, settings: Settings | None = None, preset: str = "laptop"):
        """settings: what the form begins with; where they differ from ``preset`` counts as changed by hand."""
        self.settings = settings or configure(preset=preset)
        self.preset, self.error = preset, ""
        self._chosen = {"scenario": self.settings.scenario, "method": self.settings.method, "preset": preset}
        self._hand: dict[tuple[str, str], Any] = {}
        for name, value in overrides_of(self.settings, preset).items():
            self._hand[self._key(name)] = value
        self._quiet = False
        self._top = top_controls()
        groups = {"": Settings} | {name: type(getattr(self.settings, name)) for name in ("data", "model")}
        groups |= {name: type(getattr(self.settings, name)) for name in ("optim", "compute")}
        self._groups = {name: list(knobs_of(kind, name and f"{name}.")) for name, kind in groups.items()}
        self._groups[""] = [knob for knob in self._groups[""] if knob.name not in ("scenario", "method")]
        self._hyper = {name: list(knobs_of(kind, "hyper.")) for name, kind in METHODS.items()}
        self._build_box()
        for knob in self._all_knobs():
            knob.widget.observe(lambda change, knob=knob: self._changed(knob.name, knob.read(change["new"])), "value")
        for name, control in self._top.items():
            control.observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        self._apply()

    @property
    def controls(self) -> dict[str, Any]:
        """The widgets by setting: ``dataset, task, protocol, order, method, preset``, then the dotted names."""
        return self._top | {knob.name: knob.widget for knob in self._knobs()}

    @property
    def command_line(self) -> str:
        """The ``plopkit run`` command that means ``settings``."""
        return command_line(self.settings, self.preset)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of a notebook that mean ``settings``."""
        return parameters(self.settings, self.preset)

    @property
    def yaml(self) -> str:
        """The same as a file for ``papermill -f``."""
        return parameters_yaml(self.settings, self.preset)

    def set(self, **values: Any) -> None:
        """Change several settings at once, by their dotted names; ``scenario`` stands for its parts.

        ValueError for a name that is not known. A wrong value is told in the form, as if typed there.
        """
        method = values.get("method", self._chosen["method"])
        hyper = [knob.name for knob in self._hyper.get(method, ())]
        known = ["scenario", *self._top, *(k.name for group in self._groups.values() for k in group), *hyper]
        for name in values:
            if name not in known:
                raise unknown_name("setting", name, known)
        for name in sorted(values, key=known.index):  # the method before its hyper-parameters
            self._take(name, values[name])
        self._apply(*values)

    def reset(self) -> None:
        """Forget all changes by hand but where things lie: back to the values of preset, data set and method."""
        self._hand = {key: value for key, value in self._hand.items() if key[1] in PLACES}
        self._apply()

    def _changed(self, name: str, value: Any) -> None:
        if not self._quiet:
            self._take(name, value)
            if name == "dataset":
                self._adapt_task(value)
            self._apply(name)

    def _take(self, name: str, value: Any) -> None:
        """Note what was chosen; a control may hold a wrong value, which ``_apply`` finds."""
        if name in self._chosen:
            self._chosen[name] = value
        elif name in PARTS:
            self._put(self._top[name], value)
            self._chosen["scenario"] = joined(*(self._top[part].value.strip() for part in PARTS))
        else:
            knob = next((knob for knob in self._knobs() if knob.name == name), None)
            if knob is not None:
                self._put(knob.widget, knob.write(value))
                value = knob.read(value) if isinstance(value, str) else value
            self._hand[self._key(name)] = value

    def _adapt_task(self, dataset: str) -> None:
        """The task and order stay where the new data set has them."""
        if self._top["task"].value not in DATASETS[dataset].tasks:
            self._take("task", DATASETS[dataset].tasks[0])
        if self._top["order"].value not in DATASETS[dataset].class_orders():
            self._take("order", "")

    def _key(self, name: str) -> tuple[str, str]:
        """Hyper-parameters are changed for one method: MiB's ``hyper.kd`` is not LwF's."""
        return (self._chosen["method"] if name.startswith("hyper.") else "", name)

    def _apply(self, *touched: str) -> None:
        """Check what is chosen; good settings are taken over and shown, wrong ones told."""
        chosen = self._chosen
        overrides = {name: value for (method, name), value in self._hand.items() if method in ("", chosen["method"])}
        try:
            self.settings = configure(chosen["scenario"], chosen["method"], chosen["preset"], overrides)
        except ValueError as error:
            self.error = str(error)
        else:
            self.error, self.preset = "", chosen["preset"]
            own = overrides_of(self.settings, self.preset)
            for name in touched:  # put back to the preset's value by hand: no change any more
                if name not in own:
                    self._hand.pop(self._key(name), None)
            self._refill()
        self._tell()

    def _refill(self) -> None:
        """Show the settings in all controls."""
        words = read_words(self.settings.scenario)
        scenario = words._replace(protocol=words.protocol or PROTOCOLS[0])._asdict()
        values = flat(self.settings.model_dump(mode="json"))
        self._top["task"].options = DATASETS[words.dataset].tasks
        self._top["order"].options = tuple(filter(None, DATASETS[words.dataset].class_orders()))
        for name, control in self._top.items():
            self._put(control, (scenario | self._chosen)[name])
        for knob in self._knobs():
            self._put(knob.widget, knob.write(values[knob.name]))
        kind = METHODS[self.settings.method]
        self._hyper_box.children = [knob.row() for knob in self._hyper[kind.name]] or [ipywidgets.HTML("none")]
        self._accordion.set_title(len(self._groups), f"hyper: the hyper-parameters of {kind.title}")
        self._about.value = html.escape(f"{kind.title} ({kind.source}): {kind.about()}")

    def _tell(self) -> None:
        told = html.escape(self.error).replace("\n", "<br>")
        self.told.value = f"<b style='color:#D55E00'>Not taken over: {told}</b>" if self.error else ""
        style = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4;margin:0"
        self.spelled.value = (
            f"The same as a command:<pre style='{style}'>{html.escape(self.command_line)}</pre>"
            f"and as papermill's parameters (<code>papermill -f</code> reads them from a file):"
            f"<pre style='{style}'>{html.escape(self.yaml)}</pre>"
        )

    def _put(self, control: Any, value: Any) -> None:
        """Move a control and hear nothing of it; one that cannot hold the value stays as it is."""
        with self._held():
            try:
                control.value = value
            except TraitError:
                return

    def _knobs(self) -> Iterator[Knob]:
        for group in self._groups.values():
            yield from group
        yield from self._hyper.get(self._chosen["method"], ())

    def _all_knobs(self) -> Iterator[Knob]:
        for group in (*self._groups.values(), *self._hyper.values()):
            yield from group

    @contextmanager
    def _held(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _build_box(self) -> None:
        self.told, self.spelled, self._about = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        seed = next(knob.widget for knob in self._groups[""] if knob.name == "seed")
        seed.layout.width = "12em"
        reset = ipywidgets.Button(description="Back to the preset", tooltip="forget all that was changed by hand")
        reset.on_click(lambda button: self.reset())
        self._hyper_box = ipywidgets.VBox()
        rows = [
            ipywidgets.VBox([knob.row() for knob in group if knob.name != "seed"]) for group in self._groups.values()
        ]
        titles = ["run: evaluation and where it is written"]
        titles += [f"{name}: {type(getattr(self.settings, name)).__doc__}" for name in self._groups if name]
        self._accordion = ipywidgets.Accordion([*rows, self._hyper_box], titles=[*titles, "hyper"])
        wrapped = {"flex_flow": "row wrap"}
        top = ipywidgets.HBox([*self._top.values(), seed, reset], layout=wrapped)
        self.box = ipywidgets.VBox([top, self._about, self.told, self._accordion, self.spelled])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return with_fallback(self.box, {"text/plain": f"{self.command_line}\n\n{self.yaml}"})
