"""How numbers and texts of others (libraries, servers, operating systems) are written in our sentences and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby


def one_line(text: object, limit: int = 200) -> str:
    """The first ``limit`` characters of ``str(text)``, on one line with single spaces.

    Example:
        >>> one_line("Unable to open:\\n  no such file", 20)
        'Unable to open: no s'
    """
    return " ".join(str(text).split())[:limit]


def printable(text: str, limit: int = 2_000) -> str:
    """``text`` with its control characters written out, and its end left out where it is very long.

    Files are named in causes as they are on the disk, and HDF5 holds no NUL character.

    Example:
        >>> printable("there is no file a\\0b.mp4")
        'there is no file a\\\\x00b.mp4'
    """
    if text.isprintable() and len(text) <= limit:
        return text
    kept = (each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text[:limit])
    return "".join(kept) + ("…" if len(text) > limit else "")


def error_line(error: BaseException, limit: int = 200) -> str:
    """The kind of an exception and the first ``limit`` characters of its message, on one line.

    Example:
        >>> error_line(ValueError("no such\\nframe"))
        'ValueError: no such frame'
    """
    return f"{type(error).__name__}: {one_line(error, limit)}"


def percent(share: float | None, unit: str = " %") -> str:
    """A share in percent with one digit; a dash where there is none.

    Example:
        >>> percent(0.734), percent(0.734, ""), percent(None)
        ('73.4 %', '73.4', '–')
    """
    return "–" if share is None else f"{100 * share:.1f}{unit}"


def byte_size(number: float | None) -> str:
    """Bytes in the unit in which they are a number that one can say; a dash where there is none.

    Example:
        >>> byte_size(15e9), byte_size(820_000), byte_size(None)
        ('15.0 GB', '820 kB', '–')
    """
    return "–" if number is None else in_units(number, {"TB": 1e12, "GB": 1e9, "MB": 1e6}, {"kB": 1e3})


def in_units(number: float, units: Mapping[str, float], least: Mapping[str, float]) -> str:
    """A number in the largest of ``units`` of which it is one at least, with one digit; without any in the ``least``.

    Args:
        number: The number, in the unit of factor 1.
        units: Name to factor, the largest unit first.
        least: Name and factor of the smallest unit, in which a number has no digits after the point.

    Example:
        >>> in_units(5400, {"h": 3600, "min": 60}, {"s": 1}), in_units(12, {"h": 3600, "min": 60}, {"s": 1})
        ('1.5 h', '12 s')
    """
    for name, unit in units.items():
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    ((name, unit),) = least.items()
    return f"{number / unit:.0f} {name}".rstrip()


def install_hint(extra: str) -> str:
    """How an optional part of GRACE is installed, which is on no package index.

    Args:
        extra: One of ``[project.optional-dependencies]`` in ``pyproject.toml``.

    Example:
        >>> install_hint("tune")
        "run `pip install -e '.[tune]'` in a clone of GRACE, or `pip install 'WHEEL[tune]'` with the path of its wheel"
    """
    return (
        f"run `pip install -e '.[{extra}]'` in a clone of GRACE, or `pip install 'WHEEL[{extra}]'` with the path of "
        "its wheel"
    )


def number_ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as one writes them, three or more in a row by their ends.

    Example:
        >>> number_ranges([1, 2, 3, 4, 5]), number_ranges([24, 1, 2, 7, 8, 9])
        ('1 to 5', '1, 2, 7 to 9, 24')
    """
    written: list[str] = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda item: item[1] - item[0]):
        row = [str(number) for _, number in run]
        written += [f"{row[0]} to {row[-1]}"] if len(row) > 2 else row
    return ", ".join(written)


def cause_of(error: str) -> str:
    """An error without its numbers and paths, so that like causes count as one.

    Example:
        >>> cause_of("faces: the face was found in only 3 of the 16 instants searched")
        'faces: the face was found in only … of the … instants searched'
    """
    stage, _, rest = error.partition(": ")
    where, colon, cause = rest.rpartition(": ")
    kept = cause if (colon and "/" in where) or "." in where else rest
    return re.sub(r"\d+(?:\.\d+)?", "…", f"{stage}: {kept}" if rest else stage)[:200]
