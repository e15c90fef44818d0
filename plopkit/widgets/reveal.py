"""A question that is answered before its answer is shown: predict, then reveal."""

import html
import re
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
from IPython.display import display

from plopkit.support.errors import unknown_name
from plopkit.support.kernels import is_interactive
from plopkit.viz.colours import VERDICTS
from plopkit.widgets.explorer import FITTING, STYLE
from plopkit.widgets.outputs import show
from plopkit.widgets.placeholder import bundle_of

_GUESSES: dict[str, str] = {}
"""What has been guessed in this kernel, by question: a cell that runs again does not ask again."""


WAITING = "This appears after your guess above."


class Reveal:
    """A question with buttons or a text box; the answer appears after the guess, and the guess is final.

    Everything works by keyboard: Tab moves between the choices, Enter or Space chooses. Without a person at the kernel
    (papermill, a script that builds a site), question and answer are shown at once.

    Args:
        question: plain text, with `code` in backticks.
        answer: makes what is shown after the guess: a figure, a table, Markdown as a string or anything else that
            a notebook can display. It is called once, and only when the answer is shown. An error is shown in a line.
        choices: the possible guesses; without them there is a text box.
        right: the right one, if there is one; or a function that finds it, called when the answer is shown, for what
            is not known before. It returns None where there is none yet.

    Raises:
        ValueError: `right` is not among the choices; where it is a function, when the answer is shown.

    Example:
        >>> question = Reveal("Which net lost the cat?", lambda: "ft", ("ft", "plop"), "ft")
        >>> question.guess("plop")  # as a click does
        >>> question.verdict
        'You chose plop. Right is: ft.'
    """

    def __init__(
        self,
        question: str,
        answer: Callable[[], Any],
        choices: Sequence[str] = (),
        right: str | Callable[[], str | None] | None = None,
    ) -> None:
        self.question, self.choices = question, tuple(choices)
        self.right: str | None = None
        """The right choice; while a function has yet to find it, None."""
        self._find_right = right if callable(right) else None
        self._settle(None if callable(right) else right)
        self.guessed: str | None = None
        """The guess; None before it."""
        self.data: dict[str, Any] = {}
        """The answer as it is shown, by MIME type; empty before the guess."""
        self._answer = answer
        self._later: list[Later] = []
        self._controls = _buttons(self.choices) if choices else _text_box()
        self._message, self.output = ipywidgets.HTML(), ipywidgets.Output()
        self.box = ipywidgets.VBox([ipywidgets.HTML(self._heading()), *self._controls, self._message, self.output])
        self._controls[0].observe(lambda change: self.guess(change["new"] or ""), names="value")
        if not choices:
            self._controls[1].on_click(lambda _: self.guess(self._controls[0].value))

    @property
    def verdict(self) -> str:
        """What is said about the guess; without a guess, the right answer."""
        right = "" if self.right is None else f"Right is: {self.right}."
        if not self.guessed:
            return right
        if self.guessed.strip().casefold() == str(self.right).casefold():
            return f"Right: {self.right}."
        return f"You {'chose' if self.choices else 'wrote'} {self.guessed}. {right}".strip()

    def guess(self, guess: str) -> None:
        """Guess as a click does, and show the answer. Only the first guess counts."""
        if self.guessed is not None:
            return
        self._find()
        self.guessed = _GUESSES[self.question] = guess
        for control in self._controls:
            control.disabled = True
        if self.choices:
            self._controls[0].value = guess
        self._message.value = self._verdict_html()
        self.output.outputs = _outputs(self._shown())
        for later in self._later:
            later.fill()

    def then(self, make: Callable[[], Any]) -> Any:
        """What a later cell shows: ``make()``, but not before the guess, because it would give the answer away.

        Without a person at the kernel, it is shown at once. An error in ``make`` is shown in a line.

        Example:
            >>> question = Reveal("Which net lost the cat?", lambda: "ft", ("ft", "plop"), "ft")
            >>> question.then(lambda: "fine-tuning has lost 90 % of its pixels")
            'fine-tuning has lost 90 % of its pixels'
        """
        if not is_interactive():
            return make()
        later = Later(make)
        self._later.append(later)
        if self.guessed is not None:
            later.fill()
        return later

    def _find(self) -> None:
        """Find the right choice, where that was put off."""
        if self._find_right is not None:
            self._settle(self._find_right())

    def _settle(self, right: str | None) -> None:
        if self.choices and right is not None and right not in self.choices:
            raise unknown_name("choice", right, self.choices)
        self.right = right

    def _shown(self) -> dict[str, Any]:
        self.data = self.data or _bundle(self._answer)
        return self.data

    def _heading(self) -> str:
        code = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.question))
        return f"<b>Predict.</b> {code}"

    def _verdict_html(self) -> str:
        right = None if self.right is None or not self.guessed else self.verdict.startswith("Right:")
        style = f"border-left:4px solid {VERDICTS[right]};padding:.1em .6em"
        return f'<div role="status" style="{style}">{html.escape(self.verdict)}</div>' if self.verdict else ""

    def _ipython_display_(self) -> None:
        """Two outputs without a person, question and answer; otherwise the widget."""
        if not is_interactive():
            self._find()
            question = {"text/html": self._heading() + self._verdict_html(), "text/plain": str(self)}
            display(question, raw=True)
            display(self._shown(), raw=True)
            return
        guess = _GUESSES.get(self.question)
        if guess is not None and (not self.choices or guess in self.choices):  # other settings may offer other choices
            self.guess(guess)
        show(self.box, self._heading())

    def __str__(self) -> str:
        return f"Predict. {self.question} {self.verdict}".strip()


class Later:
    """A cell's output that waits for the guess of a `Reveal`.

    Args:
        make: makes what is shown then.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.output = ipywidgets.Output()
        self.output.outputs = _outputs({"text/plain": WAITING})

    def fill(self) -> None:
        """Show it."""
        self.output.outputs = _outputs(_bundle(self._make))

    def _ipython_display_(self) -> None:
        show(self.output, "")


def _bundle(make: Callable[[], Any]) -> dict[str, Any]:
    """What ``make`` returns as a notebook shows it, by MIME type; an error is a line."""
    try:
        value = make()
        return {"text/markdown": value, "text/plain": value} if isinstance(value, str) else bundle_of(value)
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        return {"text/plain": f"{type(error).__name__}: {first_line}"}


def _outputs(data: dict[str, Any]) -> tuple[dict[str, Any]]:
    return ({"output_type": "display_data", "data": data, "metadata": {}},)


def _buttons(choices: Sequence[str]) -> list[Any]:
    style = {**STYLE, "button_width": "auto"}
    return [ipywidgets.ToggleButtons(options=tuple(choices), value=None, tooltips=tuple(choices), style=style)]


def _text_box() -> list[Any]:
    layout = {"max_width": FITTING}
    box = ipywidgets.Text(description="your guess", continuous_update=False, style=STYLE, layout=layout)
    return [box, ipywidgets.Button(description="Show the answer")]
