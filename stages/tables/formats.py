"""How numbers are written in every table, and how texts of models and files are made fit for a terminal."""

from __future__ import annotations


def strip_control(text: str) -> str:
    """Drop control characters, which could steer a terminal; line breaks and tabs stay.

    Example:
        >>> strip_control("a\\x1b[31mb")
        'a[31mb'
    """
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def duration(seconds: float | None) -> str:
    """Seconds in the unit in which they are a number that one can say.

    Example:
        >>> duration(5400), duration(0.25)
        ('1.5 h', '250 ms')
    """
    if seconds is None:
        return "–"
    for unit, name in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{1000 * seconds:.0f} ms"


def count(number: float) -> str:
    """How many, in the unit in which it is a number that one can say.

    Example:
        >>> count(54_200_000), count(3_400), count(12)
        ('54.2 M', '3.4 k', '12')
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:.0f}"
