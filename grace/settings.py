"""All of ``params.yaml``: what the pipeline needs and what the trainer needs, assembled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grace.pipeline.settings import PipelineSettings, read_settings
from grace.trainer.settings import EvaluateSettings, TrainSettings


class Settings(PipelineSettings):
    """All of ``params.yaml``."""

    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()


def load_settings(path: str | Path | None = "params.yaml", overrides: Sequence[str] = ()) -> Settings:
    """Read settings from a YAML file and apply overrides.

    Args:
        path: The file; None for the defaults.
        overrides: ``section.key=value`` each, where the value is YAML. A key may be set once; a mapping is merged into
            the section that stands there, as Hydra and ``dvc exp run -S`` do.

    Returns:
        The settings, with defaults for every key that is not there.

    Raises:
        UserError: The file is missing or not YAML, or a key is unknown, renamed or has a wrong value; the sentence
            names file and key.

    Example:
        >>> load_settings(None, ["faces.size=96"]).faces.size
        96
    """
    return read_settings(Settings, path, overrides)
