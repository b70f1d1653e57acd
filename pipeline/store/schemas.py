"""Every file of a data set's folder, in the order of the pipeline (``ARCHITECTURE.md`` has the table)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from grace.pipeline.store.schema import Column, Schema


def fold_column(fold: int) -> str:
    """The column of ``clips.parquet`` that says in which part of a fold a clip is."""
    return f"fold_{fold}"


def clips_schema(folds: Iterable[int]) -> Schema:
    """``clips.parquet`` of a data set that has these folds: one column per fold, as many as there are.

    Example:
        >>> [column.name for column in clips_schema([1, 2]).columns if column.name.startswith("fold")]
        ['fold_1', 'fold_2']
    """
    parts = "train, val, test, or empty when the fold does not hold the clip"
    columns = (*_CLIP_COLUMNS, *(Column(fold_column(fold), "str", doc=parts) for fold in folds))
    return Schema("index", 4, "parquet", columns, "clips.parquet: every clip that the data set lists")


_CLIP_COLUMNS = (
    Column("path", "str", doc="video file or folder of frames, relative to the data set's root"),
    Column("source", "str", doc="video or frames"),
    Column("n_frames", "int32", doc="counted by decoding"),
    Column("fps", "float32", doc="frames per second; 0 when the source does not say"),
    Column("width", "int32", doc="pixels"),
    Column("height", "int32", doc="pixels"),
    Column("content", "str", doc="digest of the video's bytes, or of the names and sizes of the frames"),
    Column("label", "str", doc="the clip's class; empty when nobody labelled it"),
    Column("label_id", "int32", doc="its index among the set's classes (metadata: labels); -1 without a label"),
    Column("votes", "float32", ("class",), "how many annotators chose each class; empty when the set does not say"),
    Column("subject", "str", doc="the person, where the set names one"),
    Column("scene", "str", doc="where or in what the clip plays, where the set says, such as FERV39k's Action"),
    Column("annotated_frames", "int32", doc="frames the annotation promises; -1 when it does not say"),
    Column("caption_human", "str", doc="the text that the data set ships, if any"),
)

CLIPS = clips_schema(())
"""What every table of clips has, whatever folds its data set has."""

FACES = Schema(
    "faces",
    2,
    "h5",
    (
        Column("frames", "jpeg", ("T",), "face crops at the T instants"),
        Column("neighbours", "jpeg", ("T",), "the same box one frame later, for differencing"),
        Column("size", "int32", ("axis",), "source width and height in pixels"),
        Column("boxes", "float32", ("T", "corner"), "x0, y0, x1, y1 of the crop in source pixels"),
        Column("roll", "float32", ("T",), "slope of the eye line, radians, undone in the crop", True, "turns"),
        Column("times", "float32", ("T",), "seconds from the clip's start"),
        Column("found", "bool", ("T",), "whether a detector saw the face, or the box is interpolated"),
    ),
    "face crops at T instants",
)

CAPTIONS = Schema(
    "caption",
    3,
    "parquet",
    (
        Column("caption", "str", doc="coarse caption"),
        Column("samples", "str", ("n",), "further captions of the clip, where there are several", formerly="others"),
        Column("engine", "str", doc="what wrote it: the engine, or annotation"),
        Column("model", "str", doc="model path or id"),
        Column("prompt", "str", doc="name of the prompt file"),
        Column("n_images", "int32", doc="instants shown to the model"),
        Column("tokens_in", "int32", doc="prompt tokens"),
        Column("tokens_out", "int32", doc="generated tokens"),
        Column("finish_reason", "str", doc="why it ended: stop, or length (cut short)"),
        Column("attempts", "int32", doc="times the model was asked"),
    ),
    "coarse captions",
)

DESCRIPTIONS = Schema(
    "refine",
    2,
    "parquet",
    (
        Column("caption", "str", doc="the coarse captions it was made from, one per line"),
        Column("description", "str", doc="fine emotion text"),
        Column("cues", "cues", doc="what each region does: region, action, intensity, phase"),
        Column("engine", "str", doc="who wrote it: the engine, or override (a person)"),
        Column("model", "str", doc="model path or id"),
        Column("prompt", "str", doc="name of the prompt file"),
        Column("label_visible", "bool", doc="whether the label was in the prompt; such clips are never scored"),
        Column("attempts", "int32", doc="times the model was asked"),
    ),
    "fine descriptions",
)

MOTION = Schema(
    "motion",
    2,
    "h5",
    (
        Column("motion", "float16", ("T", "G", "G"), "expressive motion of each patch, in [0, 1]"),
        Column(
            "rigid",
            "float32",
            ("T", "similarity"),
            "removed head motion: dx, dy (share of the crop), rotation (rad), log scale",
        ),
        Column("cut", "bool", ("T",), "the shot changes between the instant and its neighbour"),
    ),
    "motion maps",
)

TOKENS = Schema(
    "tokens",
    3,
    "h5",
    (
        Column("visual", "token", ("T", "P", "Dv"), "patch tokens of the vision encoder, row by row of the patch grid"),
        Column("frame", "token", ("T", "Dv"), "class token of each frame"),
        Column("text", "token", ("L", "Du"), "tokens of the text encoder: words, sentence by sentence, or clauses"),
        Column("text_mask", "bool", ("L",), "real tokens, not padding"),
        Column("text_id", "int32", ("L",), "vocabulary id of each token"),
        Column("sentence", "int16", ("L",), "sentence of each token; -1 for padding"),
        Column("visual_scale", "float32", ("T", "P"), "tokens.storage int8: token = int8 × scale", optional=True),
        Column("frame_scale", "float32", ("T",), "the same of the class tokens", optional=True),
        Column("text_scale", "float32", ("L",), "the same of the text tokens", optional=True),
        Column("patch_index", "int16", ("T", "P"), "tokens.patches: grid index of each patch kept", True, "place"),
        Column("grid", "int16", ("axis",), "tokens.patches: rows and columns of the patch grid", optional=True),
        Column("mirrored_visual", "token", ("T", "P", "Dv"), "tokens.views: patches of mirrored crops", optional=True),
        Column("mirrored_frame", "token", ("T", "Dv"), "their class tokens", optional=True),
        Column("mirrored_visual_scale", "float32", ("T", "P"), "their scale", optional=True),
        Column("mirrored_frame_scale", "float32", ("T",), "their scale", optional=True),
        Column("mirrored_patch_index", "int16", ("T", "P"), "grid index of each patch kept of them", optional=True),
        Column("other_text", "token", ("K", "L", "Du"), "tokens.texts: further texts of the clip", optional=True),
        Column("other_text_mask", "bool", ("K", "L"), "their real tokens; none where there are fewer", optional=True),
        Column("other_sentence", "int16", ("K", "L"), "sentence of each of their tokens", optional=True),
        Column("other_text_scale", "float32", ("K", "L"), "their scale", optional=True),
        Column(
            "label_visible", "bool", doc="whether the label was in the prompt of the text; such clips are never scored"
        ),
    ),
    "tokens of video and text",
)

TEMPLATES_FILE = "templates.parquet"

TEMPLATES = Schema(
    "tokens",
    2,
    "parquet",
    (
        Column("label", "str", doc="canonical emotion"),
        Column("prompt", "str", doc="a sentence of what it looks like"),
        Column("embedding", "float32", ("D",), "the sentence, by the text encoder"),
    ),
    "tokens/templates.parquet: what each class looks like in words",
    key=(),
)

PREDICTIONS = Schema(
    "train",
    2,
    "parquet",
    (
        Column("fold", "int32", doc="the fold whose test part this is"),
        Column("label", "str", doc="true emotion"),
        Column("predicted", "str", doc="the most probable emotion; empty when the clip could not be scored"),
        Column("probabilities", "float32", ("class",), "of each class, in canonical order"),
        Column("label_visible", "bool", doc="whether the label was in the prompt of the clip's text"),
        Column("limits", "str", doc="models behind it that do not know the footage; empty: all do", optional=True),
    ),
    "predictions.parquet: the test clips of one fold",
)

CROSS_DATASET = replace(
    PREDICTIONS,
    stage="evaluate",
    version=1,
    doc="cross-dataset/<other>/<method>/predictions.parquet: another set's clips by the run of each fold; "
    "probabilities of the shared classes, renormalised (metadata: labels)",
)

STORES: dict[str, Schema] = {
    "faces": FACES,
    "captions": CAPTIONS,
    "descriptions": DESCRIPTIONS,
    "motion": MOTION,
    "tokens": TOKENS,
}
"""Folder under ``data/<dataset>/`` to the schema of its shards."""
