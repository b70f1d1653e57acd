"""A FiftyOne data set: ``fiftyone.Dataset.from_dir(folder, dataset_type=fiftyone.types.FiftyOneDataset)`` opens it.

Its documented layout is ``metadata.json`` and ``samples.json``; without ``version`` in the former, FiftyOne reads plain
samples with the classes of their labels (``_cls``). A video names a file of labels by frame, which are none here. A
folder of frames is shown by its middle picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grace.export.content import Content, frames_of
from grace.pipeline.store import Row, write_atomic
from grace.pipeline.store.schemas import fold_column

NO_FRAMES = "frames/none.json"
"""Labels by frame, of which there are none."""


def write(content: Content, folder: Path) -> str:
    """Write one FiftyOne data set; of a set that has videos and folders of frames, one of each."""
    parts, predicted = content.by_source(), content.predicted()
    places = [folder if len(parts) == 1 else folder / kind for kind in parts]
    for place, (kind, rows) in zip(places, parts.items(), strict=True):
        samples = [_sample(content, row, predicted.get(row["clip_id"]), folder) for row in rows]
        metadata = {
            "name": content.dataset,
            "media_type": "video" if kind == "video" else "image",
            "info": {"classes": content.labels, "label_visible": content.label_visible},
        }
        write_atomic(place / "metadata.json", _json(metadata))
        write_atomic(place / "samples.json", _json({"samples": samples}))
        if kind == "video":
            write_atomic(place / NO_FRAMES, _json({"frames": {}}))
    return "\n".join(
        f"fiftyone.Dataset.from_dir({str(place)!r}, dataset_type=fiftyone.types.FiftyOneDataset)" for place in places
    )


def _sample(content: Content, row: Row, predicted: Row | None, folder: Path) -> dict[str, Any]:
    path = content.media(row, folder)
    sample: dict[str, Any] = {
        "filepath": path if row["source"] == "video" else _middle(path),
        "tags": [f"{fold_column(fold)}_{row[fold_column(fold)]}" for fold in content.folds if row[fold_column(fold)]],
        "clip_id": row["clip_id"],
        "subject": row["subject"],
        "caption": row["caption"],
        "description": row["description"],
        "label_visible": bool(row["label_visible"]),
        "status": row["status"],
        "error": row["error"],
    }
    if row["source"] == "video":
        sample["frames"] = NO_FRAMES
    else:
        sample["frames_folder"] = path
    if row["label"]:
        sample["ground_truth"] = {"_cls": "Classification", "label": row["label"]}
    if row["cues"]:
        cues = [f"{cue['region']}: {cue['action']}, {cue['intensity']}, {cue['phase']}" for cue in row["cues"]]
        sample["cues"] = {"_cls": "Classifications", "classifications": [_classification(cue) for cue in cues]}
    if predicted is not None:
        confidence = float(predicted[f"p_{predicted['predicted']}"])
        sample["predictions"] = {**_classification(predicted["predicted"]), "confidence": confidence}
        sample["correct"] = predicted["predicted"] == predicted["label"]
    return sample


def _classification(label: str) -> dict[str, Any]:
    return {"_cls": "Classification", "label": label}


def _middle(folder: str) -> str:
    images = frames_of(Path(folder))
    return images[len(images) // 2] if images else folder


def _json(content: Any) -> bytes:
    return f"{json.dumps(content, indent=1)}\n".encode()
