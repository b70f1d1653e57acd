"""Animated WebP as video: FFmpeg shows its first picture alone, Pillow all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from grace.pipeline.errors import ClipError
from grace.pipeline.media.endings import reaches_its_end
from grace.pipeline.media.images import BGRImage
from grace.pipeline.media.pictures import Picture

SHORTEST = 0.011
"""Seconds; players show a picture that asks for less for ``INSTEAD``."""
INSTEAD = 0.1


class _Picture(Picture):
    def __init__(self, number: int, time: float, image: BGRImage) -> None:
        super().__init__(number, time)
        self.image = image

    def _decode(self) -> BGRImage:
        return self.image


class Animation:
    """An animated WebP, opened for one pass over its pictures.

    Args:
        file: the open file, which this closes.

    Raises:
        ClipError: it is damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        from PIL import Image

        self._file = file
        self.fps, self.lost, self.errors = 0.0, 0, 0
        try:
            self._image: Any = Image.open(file, formats=["WEBP"])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            file.close()
            raise ClipError("the video cannot be opened: it is a damaged WebP") from None
        self._declared = int(getattr(self._image, "n_frames", 1))

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._file.close()

    def pictures(self) -> Iterator[Picture]:
        """Every picture, in the order of time."""
        time = 0.0
        for number in range(self._declared):
            try:
                self._image.seek(number)
                image = np.asarray(self._image.convert("RGB"))[:, :, ::-1]
            except (OSError, EOFError, ValueError, SyntaxError):
                self.lost, self.errors = self._declared - number, 1  # damaged from here on
                return
            yield _Picture(number, time, np.ascontiguousarray(image))
            seconds = float(self._image.info.get("duration", 0)) / 1000.0
            time += seconds if seconds >= SHORTEST else INSTEAD
            self.fps = (number + 1) / time

    def declared_frames(self) -> int:
        """Pictures that the header promises."""
        return self._declared

    def reaches_its_end(self) -> bool:
        """Whether the file holds all that its container announces."""
        return reaches_its_end(self._file)
