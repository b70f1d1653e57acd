"""Images to files and back: the one writer of pictures, whose format is that of the file's name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.fault_files import png
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.figures import encode_figure
from grace.pipeline.media.images import decode_crop, decode_image, write_image

RAMP = np.tile(np.arange(96, dtype=np.uint8)[:, None], (64, 1, 3))


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.PNG", b"\x89PNG"), ("a.jpg", b"\xff\xd8"), ("a.jpeg", b"\xff\xd8")]
)
def test_the_name_gives_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    write_image(tmp_path / "new folder" / name, RAMP)
    content = (tmp_path / "new folder" / name).read_bytes()
    assert content.startswith(start)
    assert np.abs(decode_image(content).astype(int) - RAMP).max() < 6
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == [name]


def test_another_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.png"):
        write_image(tmp_path / "a.gif", RAMP)
    assert not list(tmp_path.iterdir())


def test_a_figure_gives_the_same_bytes_and_no_name_of_the_software() -> None:
    def draw() -> bytes:
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        return encode_figure(figure)

    assert draw() == draw()
    assert decode_image(draw()).shape == (100, 200, 3)
    assert b"matplotlib" not in draw().lower()


def test_order_of_colours_and_damage() -> None:
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 255
    content = cv2.imencode(".png", blue)[1].tobytes()
    assert decode_image(content)[0, 0].tolist() == [255, 0, 0]
    assert decode_image(content, "rgb")[0, 0].tolist() == [0, 0, 255]
    assert decode_image(content, "grey").shape == (8, 8)
    for damaged in (b"", b"no picture", png(60_000, 60_000)):  # the last has more pixels than OpenCV takes
        with pytest.raises(ClipError, match="an image is damaged"):
            decode_image(damaged)
        with pytest.raises(ClipError, match="run the faces stage again"):
            decode_crop(damaged)
