"""Whether a video file is as long as its container says, read from a few bytes of it: decoders pass over a missing end.

Nobody can know this of MPEG transport streams that are cut between two packets, of MPEG program streams, FLV and AVI,
of Ogg that is cut between two pages, and of what was streamed with its sizes left open.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

BOXES = frozenset({b"mdat", b"moov", b"moof", b"ftyp"})
"""Boxes of MP4 and QuickTime whose end must be there; behind the last one there may be anything."""
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""The header of ASF (WMV), and the object in it that has the file's size."""
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""Matroska and WebM: the header, and the element that holds all else."""
OGG_PAGE = 65_307
"""Bytes of the longest page of Ogg."""
PACKETS = ((188, 0), (192, 4), (204, 0))
"""MPEG transport streams: bytes of a packet, and where in it the mark 0x47 stands."""
SYNCHRONISED = 3
"""So many packets in a row begin with the mark where it is such a stream."""


def reaches_its_end(file: BinaryIO) -> bool:
    """Whether a video file holds all that its container announces; True where it announces nothing.

    Args:
        file: The open file, without a buffer of Python's own; its position is moved.

    Example:
        >>> from io import BytesIO
        >>> gif = b"GIF89a" + bytes(7) + b"\\x2c" + bytes(9) + b"\\2\\3abc\\0" + b"\\x3b"
        >>> reaches_its_end(BytesIO(gif)), reaches_its_end(BytesIO(gif[:-1])), reaches_its_end(BytesIO(gif[:-3]))
        (True, False, False)
    """
    buffered: Any = io.BufferedReader(file)  # type: ignore[arg-type]
    try:
        return _reaches_its_end(buffered)
    finally:
        buffered.detach()  # else it closes the file


def _reaches_its_end(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(4096)
    if head[:4] == b"GIF8":
        return _gif(file)
    if head[4:8] in BOXES:
        return _boxes(file, size)
    if head[:4] == EBML:
        return _segment(head, size)
    if head[:16] == ASF:
        return _asf(head, size)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return 8 + int.from_bytes(head[4:8], "little") <= size
    if head[:4] == b"OggS":
        return _ogg(file, size)
    for length, mark in PACKETS:
        if [head[mark + length * number : mark + length * number + 1] for number in range(SYNCHRONISED)] == [b"G"] * 3:
            return size % length == 0
    return True


def _gif(file: BinaryIO) -> bool:
    """Blocks up to the trailer; a damaged length leads to what begins no block."""
    file.seek(10)
    _skip_colours(file, 2)
    while True:
        match file.read(1):
            case b"\x3b":
                return True
            case b"\0":  # some writers fill up with zeros
                continue
            case b"\x21":
                file.seek(1, os.SEEK_CUR)
            case b"\x2c":
                file.seek(8, os.SEEK_CUR)
                _skip_colours(file, 0)
                file.seek(1, os.SEEK_CUR)
            case _:
                return False
        while (length := file.read(1)) != b"\0":
            if not length:
                return False
            file.seek(length[0], os.SEEK_CUR)


def _skip_colours(file: BinaryIO, more: int) -> None:
    """Go behind the flags, ``more`` bytes after them, and the table of colours that they announce."""
    flags = file.read(1) or b"\0"
    file.seek(more + (3 << (flags[0] & 7) + 1 if flags[0] & 0x80 else 0), os.SEEK_CUR)


def _boxes(file: BinaryIO, size: int) -> bool:
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if head[4:8] in BOXES and start + length > size:
            return False
        if length < 8:  # up to the end of the file, or no box
            return True
        start += length
    return True


def _segment(head: bytes, size: int) -> bool:
    header, start = _ebml_size(head, len(EBML))
    if header is None or head[start + header : start + header + 4] != SEGMENT:
        return True
    length, start = _ebml_size(head, start + header + len(SEGMENT))
    return length is None or start + length <= size


def _ebml_size(head: bytes, start: int) -> tuple[int | None, int]:
    """A size of EBML and where it ends; None where it is left open, as in a stream."""
    first = head[start] if start < len(head) else 0
    width = 9 - first.bit_length()
    bits = int.from_bytes(head[start : start + width], "big") & ((1 << 7 * width) - 1)
    known = width <= 8 and start + width <= len(head) and bits != (1 << 7 * width) - 1
    return (bits if known else None), start + width


def _asf(head: bytes, size: int) -> bool:
    at = head.find(ASF_FILE)
    if at < 0 or head[at + 88 : at + 89] == b"" or head[at + 88] & 1:  # a broadcast, whose size is not known
        return True
    return int.from_bytes(head[at + 40 : at + 48], "little") <= size


def _ogg(file: BinaryIO, size: int) -> bool:
    file.seek(max(size - OGG_PAGE, 0))
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    segments = page[26] if len(page) > 26 else OGG_PAGE
    return 27 + segments + sum(page[27 : 27 + segments]) <= len(page)
