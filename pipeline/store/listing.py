"""What a folder holds: a folder that may not be read is an error, where ``Path.glob`` finds it empty."""

from __future__ import annotations

from fnmatch import filter as matching
from pathlib import Path

from grace.pipeline.errors import GraceError, os_error_sentence


def find_paths(folder: Path, pattern: str) -> list[Path]:
    """The paths below a folder that match a pattern, in order; none where the folder does not exist.

    Args:
        folder: Where to look.
        pattern: As ``Path.glob`` takes it, without ``**``: ``fold-*/config.yaml``.

    Raises:
        GraceError: A folder on the way cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> (folder / "fold-1").mkdir()
        >>> (folder / "fold-1" / "config.yaml").touch()
        >>> [str(path.relative_to(folder)) for path in find_paths(folder, "fold-*/config.yaml")]
        ['fold-1/config.yaml']
    """
    name, _, deeper = pattern.partition("/")
    try:
        held = [path.name for path in Path(folder).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise GraceError(os_error_sentence(error, folder, done="read")) from None
    found = [folder / each for each in sorted(matching(held, name))]
    return [path for each in found for path in find_paths(each, deeper)] if deeper else found
