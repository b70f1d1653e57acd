"""Whether the numbers by which lists name classes begin where the names that were given for them begin."""

from __future__ import annotations

from collections.abc import Sequence

from grace.pipeline.datasets.base import Listing
from grace.pipeline.datasets.labels import label_names
from grace.pipeline.datasets.settings import LabelNames
from grace.pipeline.errors import UserError


def one_off(listings: Sequence[Listing], labels: LabelNames, key: str) -> str:
    """The question to ask where every class may be one off; empty where the numbers fit the names.

    Args:
        listings: The clips of a data set.
        labels: The names of its classes, in order from 0, or what each label means.
        key: Where in ``params.yaml`` they stand.

    Raises:
        UserError: The names are in order, and a number after the last one shows that they do not begin at 0.

    Example:
        >>> clips = [Listing("a", "a.mp4", "video", "anger", numbers=frozenset({1}))]
        >>> one_off(clips, ["fear", "anger"], "index.labels.mine")
        'no clip has the number 0 (fear): do the numbers begin at 1? Then write index.labels.mine: {1: fear, 2: anger}'
    """
    names = label_names(labels)
    named = sorted(int(label) for label in names if label.isdecimal())
    found = {number for listing in listings for number in listing.numbers}
    if not named or not found:
        return ""
    used = {name for listing in listings for name in (listing.label, *listing.votes)}
    first, last = named[0], named[-1]
    above = last + 1 in found
    if first not in found and names[str(first)] not in used and (above or min(found) == 1 == first + 1):
        unused, start = first, first + 1
    elif first - 1 in found and last not in found and names[str(last)] not in used:
        unused, start = last, first - 1
    else:
        return ""
    written = [labels[number] for number in named] if isinstance(labels, list) else [names[str(n)] for n in named]
    pairs = ", ".join(f"{number - first + start}: {name}" for number, name in zip(named, written, strict=True))
    question = f"do the numbers begin at {start}? Then write {key}: {{{pairs}}}"
    if isinstance(labels, list) and above:
        raise UserError(
            f"{key} in params.yaml has {len(named)} names, for the numbers 0 to {last}, but the lists hold {last + 1} "
            f"and no 0: {question}."
        )
    return f"no clip has the number {unused} ({names[str(unused)]}): {question}"
