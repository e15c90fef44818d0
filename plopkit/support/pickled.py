"""Pickles of plain values and tensors, read without running any of them.

A pickle is a program: it calls what it names, and reserves as much memory as it says. Torch's own reader
(`weights_only=True`) calls nothing dangerous, but a file of two kilobytes can still ask it for gigabytes, or for a
tensor that repeats one number a billion times. Here a few of pickle's instructions are carried out, and calls are only
noted: the result says what was called, on what.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MOST = 2_000_000
"""Instructions in a pickle: a checkpoint of a ResNet-101 with its optimiser has twenty thousand."""


@dataclass(frozen=True)
class Global:
    """Something that a pickle names, such as "collections.OrderedDict". It is not imported."""

    name: str


@dataclass
class Call:
    """A call that a pickle asks for, and that is not made."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Persistent:
    """What a pickle keeps elsewhere in its file: (kind, …)."""

    key: Any


_Mark = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "FLOAT", "BINFLOAT", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING"),
    *("SHORT_BINSTRING", "STRING"),
}
_EMPTY: Mapping[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_pickle(file: Any, accepts: Callable[[str], bool]) -> Any:
    """The value that a pickle stands for, up to its end; the file stands behind it then.

    Args:
        file: A binary stream that reserves no more memory than it has bytes, whatever length it is asked for.
        accepts: Whether something may be named, from its full name.

    Raises:
        ValueError: It is damaged, too long, or asks for something that `accepts` refuses.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if number > MOST:
            raise ValueError(f"more than {MOST:,} values")
        name = instruction.name
        try:
            if name == "STOP":
                return stack.pop()
            _carry_out(name, argument, stack, marks, memo, accepts)
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"damaged at instruction {number} ({name})") from error
    raise ValueError("it has no end")


def _carry_out(
    name: str, argument: Any, stack: list[Any], marks: list[int], memo: dict[int, Any], accepts: Callable[[str], bool]
) -> None:
    if name in _VALUES:
        stack.append(argument)
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name in _TUPLES:
        count = _TUPLES[name]
        stack[-count:] = [tuple(_last(stack, count))]
    elif name == "MARK":
        marks.append(len(stack))
    elif name in ("TUPLE", "LIST", "DICT", "SETITEMS", "APPENDS"):
        begin = marks.pop()
        items = stack[begin:]
        del stack[begin:]
        if name == "TUPLE":
            stack.append(tuple(items))
        elif name == "LIST":
            stack.append(items)
        elif name == "DICT":
            stack.append(_filled({}, items))
        elif name == "SETITEMS":
            _filled(stack[-1], items)
        else:
            stack[-1].extend(items)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _filled(stack[-1], [key, value])
    elif name == "APPEND":
        value = stack.pop()
        stack[-1].append(value)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name == "BINPERSID":
        stack.append(Persistent(stack.pop()))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        full = ".".join(_last(stack, 2)) if name == "STACK_GLOBAL" else argument.replace(" ", ".")
        if name == "STACK_GLOBAL":
            del stack[-2:]
        if not accepts(full):
            raise ValueError(f"it asks for {full}")
        stack.append(Global(full))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, function = stack.pop(), stack.pop()
        stack.append(_called(function.name, tuple(arguments)))
    elif name == "BUILD":
        stack.pop()  # the attributes of an object, such as a state dict's version numbers: nothing needs them
    elif name not in ("PROTO", "FRAME"):
        raise ValueError(f"it holds {name}, which no checkpoint of torch does")


def _last(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise IndexError
    return stack[-count:]


def _called(function: Any, arguments: tuple[Any, ...]) -> Any:
    """The result of a call that is harmless, or a note of the call."""
    if function == "collections.OrderedDict":
        return _filled(
            {}, [part for pair in (arguments[0] if arguments else ()) for part in pair]
        )  # Python 2 gives pairs
    if (
        function == "_codecs.encode"
        and len(arguments) == 2
        and arguments[1] == "latin1"
        and isinstance(arguments[0], str)
    ):
        return arguments[0].encode("latin1")  # bytes, in the pickles of torch
    return Call(function, arguments)


def _filled(table: Any, items: list[Any]) -> Any:
    """The dictionary with these keys and values added, in turn."""
    if not isinstance(table, dict) or len(items) % 2:
        raise TypeError
    for key in items[::2]:
        if not isinstance(key, str | int | float):  # the hash of nested tuples can take forever
            raise ValueError("a key that is neither a text nor a number")
    table.update(zip(items[::2], items[1::2], strict=True))
    return table
