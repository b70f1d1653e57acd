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
from grace.pipeline.steps import STEPS, make_step
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
class StageCost:
    """What one stage takes per clip.

    Example:
        >>> cost = StageCost("faces", seconds_per_clip=0.5, processes=4)
        >>> cost.hours(clips=28_800)
        1.0
    """

    stage: str
    seconds_per_clip: float | None = None
    """In one process, once its model is open; None when the stage could not be tried."""
    bytes_per_clip: float | None = None
    """On disk; None when the stage could not be tried."""
    processes: int = 1
    """Clips that are done concurrently on this machine."""
    gpu_bytes: int | None = None
    """GPU memory at the peak; None without a GPU."""
    weight_bytes: int | None = None
    """The stage's model at 16 bits per weight, which a GPU must hold at least; None without a local model."""
    note: str = ""
    """Why the stage could not be tried, or what went wrong with single clips."""

    def hours(self, clips: int) -> float | None:
        """For ``clips`` clips on this machine; None when the stage could not be tried."""
        return None if self.seconds_per_clip is None else self.seconds_per_clip * clips / self.processes / 3600


@dataclass(frozen=True)
class TokenShape:
    """Sizes of a clip's tokens.

    Example:
        >>> shape = TokenShape(instants=16, patches=49, length=128, width=512)
        >>> shape.bytes("float16"), shape.bytes("int8"), shape.bytes("int8", keep=12)
        (951168, 479744, 174660)
    """

    instants: int
    """T, instants per clip."""
    patches: int
    """P, patches per instant."""
    length: int
    """L, text tokens."""
    width: int
    """D_v, dimensions of a visual token."""
    text_width: int = 0
    """D_u, of a text token; D_v if not given."""

    def __post_init__(self) -> None:
        if not self.text_width:
            object.__setattr__(self, "text_width", self.width)

    def bytes(self, storage: str, keep: int | None = None) -> int:
        """Size on disk per clip, in bytes.

        Args:
            storage: ``float16`` or ``int8``, as in ``tokens.storage``.
            keep: Patches kept per instant, as in ``tokens.patches``; None for all.
        """
        tokens = self.instants * ((keep or self.patches) + 1)
        scale_bytes, element = (4, 1) if storage == "int8" else (0, 2)
        index_bytes = 2 * self.instants * keep + 4 if keep else 0
        of_text = self.length * (self.text_width * element + scale_bytes + 7)
        return tokens * (self.width * element + scale_bytes) + of_text + index_bytes


@dataclass(frozen=True)
class Estimate:
    """How many clips a data set has, and what each stage takes for one of them."""

    clips: int
    """Clips of the data set that can be read."""
    tried: int
    """Clips that the figures come from."""
    costs: tuple[StageCost, ...]
    """One per stage, in their order."""
    shape: TokenShape | None
    """Of the tokens; None when the stage could not be tried."""


def estimate(settings: PipelineSettings, dataset: str, samples: int = 4) -> Estimate:
    """Take a few clips, spread over the data set, through every stage in a folder that is thrown away.

    Times are those of this machine under its present load. A stage that cannot be tried (its model is not here, its
    server does not answer) says so in its note, and a typical text stands in for what it would have written.

    Args:
        settings: What the stages shall do.
        dataset: A data set that ``grace index`` has listed.
        samples: Clips to try.

    Returns:
        Seconds and bytes per clip and stage.

    Raises:
        UserError: The data set is not indexed, or holds no clip that can be read.

    Example:
        >>> found = estimate(load_settings(), "demo", samples=2)  # doctest: +SKIP
        >>> {cost.stage: cost.hours(found.clips) for cost in found.costs}  # doctest: +SKIP
    """
    clips = Clips(settings.folder(dataset))
    usable = [row for row in clips.rows if row["status"] != "failed"]
    if not usable:
        raise UserError(f"{clips.path} lists no clip that can be read: run `grace index --dataset {dataset}` again.")
    positions = np.linspace(0, len(usable) - 1, min(samples, len(usable))).round().astype(int)
    sample = [usable[position] for position in positions]
    with TemporaryDirectory(prefix="grace-estimate-") as scratch:
        folder = Path(scratch) / dataset
        write_clips(folder, sample, clips.labels, clips.footage)
        changed = _for_trial(settings, scratch)
        costs = tuple(_try(stage, changed, dataset, folder, sample) for stage in STEPS)
        tokens_tried = costs[-1].seconds_per_clip is not None
        return Estimate(len(usable), len(sample), costs, _shape(folder) if tokens_tried else None)


def _for_trial(settings: PipelineSettings, data: str) -> PipelineSettings:
    """The same settings with another data folder, and with whole tokens, whose other sizes can be computed."""
    whole = {"patches": None, "storage": "float16", "views": (), "texts": 1}
    tokens = settings.tokens.model_copy(update=whole)
    return settings.model_copy(update={"data": data, "tokens": tokens})


def _try(stage: str, settings: PipelineSettings, dataset: str, folder: Path, clips: Sequence[Row]) -> StageCost:
    cost = StageCost(stage, weight_bytes=_weight_bytes(settings, stage))
    try:
        made = make_step(stage, settings, dataset)
        cost = replace(cost, processes=_processes(made, settings))
        made.open()
        _reset_gpu_peak()
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
        seconds_per_clip=seconds / len(clips),
        bytes_per_clip=store.path(0).stat().st_size / len(clips),
        gpu_bytes=_gpu_peak(),
        note=f"{len(remarks)} of {len(clips)} clips tried, such as {remarks[0]}" if remarks else "",
    )


def _processes(made: Step, settings: PipelineSettings) -> int:
    return max(1, min(settings.workers, os.cpu_count() or 1)) if made.parallel else 1


def _weight_bytes(settings: PipelineSettings, stage: str) -> int | None:
    """At 16 bits per weight, counted in the headers of the checkpoint's files; nothing is loaded."""
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
    """Write rows with a typical text instead of what a text stage would have written."""
    if stage in TEXT_STORES:
        name, schema = TEXT_STORES[stage]
        texts = {"caption": TYPICAL, "description": TYPICAL}
        rows = [{"clip_id": clip["clip_id"], "status": "ok", "error": "", **texts} for clip in clips]
        Store(folder / name, schema).write(0, rows, {"fingerprint": "stand-in"})


def _shape(folder: Path) -> TokenShape | None:
    from grace.pipeline.store.schemas import TOKENS

    for row in Store(folder / "tokens", TOKENS).read(0, ["status", "visual", "text"]):
        if row["status"] != "failed":
            instants, patches, width = row["visual"].shape
            return TokenShape(instants, patches, len(row["text"]), width, row["text"].shape[1])
    return None


def _reset_gpu_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _gpu_peak() -> int | None:
    """Bytes in this process; an engine that computes elsewhere (vllm, a server) does not count."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None
