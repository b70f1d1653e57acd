"""What a data set will cost before anything runs: a few of its clips taken through every stage, timed and weighed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.execution.step import Step
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STAGES, step
from grace.pipeline.store import Clips, Row, Store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS

TYPICAL = (
    "The inner brows rise slightly at the onset and the eyes widen clearly at the apex. The lips part, the jaw drops "
    "and the cheeks stay relaxed. The upper eyelids lift strongly while the gaze is held. Towards the end the mouth "
    "closes again and the brows return to rest. "
)
"""Stands in for the texts of a stage that cannot be tried, so that the later ones can."""

TEXT_STORES = {"caption": ("captions", CAPTIONS), "refine": ("descriptions", DESCRIPTIONS)}


@dataclass(frozen=True)
class Cost:
    """What one stage takes of one clip."""

    stage: str
    seconds: float | None = None
    """In one process, once its model is open; None when the stage could not be tried."""
    bytes: float | None = None
    processes: int = 1
    gpu: int | None = None
    """Bytes of GPU memory at the peak; None without a GPU."""
    weights: int | None = None
    """Bytes of the stage's model at 16 bits a weight, which a GPU must hold at least; None without a local model."""
    note: str = ""

    def hours(self, clips: int) -> float | None:
        """Of ``clips`` clips on this machine."""
        return None if self.seconds is None else self.seconds * clips / self.processes / 3600


@dataclass(frozen=True)
class Shape:
    """Sizes of a clip's tokens: T instants, P patches, L text tokens, D wide."""

    instants: int
    patches: int
    length: int
    width: int

    def bytes(self, storage: str, kept: int | None = None) -> int:
        """On disk, a clip."""
        patches = kept or self.patches
        tokens = self.instants * (patches + 1) + self.length
        scales = 4 if storage == "int8" else 0
        places = 2 * self.instants * patches + 4 if kept else 0
        return tokens * (self.width * (1 if storage == "int8" else 2) + scales) + places + 7 * self.length


@dataclass(frozen=True)
class Plan:
    """The clips of a data set and what each stage takes of one."""

    clips: int
    tried: int
    costs: tuple[Cost, ...]
    shape: Shape | None
    """Of the tokens; None when the stage could not be tried."""


def plan(settings: PipelineSettings, dataset: str, samples: int = 4) -> Plan:
    """Take ``samples`` clips, spread over the data set, through every stage in a folder that is thrown away.

    Times are of this machine as it is just now. A stage that cannot be tried (its model is not here, its server does
    not answer) says so in its note, and a typical text stands in for what it would have written. Raises
    :class:`UserError` when the data set is not indexed or holds no clip that can be read.
    """
    clips = Clips(settings.folder(dataset))
    usable = [row for row in clips.rows if row["status"] != "failed"]
    if not usable:
        raise UserError(f"{clips.path} lists no clip that can be read: run `grace index --dataset {dataset}` again.")
    places = np.linspace(0, len(usable) - 1, min(samples, len(usable))).round().astype(int)
    chosen = [usable[place] for place in places]
    with TemporaryDirectory(prefix="grace-plan-") as scratch:
        folder = Path(scratch) / dataset
        write_clips(folder, chosen, clips.labels)
        whole = replace_data(settings, scratch)
        costs = tuple(_try(stage, whole, dataset, folder, chosen) for stage in STAGES)
        return Plan(len(usable), len(chosen), costs, _shape(folder) if costs[-1].seconds is not None else None)


def replace_data(settings: PipelineSettings, data: str) -> PipelineSettings:
    """The same settings with ``tokens.keep`` left out, so that the whole is measured, and another data folder."""
    tokens = settings.tokens.model_copy(update={"keep": None, "storage": "float16"})
    return settings.model_copy(update={"data": data, "tokens": tokens})


def _try(stage: str, settings: PipelineSettings, dataset: str, folder: Path, clips: Sequence[Row]) -> Cost:
    cost = Cost(stage, weights=_weights(settings, stage))
    try:
        made = step(stage, settings, dataset)
        cost = replace(cost, processes=_processes(made, settings))
        made.open()
        _reset_gpu()
        start = time.perf_counter()
        run(made, folder, size=len(clips), max_failed=1.0)
        seconds = time.perf_counter() - start
    except GraceError as error:
        if stage == "faces":  # nothing can be tried without crops
            raise
        _stand_in(stage, folder, clips)
        return replace(cost, note=str(error))
    store = Store(folder / made.folder, made.schema)
    rows = store.read(0, ["status", "error"])
    remarks = [f"{row['status']}: {row['error']}" for row in rows if row["status"] != "ok"]
    return replace(
        cost,
        seconds=seconds / len(clips),
        bytes=store.path(0).stat().st_size / len(clips),
        gpu=_gpu_peak(),
        note=f"{len(remarks)} of {len(clips)} clips tried, such as {remarks[0]}" if remarks else "",
    )


def _processes(made: Step, settings: PipelineSettings) -> int:
    return max(1, min(settings.workers, os.cpu_count() or 1)) if made.parallel else 1


def _weights(settings: PipelineSettings, stage: str) -> int | None:
    """Counted in the headers of the checkpoint's files; nothing is loaded."""
    from huggingface_hub import snapshot_download
    from safetensors import safe_open

    section = getattr(settings, stage)
    name = getattr(section, "model", "")
    if not name or getattr(section, "engine", "transformers") in ("openai", "annotation"):
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(name, revision=section.revision, local_files_only=True))
        except (OSError, ValueError):  # not in the cache, or no name of the hub
            return None
    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            count += sum(int(np.prod(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118
    return 2 * count or None


def _stand_in(stage: str, folder: Path, clips: Sequence[Row]) -> None:
    """Rows with a typical text in the place of what a text stage would have written."""
    if stage in TEXT_STORES:
        name, schema = TEXT_STORES[stage]
        texts = {"caption": TYPICAL, "description": TYPICAL}
        rows = [{"clip_id": clip["clip_id"], "status": "ok", "error": "", **texts} for clip in clips]
        Store(folder / name, schema).write(0, rows, {"fingerprint": "plan"})


def _shape(folder: Path) -> Shape | None:
    from grace.pipeline.store.schemas import TOKENS

    for row in Store(folder / "tokens", TOKENS).read(0, ["status", "visual", "text"]):
        if row["status"] != "failed":
            instants, patches, width = row["visual"].shape
            return Shape(instants, patches, len(row["text"]), width)
    return None


def _reset_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _gpu_peak() -> int | None:
    """Of this process; an engine that computes elsewhere (vllm, a server) does not count."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None
