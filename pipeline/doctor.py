"""What of the settings this machine cannot do, found without running a stage or loading a model."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from grace.pipeline.checkpoints import knows_only, require_model, weights_bytes
from grace.pipeline.datasets import find_adapter, root_of
from grace.pipeline.engines import ENGINES, opens_model
from grace.pipeline.engines.proxies import proxy_sentence
from grace.pipeline.errors import UserError
from grace.pipeline.messages import byte_size, install_hint
from grace.pipeline.named_models import models_of
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.text.settings import CaptionSettings, RefineSettings

LIBRARIES = ("torch", "transformers", "opencv-python-headless", "av", "h5py", "pyarrow", "pandas", "dvc", "vllm", "ray")
LEAST_FREE = 5e9
"""Bytes of free disk below which a stage may soon stop."""
LARGE = 0.8
"""Share of the memory above which weights leave little for anything else."""


@dataclass(frozen=True)
class Finding:
    """One line of the report; a ``fault`` will not work."""

    kind: Literal["ok", "note", "fault"]
    subject: str
    sentence: str


def examine(settings: PipelineSettings) -> list[Finding]:
    """Everything that can be said before any work.

    Args:
        settings: All of ``params.yaml`` that comes before training.

    Returns:
        Findings about versions, processors, memory, GPUs, disk, data sets, models, engines and detectors.

    Example:
        >>> from grace import load_settings
        >>> [finding.subject for finding in examine(load_settings(None))][:3]
        ['Python', 'libraries', 'processors']
    """
    return [
        *_versions(),
        *_machine(settings),
        *_disk(settings),
        *_datasets(settings),
        *_models(settings),
        *_room(settings),
        *_engines(settings),
        *_detector(settings),
    ]


def _versions() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    yield Finding("ok", "libraries", ", ".join(found))


def _machine(settings: PipelineSettings) -> Iterator[Finding]:
    import psutil

    from grace.pipeline.devices import choose_device

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    if settings.workers > cores:
        yield Finding("note", "processors", f"{cores} for {settings.workers} workers: set workers to {cores}")
    else:
        yield Finding("ok", "processors", f"{cores} for {settings.workers} workers")
    yield Finding("ok", "memory", f"{byte_size(memory.available)} of {byte_size(memory.total)} are free")
    try:
        device = choose_device("auto")
    except UserError as error:
        yield Finding("fault", "GPU", str(error))
        return
    if device.type != "cuda":
        yield Finding("note", "GPU", f"none: models run on {device.type}")
        return
    import torch

    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding("ok", "GPU", f"{number}: {name}, {byte_size(free)} of {byte_size(total)} are free")


def _disk(settings: PipelineSettings) -> Iterator[Finding]:
    folder = Path(settings.data)
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    if not os.access(there, os.W_OK):
        yield Finding("fault", "disk", f"{there} cannot be written: set data in params.yaml to a folder that can")
        return
    free = shutil.disk_usage(there).free
    kind: Literal["note", "ok"] = "note" if free < LEAST_FREE else "ok"
    yield Finding(kind, "disk", f"{byte_size(free)} are free under {folder}; `grace estimate` says what is needed")


def _datasets(settings: PipelineSettings) -> Iterator[Finding]:
    for dataset in settings.datasets:
        folder = settings.folder(dataset)
        if dataset == "demo" and not Path(settings.roots.get("demo", "")).is_dir():
            yield Finding("note", "data", "demo: not drawn yet; `dvc repro` or `grace world` draws it")
            continue
        try:
            root = root_of(settings.roots, dataset, None, folder)
            adapter = find_adapter(dataset, root, settings.lists.get(dataset), settings.index.labels.get(dataset))
        except UserError as error:
            yield Finding("fault", "data", str(error))
            continue
        state = "indexed" if (folder / "clips.parquet").exists() else f"not indexed: run `grace index -d {dataset}`"
        yield Finding("ok", "data", f"{dataset}: {root}, read as {adapter.name}; {state}")


def _models(settings: PipelineSettings) -> Iterator[Finding]:
    for model in models_of(settings):
        try:
            require_model(model.name, model.revision)
        except UserError as error:
            yield Finding("fault", model.stage, str(error))
            continue
        limit = knows_only(model.name)
        others = ", ".join(dataset for dataset in settings.datasets if dataset != "demo")
        if limit and others:
            yield Finding("note", model.stage, f"{model.name} knows only {limit}: it means nothing for {others}")
        else:
            yield Finding("ok", model.stage, f"{model.name} is there")


def _room(settings: PipelineSettings) -> Iterator[Finding]:
    """Models whose weights the memory cannot hold, or leaves little beside."""
    memory, where = _memory_of_models()
    for model in models_of(settings):
        size = weights_bytes(model.name, model.revision)
        if size > memory:
            sentence = f"{model.name} has {byte_size(size)} of weights, {where} {byte_size(memory)}: name a smaller one"
            yield Finding("fault", model.stage, sentence)
        elif size > LARGE * memory:
            yield Finding(
                "note",
                model.stage,
                f"{model.name} has {byte_size(size)} of weights, {where} {byte_size(memory)}: with vllm little is "
                "left for keys and values; lower vllm.max_length or name a smaller one",
            )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _memory_of_models() -> tuple[int, str]:
    """Bytes of the memory that models are loaded into, and whose it is."""
    import psutil
    import torch

    if _has_gpu():
        return min(torch.cuda.mem_get_info(at)[1] for at in range(torch.cuda.device_count())), "the smallest GPU"
    return psutil.virtual_memory().total, "this machine"


def _engines(settings: PipelineSettings) -> Iterator[Finding]:
    stages: list[tuple[str, CaptionSettings | RefineSettings]] = [
        ("caption", settings.caption),
        ("refine", settings.refine),
    ]
    for stage, part in stages:
        if part.engine == "vllm" and find_spec("vllm") is None:
            yield Finding("fault", stage, f"engine vllm is not installed: {install_hint('vllm')}")
        elif part.engine == "vllm" and not _has_gpu():
            yield Finding("note", stage, "engine vllm finds no GPU here: only vLLM's build for processors will start")
        if part.engine in ENGINES and not opens_model(part.engine) and not part.server.url:
            yield Finding("fault", stage, f"engine {part.engine} has no server: set {stage}.server.url")
        elif part.engine == "openai" and (sentence := proxy_sentence(part.server.url)):
            yield Finding("note", stage, sentence)
    if settings.runner == "ray" and find_spec("ray") is None:
        yield Finding("fault", "runner", f"ray is not installed: {install_hint('ray')}")


def _detector(settings: PipelineSettings) -> Iterator[Finding]:
    faces = settings.faces
    if faces.detector == "yunet" and not Path(faces.detector_model or "").is_file():
        yield Finding("fault", "detector", f"yunet needs its ONNX file; faces.detector_model is {faces.detector_model}")
    else:
        yield Finding("ok", "detector", faces.detector)
