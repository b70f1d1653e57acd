"""Label Studio tasks with predictions: a JSON file to import, and the labelling interface that fits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from grace.export.content import MEDIA, Content, frames_of
from grace.pipeline.store import Row, write_atomic

LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio addresses files below ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT``."""


def write(content: Content, folder: Path) -> str:
    """Write ``<kind>-tasks.json`` and ``<kind>-interface.xml`` for videos and for folders of frames."""
    predicted = content.predicted()
    for kind, rows in content.by_source().items():
        tasks = [_task(content, row, predicted.get(row["clip_id"]), folder) for row in rows]
        write_atomic(folder / f"{kind}-tasks.json", f"{json.dumps(tasks, indent=1)}\n".encode())
        write_atomic(folder / f"{kind}-interface.xml", interface(kind, content.labels).encode())
    if content.copied:
        root = str((folder / MEDIA).absolute())
    else:
        root = "the data set's root" if content.root is None else str(content.root.absolute())
    return (
        "paste the interface into a Label Studio project, import the tasks, and serve the clips from "
        f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root} with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true"
    )


def _task(content: Content, row: Row, predicted: Row | None, folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = {
        "clip_id": row["clip_id"],
        "label": row["label"],
        "caption": row["caption"],
        "description": row["description"],
        "label_visible": bool(row["label_visible"]),
        "error": row["error"],
    }
    if row["source"] == "video":
        data["clip"] = _address(row["path"])
    else:
        images = frames_of(Path(content.media(row, folder)))
        data["clip"] = [_address(f"{row['path']}/{Path(image).name}") for image in images]
    result: list[dict[str, Any]] = []
    made: dict[str, Any] = {"model_version": ", ".join(filter(None, (content.method, row["description_model"])))}
    if row["description"]:
        result.append(_result("description", "textarea", {"text": [row["description"]]}))
    if predicted is not None:
        made["score"] = float(predicted[f"p_{predicted['predicted']}"])
        result.append(_result("emotion", "choices", {"choices": [predicted["predicted"]]}))
    return {"data": data, "predictions": [{**made, "result": result}] if result else []}


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "clip", "type": kind, "value": value}


def _address(path: str) -> str:
    return LOCAL_FILES + quote(path)


def interface(kind: str, labels: list[str]) -> str:
    """The labelling interface for ``video`` or ``frames``: the clip, its emotion where there are classes, its text."""
    shown = '<Video name="clip" value="$clip"/>' if kind == "video" else '<Image name="clip" valueList="$clip"/>'
    listed = "".join(f"    <Choice value={quoteattr(label)}/>\n" for label in labels)
    open_choices = '  <Choices name="emotion" toName="clip" choice="single" showInline="true">\n'
    choices = f"{open_choices}{listed}  </Choices>\n" if labels else ""
    return f"""<View>
  {shown}
{choices}  <TextArea name="description" toName="clip" editable="true" rows="4" maxSubmissions="1"/>
</View>
"""
