"""Pictures in a terminal that can show them: a pseudo-terminal that answers as one with sixels does."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from grace.pipeline.media.images import write_image

ROWS, COLUMNS, CELL_WIDTH, CELL_HEIGHT = 40, 100, 6, 13
ANSWERS = {b"\x1b[c": b"\x1b[?63;4c", b"\x1b[16t": f"\x1b[6;{CELL_HEIGHT};{CELL_WIDTH}t".encode()}
"""What a terminal says when it is asked what it can do, and how large its cells are."""


def shown(file: Path) -> bytes:
    """Everything that ``show_picture`` writes to such a terminal."""
    pytest.importorskip("textual_image")
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", ROWS, COLUMNS, COLUMNS * CELL_WIDTH, ROWS * CELL_HEIGHT)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    code = (
        f"from pathlib import Path; from stages._terminal import show_picture; print(show_picture(Path({str(file)!r})))"
    )
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    written, answered = b"", 0
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        written += part
        for question, answer in ANSWERS.items():
            if question in written[answered:]:
                os.write(ours, answer)
                answered = len(written)
    os.close(ours)
    assert process.wait() == 0
    return written


@pytest.mark.parametrize(("width", "height"), [(1600, 900), (300, 2000)])
def test_a_picture_larger_than_the_terminal_is_shown_as_large_as_fits(tmp_path: Path, width: int, height: int) -> None:
    file = tmp_path / "sheet.png"
    write_image(file, np.full((height, width, 3), 90, np.uint8))
    written = shown(file)
    drawn = re.search(rb'\x1bP[\d;]*q"1;1;(\d+);(\d+)', written)
    assert drawn, written[:200]
    assert int(drawn[1]) <= COLUMNS * CELL_WIDTH
    assert int(drawn[2]) <= ROWS * CELL_HEIGHT
    assert int(drawn[1]) / int(drawn[2]) == pytest.approx(width / height, rel=0.06)
    assert b"True" in written
