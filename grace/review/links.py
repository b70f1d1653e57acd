"""Addresses of pages and pictures: of the running application, or of the files of an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from grace.review.query import Filter


@dataclass(frozen=True)
class Links:
    """Addresses of the running application. Clips are named in the query, since their ids may hold anything."""

    def static(self, name: str) -> str:
        """A style sheet or script."""
        return f"/static/{name}"

    def gallery(self, asked: Filter, **changes: object) -> str:
        """The gallery under a filter, from its first page unless a page is named; empty where it would show nothing."""
        address = asked.address(**{"page": 1, **changes})
        return f"/?{address}" if address else "/"

    def clip(self, clip_id: str, asked: Filter) -> str:
        """The page of a clip; the filter says which clips come before and after it."""
        rest = asked.address(page=1)
        return f"/clip?{urlencode({'id': clip_id})}{'&' + rest if rest else ''}"

    def page(self, name: str, **query: str) -> str:
        """Another page: runs, audit, rate, agreement."""
        given = {key: value for key, value in query.items() if value}
        return f"/{name}?{urlencode(given)}" if given else f"/{name}"

    def picture(self, kind: str, clip_id: str) -> str:
        """A picture or video of a clip: strip, crops, frames, video."""
        return f"/media/{kind}?{urlencode({'id': clip_id})}"

    def audit_plot(self, name: str) -> str:
        """A plot of the audit."""
        return f"/media/audit?{urlencode({'name': name})}"


def _nothing(_: Filter) -> list[str]:
    return []


@dataclass(frozen=True)
class FileLinks(Links):
    """Addresses of an export, relative to the page that holds them.

    Args:
        up: How a page reaches the export's folder: nothing, or ``../``.
        files: Name of each exported clip, without suffix.
        videos: Suffix of the video of each clip that has one.
        select: The exported clips that a filter finds, by id.
    """

    up: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    videos: Mapping[str, str] = field(default_factory=dict)
    select: Callable[[Filter], list[str]] = _nothing

    def static(self, name: str) -> str:
        return f"{self.up}static/{name}"

    def gallery(self, asked: Filter, **changes: object) -> str:
        if not asked.address(page=1):
            return f"{self.up}index.html"
        names = [self.files[clip_id] for clip_id in self.select(asked)]
        return f"{self.up}index.html#{','.join(names)}" if names else ""

    def clip(self, clip_id: str, asked: Filter) -> str:
        return f"{self.up}clips/{self.files[clip_id]}.html" if clip_id in self.files else ""

    def page(self, name: str, **query: str) -> str:
        return f"{self.up}{name}.html"

    def picture(self, kind: str, clip_id: str) -> str:
        suffix = self.videos.get(clip_id, "") if kind == "video" else ".jpg"
        return f"{self.up}media/{self.files[clip_id]}-{kind}{suffix}" if clip_id in self.files else ""

    def audit_plot(self, name: str) -> str:
        return f"{self.up}media/audit-{name}.png"
