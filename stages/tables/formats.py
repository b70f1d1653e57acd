"""How numbers are written in every table, and how texts of models and files are made fit for a terminal."""

from __future__ import annotations

from grace.pipeline.messages import in_units


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
    return "–" if seconds is None else in_units(seconds, {"h": 3600, "min": 60, "s": 1}, {"ms": 1e-3})


def count(number: float) -> str:
    """How many, in the unit in which it is a number that one can say.

    Example:
        >>> count(54_200_000), count(3_400), count(12)
        ('54.2 M', '3.4 k', '12')
    """
    return in_units(number, {"G": 1e9, "M": 1e6, "k": 1e3}, {"": 1})
