"""Trials of hostile files for index and faces: whatever lies beside a good clip, that clip keeps its rows.

The hostile file has a row of its own with a cause, or is no clip. It may be a clip only where it really can be played:
a damaged video of which some frames are left, and its row says so wherever its container or decoder can tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_trial import Outcome, Trial, grace, kept
from benchmarks.fault_videos import VIDEOS, cut, flipped, good_clip, overwritten, random_bytes

KIND = "files"
Maker = Callable[[Path], None]
GOOD = "good"


def beside(make: Maker, seed: int, plays: bool, folder: Path) -> Outcome:
    """Index and crop a folder that holds a good clip and a hostile one; the good one's rows are as when it is alone."""
    random.seed(seed)
    make(folder / "raw")
    for words in (("index",), ("faces", "-S", "workers=0")):
        outcome = grace(*words, "-d", "x").failure
        if outcome is not None:
            return outcome
    rows = rows_by_clip(folder)
    if [row_digest(store.pop(GOOD, {})) for store in rows.values()] != kept(folder, "good"):
        return Outcome("silent", "the good clip's row differs")
    failed = []
    for clip, row in rows["clips"].items():
        later = rows["faces"].get(clip)
        if later is None:
            return Outcome("silent", f"{clip!r} has no row of faces")
        if error := row["error"] or later["error"]:
            failed.append(error)
            if not f"{clip}{error}".isprintable():
                return Outcome("silent", f"control characters in {error!r}")
        elif "failed" in (row["status"], later["status"]):
            return Outcome("silent", f"{clip!r} fails without a cause")
        elif not plays:
            return Outcome("silent", f"{clip!r} is taken for a clip of {row['n_frames']} frames")
    return Outcome("row", "; ".join(failed)) if failed else Outcome("held", f"{len(rows['clips'])} clips beside")


