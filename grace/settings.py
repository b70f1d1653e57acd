"""All of ``params.yaml``: what the pipeline needs and what the trainer needs, assembled."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.settings import PipelineSettings, read_settings
from grace.trainer.settings import EvaluateSettings, TrainSettings


class Settings(PipelineSettings):
    """All of ``params.yaml``."""

    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()


def load_settings(path: str | Path = "params.yaml", overrides: list[str] | None = None) -> Settings:
    """Read settings from a YAML file and apply ``section.key=value`` overrides (values are YAML).

    Raises :class:`~grace.pipeline.errors.UserError` naming the file and the key when one is unknown or has a wrong
    value.
    """
    return read_settings(Settings, path, overrides)
