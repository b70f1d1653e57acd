"""Small videos of every container, whole and damaged, for the trials of hostile files."""

from __future__ import annotations

import random
from pathlib import Path

VIDEOS = ("mp4", "avi", "mov", "mkv", "webm", "mpg", "flv", "wmv", "ts", "3gp", "ogv", "gif", "webp")
CODECS = {
    "webm": "libvpx",
    "mpg": "mpeg1video",
    "flv": "flv",
    "wmv": "wmv2",
    "ts": "mpeg2video",
    "gif": "gif",
    "ogv": "libvpx",
}


def good_clip(path: Path, suffix: str = "mp4", frames: int = 6) -> Path:
    """A small video."""
    from fractions import Fraction

    import numpy as np

    from tests.support.videos import encode_pictures, numbered

    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == "webp":
        from PIL import Image

        pictures = [Image.fromarray(np.ascontiguousarray(numbered(number))) for number in range(frames)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, format="WEBP")
        return path
    codec = CODECS.get(suffix, "mpeg4")
    pixels = "rgb8" if suffix == "gif" else "yuv420p"
    times = [Fraction(number, 25) for number in range(frames)]
    return encode_pictures(path, [numbered(number, (96, 64)) for number in range(frames)], times, codec, pixels)


def _content(suffix: str, frames: int = 12) -> bytes:
    file = Path(f"made.{suffix}")
    content = good_clip(file, suffix, frames).read_bytes()
    file.unlink()
    return content


def random_bytes(suffix: str, root: Path) -> None:
    """Noise under a video's suffix."""
    (root / f"bad.{suffix}").write_bytes(random.randbytes(5000))


def cut(suffix: str, share: float, root: Path) -> None:
    """A video without its end."""
    content = _content(suffix)
    (root / f"bad.{suffix}").write_bytes(content[: int(len(content) * share)])


def flipped(suffix: str, bits: int, root: Path) -> None:
    """A video with some bits changed."""
    content = bytearray(_content(suffix))
    for _ in range(bits):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    (root / f"bad.{suffix}").write_bytes(bytes(content))


def overwritten(codec: str, root: Path) -> None:
    """A video amidst which a piece is another file's."""
    from fractions import Fraction

    import numpy as np

    from tests.support.videos import encode_pictures, numbered

    noise = np.random.default_rng(0)
    pictures = [numbered(number, (96, 64)) // 2 + noise.integers(0, 60, (64, 96, 3), np.uint8) for number in range(30)]
    path = encode_pictures(root / "bad.mp4", pictures, [Fraction(number, 25) for number in range(30)], codec)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = random.randbytes(300)
    path.write_bytes(content)
