"""What ``grace init --dataset … --gpu …`` knows of data sets and of machines, and where each figure comes from."""

from __future__ import annotations

from typing import Any

REAL: dict[str, dict[str, Any]] = {
    "faces": {"size": 224},
    "motion": {"grid": 7},
    "caption": {"model": "Qwen/Qwen2.5-VL-7B-Instruct"},
    "refine": {"model": "Qwen/Qwen2.5-7B-Instruct"},
    "tokens": {"model": "openai/clip-vit-base-patch32"},
}
"""Settings for real footage; the pocket models know drawn faces only."""

_SMALL = {"engine": "transformers", "max_tokens": 160}
_VLLM = {"engine": "vllm"}
_LARGE: dict[str, dict[str, Any]] = {
    "caption": {**_VLLM, "vllm": {"max_length": 8192}},
    "refine": {**_VLLM, "model": "Qwen/Qwen2.5-14B-Instruct", "vllm": {"max_length": 8192}},
    "tokens": {"model": "openai/clip-vit-base-patch16", "storage": "int8", "batch": 1024},
    "motion": {"grid": 14},
    "train": {"hidden": 256, "batch": 64},
}

MACHINES: dict[str, dict[str, dict[str, Any]]] = {
    "cpu": {
        "caption": {**_SMALL, "model": "HuggingFaceTB/SmolVLM-256M-Instruct", "images": 4, "batch": 4},
        "refine": {**_SMALL, "model": "Qwen/Qwen2.5-0.5B-Instruct", "batch": 4},
        "tokens": {"batch": 32},
        "train": {"hidden": 128},
    },
    "16gb": {
        "caption": {**_VLLM, "model": "Qwen/Qwen2.5-VL-3B-Instruct", "vllm": {"max_length": 4096}},
        "refine": {**_VLLM, "model": "Qwen/Qwen2.5-3B-Instruct", "vllm": {"max_length": 4096}},
        "tokens": {"batch": 256},
        "train": {"hidden": 256},
    },
    "24gb": {
        "caption": {**_VLLM, "vllm": {"max_length": 4096}},
        "refine": {**_VLLM, "vllm": {"max_length": 4096}},
        "tokens": {"batch": 512},
        "train": {"hidden": 256},
    },
    "80gb": _LARGE,
    "8x80gb": _LARGE,  # each GPU has its own copy of the models
}
"""Machine to settings that fit it, over :data:`REAL`."""

WHOLE: dict[str, dict[str, Any]] = {
    "cpu": {},
    "16gb": {"workers": 8, "shards": {"clips": 128}},
    "24gb": {"workers": 8, "shards": {"clips": 128}},
    "80gb": {"workers": 16, "shards": {"clips": 128}},
    "8x80gb": {"workers": 32, "shards": {"clips": 128}, "runner": "ray", "ray": {"gpus": 1}},
}
"""Machine to settings outside the stages."""

SIZES = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": 0.26,
    "Qwen/Qwen2.5-0.5B-Instruct": 0.49,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3.75,
    "Qwen/Qwen2.5-3B-Instruct": 3.09,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8.29,
    "Qwen/Qwen2.5-7B-Instruct": 7.62,
    "Qwen/Qwen2.5-14B-Instruct": 14.8,
    "openai/clip-vit-base-patch32": 0.15,
    "openai/clip-vit-base-patch16": 0.15,
}
"""Billions of parameters, from the models' cards. Weights in bfloat16 take two bytes each."""

GPU_GIGABYTES = {"16gb": 16, "24gb": 24, "80gb": 80, "8x80gb": 80}


def gigabytes(model: str) -> float | None:
    """What a model's weights take in bfloat16, where its size is known.

    Example:
        >>> gigabytes("Qwen/Qwen2.5-VL-7B-Instruct")
        16.6
    """
    return round(2 * SIZES[model], 1) if model in SIZES else None


def remarks(dataset: str, gpu: str) -> list[str]:
    """What is known and what was measured of a preset, and the lines that fetch its models, as comments."""
    models = models_of(gpu)
    lines = [
        f"Preset for {dataset} on {gpu}, written by `grace init`. Any key may be changed.",
        "Weights in bfloat16, by the models' cards: "
        + ", ".join(f"{name.rpartition('/')[2]} {gigabytes(name)} GB" for name in models)
        + ".",
    ]
    if gpu in GPU_GIGABYTES:
        lines.append(
            "vllm.max_length is set because a model's full context does not fit beside its weights; a question here "
            "with 8 images takes about 700 tokens, by arithmetic."
        )
    lines += [
        "No preset was run on such a machine: sizes are arithmetic, and train.hidden (64 for the drawn world) is a "
        "guess for thousands of real clips that `grace tune` can replace.",
        "`grace doctor` looks at your machine, `grace estimate` measures a few clips.",
        "Fetch the models once where there is a network:",
        *(f"  hf download {name}" for name in models),
    ]
    return lines


def models_of(gpu: str) -> list[str]:
    """The checkpoints that a preset names."""
    chosen = MACHINES[gpu]
    return [str({**REAL[stage], **chosen.get(stage, {})}["model"]) for stage in ("caption", "refine", "tokens")]
