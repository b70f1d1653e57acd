"""What a clip's files hold, as a digest: another file of the same name and length is another clip."""

from __future__ import annotations

from pathlib import Path

import xxhash

from grace.pipeline.errors import ClipError
from grace.pipeline.media.files import open_regular
from grace.pipeline.media.frames import list_images

BLOCK = 1 << 20
UNCOMPRESSED = frozenset({".bmp", ".tif", ".tiff"})
"""Images whose size may say nothing about the picture."""


def content_digest(path: Path, source: str, hash_images: bool = False) -> str:
    """XXH3-128 of a clip's content; times and the place of the file are no part of it.

    Args:
        path: A video file, or a folder of frames.
        source: ``video``: its bytes; ``frames``: names and sizes of its images, since reading a million small files
            takes an hour, and the bytes of those whose size does not depend on the picture: of all where all have one
            size, and of those in :data:`UNCOMPRESSED`.
        hash_images: For ``frames``, the images' bytes as well.

    Raises:
        ClipError: The files cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "a.mp4"
        >>> _ = file.write_bytes(b"one")
        >>> before = content_digest(file, "video")
        >>> _ = file.write_bytes(b"two")
        >>> before == content_digest(file, "video")
        False
    """
    state = xxhash.xxh3_128()
    try:
        if source == "video":
            _update(state, Path(path))
        else:
            sizes = {name: (Path(path) / name).stat().st_size for name in list_images(path)}
            of_one_size = len(set(sizes.values())) == 1
            for name, size in sizes.items():
                state.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
                if hash_images or of_one_size or Path(name).suffix.lower() in UNCOMPRESSED:
                    _update(state, Path(path) / name)
    except OSError as error:
        raise ClipError(f"its content cannot be read: {error.strerror}") from None
    return state.hexdigest()


def is_content(path: Path, source: str, digest: str) -> bool:
    """Whether a clip's files are those of a digest, made with or without the bytes of images.

    Args:
        path: A video file, or a folder of frames.
        source: ``video`` or ``frames``, as for :func:`content_digest`.
        digest: What :func:`content_digest` gave.

    Raises:
        ClipError: The files cannot be read.
    """
    return content_digest(path, source) == digest or (
        source == "frames" and content_digest(path, source, True) == digest
    )


def _update(state: xxhash.xxh3_128, file: Path) -> None:
    with open_regular(file) as content:
        while block := content.read(BLOCK):
            state.update(block)