def rows_by_clip(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The rows of the table of clips and of faces, by clip."""
    from grace.pipeline.store import Clips, open_store

    data = folder / "data/x"
    found = {"clips": Clips(data).rows, "faces": list(open_store(data, "faces").rows())}
    return {name: {row["clip_id"]: row for row in rows} for name, rows in found.items()}


def row_digest(row: dict[str, Any]) -> str:
    """A digest of all that a row holds."""
    plain = {name: value.tobytes() if hasattr(value, "tobytes") else value for name, value in row.items()}
    return hashlib.sha256(repr(sorted(plain.items())).encode()).hexdigest()


def make_good(folder: Path) -> None:
    """A folder of clips with one good clip, indexed and cropped."""
    good_clip(folder / f"raw/{GOOD}.mp4")
    faces = {"instants": 2, "size": 32, "detector": "none"}
    settings = {"roots": {"x": "raw"}, "faces": faces, "workers": 1, "clip_timeout": 10, "max_failed": 1.0}
    (folder / "params.yaml").write_text(json.dumps(settings))
    for words in ("index", "faces"):
        if (ran := grace(words, "-d", "x")).exit_code:
            raise RuntimeError(ran.output)
    rows = rows_by_clip(folder)
    (folder / "baseline.json").write_text(json.dumps({"good": [row_digest(store[GOOD]) for store in rows.values()]}))


def holds(name: str, content: bytes, root: Path) -> None:
    """A file of some content."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def named(name: str | bytes, root: Path) -> None:
    """A good video of an odd name."""
    good_clip(root.parent / "named.mp4").rename(root / os.fsdecode(name))


# -- what is no regular file


def _fifo(root: Path) -> None:
    os.mkfifo(root / "bad.mp4")


def _socket(root: Path) -> None:
    place = socket.socket(socket.AF_UNIX)
    with contextlib.chdir(root):  # the whole path may be too long for a socket
        place.bind("bad.mp4")


def _loop(root: Path) -> None:
    (root / "bad.mp4").symlink_to("bad.mp4")


def _folder_loop(root: Path) -> None:
    (root / "bad").symlink_to(".")


def _link_out(root: Path) -> None:
    (root / "bad.mp4").symlink_to(good_clip(root.parent / "outside.mp4"))


def _dangling(root: Path) -> None:
    (root / "bad.mp4").symlink_to("nothing.mp4")


def _device(root: Path) -> None:
    (root / "bad.mp4").symlink_to("/dev/zero")


def _folder_named_as_video(root: Path) -> None:
    good_clip(root / "bad.mp4/inside.mp4")


def _fifo_in_folder(root: Path) -> None:
    _pictures(3, root)
    os.mkfifo(root / "bad/9.png")


def _sparse(root: Path) -> None:
    with (root / "bad.mp4").open("wb") as file:
        file.truncate(1 << 33)


# -- pictures


def png(width: int, height: int, content: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(content or bytes(min(1 << 20, (1 + 3 * width) * height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _pictures(count: int, root: Path) -> None:
    from tests.support.videos import write_images

    write_images(root / "bad", count)


def pictures_and(name: str, content: bytes, root: Path) -> None:
    """A folder of frames with one that is odd."""
    _pictures(3, root)
    (root / "bad" / name).write_bytes(content)


def _cut_picture(root: Path) -> None:
    _pictures(4, root)
    path = root / "bad/2.png"
    path.write_bytes(path.read_bytes()[:-40])


def _pillow(mode: str, size: tuple[int, int], suffix: str, root: Path) -> None:
    from PIL import Image

    (root / "bad").mkdir()
    for number in range(3):
        Image.new(mode, size, 40 if mode in ("I;16", "L", "1", "P") else None or 0).save(
            root / f"bad/{number}.{suffix}"
        )


def _mixed(root: Path) -> None:
    from PIL import Image

    (root / "bad").mkdir()
    for number, size in enumerate([(40, 60), (60, 40), (1, 1), (300, 20)]):
        Image.new("RGB", size, (number * 20, 90, 90)).save(root / f"bad/{number}.png")


def _huge_gif() -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", 65535, 65535)
        + b"\x80\0\0"
        + b"\0\0\0\xff\xff\xff"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
        + b"\x02\x02\x44\x01\0\x3b"
    )


HTML = b"<!DOCTYPE html><html><script>alert(1)</script><img src=http://127.0.0.1:9/x></html>"
TEXTS: dict[str, tuple[str, bytes]] = {
    "a playlist": ("bad.mp4", b"#EXTM3U\n#EXTINF:1,\ngood.mp4\nhttp://127.0.0.1:9/x.ts\n"),
    "a concat script": ("bad.mp4", b"ffconcat version 1.0\nfile good.mp4\nfile /etc/passwd\n"),
    "an SDP": (
        "bad.mp4",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 26\n",
    ),
    "a DASH manifest": (
        "bad.mp4",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>good.mp4</BaseURL></MPD>',
    ),
    "HTML": ("bad.mp4", HTML),
    "SVG": ("bad.gif", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="good.mp4"/></svg>'),
    "subtitles": ("bad.mkv", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n"),
    "a script": ("bad.mp4", b"#!/bin/sh\ntouch /tmp/owned\n"),
    "a zip": ("bad.mp4", b"PK\x05\x06" + bytes(18)),
    "an empty file": ("bad.mp4", b""),
    "one byte": ("bad.avi", b"\0"),
    "zeros": ("bad.mov", bytes(100_000)),
    "a bare RIFF": ("bad.avi", b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl"),
    "a box without an end": ("bad.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\0\1moov" + b"\xff" * 8),
    "a box in a box in a box": ("bad.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\x10\0\0moov" * 20_000),
    "EBML of any length": ("bad.mkv", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(100)),
    "a GIF of 4 thousand million pixels": ("bad.gif", _huge_gif()),
    "a picture named as a video": ("bad.mp4", png(40, 30)),
    "a WebP that is no film": ("bad.webp", b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\7\x10\x11\x11\x88\x88\xfe\7\0"),
    "a WebP that says it is": ("bad.webp", b"RIFF\x20\0\0\0WEBPVP8X\n\0\0\0\2\0\0\0\xff\xff\xff\xff\xff\xff"),
}
NAMES: dict[str, str | bytes] = {
    "a newline": "a\nb.mp4",
    "ESC": "a\x1b[2Jb.mp4",
    "right to left": "a\u202e4pm.mp4",
    "255 bytes": "a" * 251 + ".mp4",
    "no UTF-8": b"a\xff\xfeb.mp4",
    "a leading dash": "-rf.mp4",
    "a formula": "=HYPERLINK(1).mp4",
    "blanks": "  a  .mp4",
    "a quote": "a\"b'c.mp4",
    "dots": "a..mp4",
    "a suffix twice": "good.mp4.mp4",
    "upper case": "GOOD.MP4",
    "an accent in two parts": "e\u0301.mp4",
    "a backslash": "a\\b.mp4",
    "a placeholder": "grace-xxh3-128:00000000000000000000000000000000.mp4",
    "a percent sign": "%s%n%d.mp4",
}
PICTURES: dict[str, Maker] = {
    "a picture of 60,000 × 60,000": partial(pictures_and, "0.png", png(60_000, 60_000)),
    "a picture of no width": partial(pictures_and, "0.png", png(0, 10)),
    "a picture of 2,147,483,647": partial(pictures_and, "0.png", png((1 << 31) - 1, (1 << 31) - 1)),
    "a picture that is HTML": partial(pictures_and, "1.jpg", HTML),
    "a picture of noise": partial(pictures_and, "1.jpg", random.Random(1).randbytes(3000)),
    "an empty picture": partial(pictures_and, "1.png", b""),
    "a picture cut": _cut_picture,
    "a pipe among pictures": _fifo_in_folder,
}
PLAYED: dict[str, Maker] = {
    "CMYK": partial(_pillow, "CMYK", (40, 40), "jpg"),
    "16 bits": partial(_pillow, "I;16", (40, 40), "png"),
    "one bit": partial(_pillow, "1", (40, 40), "png"),
    "transparent": partial(_pillow, "RGBA", (40, 40), "png"),
    "a palette": partial(_pillow, "P", (40, 40), "png"),
    "1 × 1": partial(_pillow, "RGB", (1, 1), "png"),
    "4,000 × 1": partial(_pillow, "L", (4000, 1), "png"),
    "TIFF": partial(_pillow, "RGB", (40, 40), "tiff"),
    "mixed shapes": _mixed,
}
PLACES: dict[str, Maker] = {
    "a pipe": _fifo,
    "a socket": _socket,
    "a link to itself": _loop,
    "a folder that holds itself": _folder_loop,
    "a link out of the root": _link_out,
    "a link to nothing": _dangling,
    "a link to a device": _device,
    "8 GB of nothing": _sparse,
}


ENDLESS = ("mpg",)
"""Containers that announce no end, so that one that is cut between two frames cannot be known."""
TOLD = ("mp4", "mov", "3gp", "mkv", "mpg", "ts", "ogv", "webp")
"""Where 40 flipped bits never pass without a word: other decoders hide what they can."""


NO_ID = "its id holds a control character, or bytes that are no UTF-8"
SAYS = {
    "a name with a newline": NO_ID,
    "a name with ESC": NO_ID,
    "a name with no UTF-8": NO_ID,
    "a link out of the root": "index.links",
    "8 GB of nothing": "cannot be opened",
    "a playlist": "cannot be opened",
    "a concat script": "playlist",
    "an SDP": "playlist",
    "an empty file": "zero bytes",
    "a picture of 60,000 × 60,000": "frame 0.png",
    "a picture of no width": "frame 0.png",
    "a picture of 2,147,483,647": "frame 0.png",
    "a picture that is HTML": "frame 1.jpg",
    "a picture of noise": "frame 1.jpg",
    "an empty picture": "frame 1.png",
    "a picture cut": "frame 2.png",
    "a pipe among pictures": "frame 9.png",
} | {f"noise.{suffix}": "cannot be opened" for suffix in VIDEOS}
"""What the row of a file says; that of any other names the file, which is called bad."""


def trials(seed: int) -> list[Trial]:
    """Every file."""
    any_of = ("held", "row")
    makers: list[tuple[str, Maker, bool, tuple[str, ...]]] = []
    makers += [(f"noise.{suffix}", partial(random_bytes, suffix), False, any_of) for suffix in VIDEOS]
    for suffix in VIDEOS:
        right = any_of if suffix in ENDLESS else ("row",)
        makers += [(f"{share:.0%} of .{suffix}", partial(cut, suffix, share), True, right) for share in (0.3, 0.8)]
        makers += [(f"1 bits of .{suffix}", partial(flipped, suffix, 1), True, any_of)]  # may change one pixel
        right = ("row",) if suffix in TOLD else any_of
        makers += [(f"40 bits of .{suffix}", partial(flipped, suffix, 40), True, right)]
    makers += [(f"a piece of {name}", partial(overwritten, name), True, ("row",)) for name in ("libx264", "mpeg4")]
    makers += [
        (name, partial(holds, *content), name == "a picture named as a video", any_of)
        for name, content in TEXTS.items()
    ]
    makers += [(f"a name with {name}", partial(named, name_), True, any_of) for name, name_ in NAMES.items()]
    makers += [
        (name, maker, name.startswith(("a folder", "a link to nothing")), any_of) for name, maker in PLACES.items()
    ]
    makers += [("a folder named as a video", _folder_named_as_video, True, any_of)]
    makers += [(name, maker, False, any_of) for name, maker in PICTURES.items()]
    makers += [(f"pictures: {name}", maker, True, any_of) for name, maker in PLAYED.items()]
    return [
        Trial(KIND, name, partial(beside, maker, seed, plays), right, "good", (SAYS.get(name, "bad"),))
        for name, maker, plays, right in makers
    ]
