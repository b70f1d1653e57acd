"""Ground truth as two Parquet tables: one row per frame, one row per clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from grace.pipeline.errors import GraceError, os_error_sentence
from grace.pipeline.store import temporary_name
from grace.pipeline.store.checksum import PLACEHOLDER, seal
from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS, BY_NAME
from grace.pipeline.world.render import FrameTruth
from grace.pipeline.world.scenario import Scenario
from grace.pipeline.world.sentences import coarse_caption, fine_description

FRAMES = "truth/frames.parquet"
CLIPS = "truth/clips.parquet"

SEALED = {"checksum": PLACEHOLDER}

_floats = pa.list_(pa.float32())
_FRAMES = pa.schema(
    [
        ("clip_id", pa.string()),
        ("frame", pa.int32()),
        ("time", pa.float32()),  # seconds
        ("actions", _floats),  # intensity of each of ACTIONS
        ("regions", _floats),  # x0, y0, x1, y1 of each of REGIONS, pixels, flattened
        ("face", _floats),  # x0, y0, x1, y1
        ("rigid", _floats),  # dx, dy (pixels), rotation (rad), scale of the head since the first frame
        ("cut", pa.bool_()),
        ("blink", pa.float32()),
        ("speech", pa.float32()),
    ],
    metadata={"actions": "|".join(action.name for action in ACTIONS), "regions": "|".join(REGIONS), **SEALED},
)
_spans = [("start", pa.float32()), ("end", pa.float32()), ("strength", pa.float32())]
_EVENT = [
    ("action", pa.string()),
    ("region", pa.string()),
    ("intensity", pa.float32()),
    ("level", pa.string()),
    *((name, pa.float32()) for name in ("onset", "apex_start", "apex_end", "offset")),
]
_CLIPS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("label", pa.string()),
        ("identity", pa.int32()),
        ("fold", pa.int32()),
        ("duration", pa.float32()),
        ("caption", pa.string()),  # the true coarse caption
        ("sentences", pa.list_(pa.string())),  # the true description, sentence by sentence
        ("events", pa.list_(pa.struct(_EVENT))),  # the visible ones, in time order
        ("distractors", pa.list_(pa.struct([("kind", pa.string()), *_spans]))),
    ],
    metadata=SEALED,
)

_GROUP = 64  # clips in one row group


def clip_row(scenario: Scenario, fold: int) -> dict[str, Any]:
    """A clip's row of ``truth/clips.parquet``."""
    timeline = scenario.timeline
    return {
        "clip_id": scenario.clip_id,
        "label": scenario.label,
        "identity": scenario.identity,
        "fold": fold,
        "duration": scenario.duration,
        "caption": coarse_caption(timeline),
        "sentences": [sentence.strip() + "." for sentence in fine_description(timeline).split(".") if sentence.strip()],
        "events": [
            {**asdict(event), "region": BY_NAME[event.action].region, "level": event.level}
            for event in timeline.visible()
        ],
        "distractors": [asdict(distractor) for distractor in scenario.distractors],
    }


def frame_rows(clip_id: str, truth: FrameTruth) -> list[dict[str, Any]]:
    """A clip's rows of ``truth/frames.parquet``."""
    return [
        {
            "clip_id": clip_id,
            "frame": frame,
            "time": float(truth.times[frame]),
            "actions": truth.intensities[frame],
            "regions": truth.regions[frame].ravel(),
            "face": truth.face[frame],
            "rigid": truth.rigid[frame],
            "cut": bool(truth.cut[frame]),
            "blink": float(truth.blink[frame]),
            "speech": float(truth.speech[frame]),
        }
        for frame in range(len(truth.times))
    ]


def write_truth(root: Path, clips: Iterable[tuple[dict[str, Any], list[dict[str, Any]]]], unfinished: Path) -> None:
    """Write both tables from pairs of :func:`clip_row` and :func:`frame_rows`, in the order of the clips.

    Only a few clips are in memory. The tables are written in the folder ``unfinished``, and renamed at the end.

    Args:
        root: The folder of the world, in which ``truth/`` is made.
        clips: Pairs, made as they are written.
        unfinished: A folder on the same disk.

    Raises:
        GraceError: The tables cannot be written.
    """
    made = {name: temporary_name(unfinished / Path(name).name) for name in (FRAMES, CLIPS)}
    try:
        with (
            pq.ParquetWriter(made[FRAMES], _FRAMES, compression="zstd") as frames,
            pq.ParquetWriter(made[CLIPS], _CLIPS, compression="zstd") as table,
        ):
            rest = iter(clips)
            while group := list(islice(rest, _GROUP)):
                table.write_table(pa.Table.from_pylist([row for row, _ in group], _CLIPS))
                frames.write_table(pa.Table.from_pylist([row for _, rows in group for row in rows], _FRAMES))
        (root / FRAMES).parent.mkdir(parents=True, exist_ok=True)
        for name, temporary in made.items():
            temporary.write_bytes(seal(temporary.read_bytes()))
            temporary.replace(root / name)
    except OSError as error:
        raise GraceError(os_error_sentence(error, root / FRAMES)) from error
    finally:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)
