"""Random damage to bytes and texts, decided by a generator of random numbers alone."""

import struct
from random import Random

NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
TOKENS = (
    *(
        "",
        " ",
        "\t",
        "\n",
        "\r",
        "\0",
        "\x1b[31m",
        "\x1b]0;title\x07",
        "\u202e",
        "\u2028",
        "\ufeff",
        "\ud800",
        "é",
        "𝔸",
        "💥",
    ),
    *(
        "-",
        "--",
        "=",
        ":",
        ",",
        ".",
        "..",
        "../..",
        "/",
        "\\",
        "~",
        "~nobody",
        "$HOME",
        "`id`",
        "%s%n",
        "{}",
        "[]",
        "()",
    ),
    *(
        "nan",
        "inf",
        "-inf",
        "1e999",
        "-1",
        "0",
        "00",
        "9" * 30,
        "9" * 5000,
        "1_0",
        "0x10",
        "1e5",
        "true",
        "null",
        "None",
    ),
    *(
        "!!timestamp x",
        "!!python/name:os.system",
        "&a [*a]",
        "<<: *a",
        "? ",
        "- - - -",
        "{a: {a: {a: 1}}}",
        "'",
        '"',
        "|",
        ">",
    ),
    *("a" * 300, "x" * 20000, "voc", "emoji", "folder", "joint", "15-5", "10+3+2", "overlap", "order=b", "order=1,2"),
)


def damaged(content: bytes, random: Random, most: int = 6) -> bytes:
    """The bytes after a few random changes."""
    data = bytearray(content)
    for _ in range(random.randint(1, random.choice((1, 1, most)))):  # a single change is often read
        _change(data, random)
    return bytes(data)


def _change(data: bytearray, random: Random) -> None:
    place = random.randrange(len(data) + 1)
    end = min(len(data), place + random.choice((1, 2, 4, 8, 16, 64, 512)))
    kind = random.randrange(9)
    if kind == 0 and place < len(data):
        data[place] ^= 1 << random.randrange(8)
    elif kind == 1:
        data[place:end] = bytes(random.choice((0, 255, 127, 128)) for _ in range(end - place))
    elif kind == 2:
        data[place:end] = random.randbytes(end - place)
    elif kind == 3:
        del data[place:end]
    elif kind == 4:
        data[place:place] = data[place:end] * random.choice((1, 1, 2, 50))
    elif kind == 5:
        data[place:place] = random.randbytes(random.choice((1, 4, 100)))
    elif kind == 6:
        del data[place:]
    elif kind == 7:
        number = random.choice(NUMBERS)
        order, width = random.choice("<>"), random.choice("HIQ")
        packed = struct.pack(order + width, number % 2 ** (8 * struct.calcsize(width)))
        data[place : place + len(packed)] = packed
    else:
        other = random.randrange(len(data) + 1)
        piece = data[place:end]
        data[other : other + len(piece)] = piece


def garbled(text: str, random: Random, tokens: tuple[str, ...] = TOKENS, most: int = 5) -> str:
    """The text after a few random changes of characters, words and lines."""
    for _ in range(random.randint(1, random.choice((1, 1, most)))):  # a single change is often read
        place = random.randrange(len(text) + 1)
        end = min(len(text), place + random.choice((1, 1, 2, 5, 20)))
        kind = random.randrange(6)
        if kind == 0:
            text = text[:place] + random.choice(tokens) + text[end:]
        elif kind == 1:
            text = text[:place] + random.choice(tokens) + text[place:]
        elif kind == 2:
            text = text[:place] + text[end:]
        elif kind == 3:
            text = text[:place] + text[place:end] * random.choice((2, 3, 100)) + text[end:]
        elif kind == 4:
            text = text[:place] + chr(random.choice((random.randrange(128), random.randrange(0x3000)))) + text[end:]
        else:
            lines = text.split("\n")
            random.shuffle(lines)
            text = "\n".join(lines)
    return text


def encoded(text: str) -> bytes:
    """A text as bytes; what UTF-8 lacks stays as it is."""
    return text.encode("utf-8", "surrogatepass")
