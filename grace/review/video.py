"""A clip as a video that a browser plays: its own file where that is one, or a WebM made from its frames."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.media.files import link_out, open_regular
from grace.review.catalogue import Catalogue
from grace.review.pictures import keep, kept_path

if TYPE_CHECKING:
    from grace.pipeline.media.images import BGRImage

PLAYABLE = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
"""Suffixes of files that browsers play, and what they are served as, if their codec is one of ``CODECS``."""
CODECS = {"h264", "vp8", "vp9", "av1"}
MAX_SIDE, MAX_FRAMES, MAX_KEPT = 640, 2000, 500
"""Of a WebM: its longer side in pixels, its frames; and how many are kept on disk."""
TICKS = 1000  # per second


def clip_path(catalogue: Catalogue, clip: int, root: Path | None) -> Path:
    """Where the clip's video or folder of frames lies.

    Raises:
        UserError: There is no root, nothing is there, or a link takes the clip out of the root.
    """
    if root is None:
        raise UserError("The set's root is not known: set roots.<dataset> in params.yaml, or give --root.")
    path = str(catalogue.cell(clip, "path"))
    if not path or ".." in Path(path).parts or Path(path).is_absolute() or link_out(root, path):
        raise UserError("The clip's file lies outside the set's root.")
    if not (root / path).exists():
        raise UserError(f"The clip's file is not there: {path}.")
    return root / path


def has_video(catalogue: Catalogue, clip: int, root: Path | None) -> bool:
    """Whether there is anything to play."""
    try:
        clip_path(catalogue, clip, root)
    except UserError:
        return False
    return True


def playable_file(catalogue: Catalogue, clip: int, root: Path | None) -> tuple[Path, str]:
    """A file that a browser plays and its media type: the clip's own, or a WebM that is made once and kept.

    Raises:
        UserError: There is no such file.
        ClipError: It cannot be decoded.
    """
    path = clip_path(catalogue, clip, root)
    source = str(catalogue.cell(clip, "source"))
    if source == "video" and path.suffix.lower() in PLAYABLE and _codec(path) in CODECS:
        return path, PLAYABLE[path.suffix.lower()]
    made = kept_path(catalogue, clip, path, "videos", ".webm")
    if not made.is_file():
        keep(made, _webm(path, source), MAX_KEPT)
    return made, "video/webm"


def _codec(path: Path) -> str:
    import av

    try:
        with open_regular(path) as file, av.open(file, "r") as container:
            return str(container.streams.video[0].codec_context.name)
    except (av.FFmpegError, OSError, IndexError, ClipError):
        return ""


def _webm(path: Path, source: str) -> bytes:
    """The frames of a clip, as a player shows them, as VP8."""
    import av

    from grace.pipeline.media.video import open_clip

    content = BytesIO()
    with closing(open_clip(path, source)) as clip, av.open(content, "w", format="webm") as container:
        stream: Any = None
        last = -1
        for picture in islice(clip.pictures(), MAX_FRAMES):
            image = _shrunk(picture.image)
            if stream is None:
                stream = container.add_stream("libvpx", rate=25, options={"deadline": "realtime", "cpu-used": "8"})
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
                stream.codec_context.time_base = Fraction(1, TICKS)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            last = max(last + 1, round(picture.time * TICKS))
            frame.pts, frame.time_base = last, Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        if stream is None:
            raise ClipError("the clip has no frames")
        container.mux(stream.encode())
    return content.getvalue()


def _shrunk(image: BGRImage) -> BGRImage:
    import cv2

    scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
    height, width = (max(2, round(side * scale) // 2 * 2) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
