"""GRACE: from raw face clips to an honestly evaluated emotion classifier, offline.

The public interface; everything here is imported on first use, so that ``import grace`` costs next to nothing.

- :class:`GraceClassifier`: a trained run; ``GraceClassifier.from_pretrained(run).predict("x.mp4")``.
- :class:`ClipPipeline`: one video through all steps in memory; ``ClipPipeline(settings)("x.mp4")``.
- :func:`load_settings`: ``params.yaml`` as typed settings.
- :func:`open_store`: what a stage wrote; ``open_store("data/demo", "descriptions").to_pandas()``.

Example:
    >>> import grace
    >>> grace.load_settings(None, ["faces.size=96"]).faces.size
    96
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grace.classifier import GraceClassifier
    from grace.pipeline.errors import ClipError, GraceError, UserError
    from grace.pipeline.single_clip import ClipPipeline, ClipResult
    from grace.pipeline.store import open_store
    from grace.predictions import Prediction, PredictionOverTime
    from grace.settings import Settings, load_settings

    __version__: str

__all__ = [
    "ClipError",
    "ClipPipeline",
    "ClipResult",
    "GraceClassifier",
    "GraceError",
    "Prediction",
    "PredictionOverTime",
    "Settings",
    "UserError",
    "__version__",
    "load_settings",
    "open_store",
]

_HOMES = {
    "ClipError": "grace.pipeline.errors",
    "ClipPipeline": "grace.pipeline.single_clip",
    "ClipResult": "grace.pipeline.single_clip",
    "GraceClassifier": "grace.classifier",
    "GraceError": "grace.pipeline.errors",
    "Prediction": "grace.predictions",
    "PredictionOverTime": "grace.predictions",
    "Settings": "grace.settings",
    "UserError": "grace.pipeline.errors",
    "load_settings": "grace.settings",
    "open_store": "grace.pipeline.store",
}
"""Public name to the module that defines it."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("grace-dfer")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'grace' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
