"""``params.yaml`` as typed settings: every key is here, with its meaning, its unit and its default.

A key that is not here is an error that names it. :func:`load` reads the file and applies ``key=value`` overrides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grace.pipeline.errors import UserError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of ``params.yaml``; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class World(Section):
    """The rendered world (``grace world``)."""

    clips: Count = 240
    seed: int = 1
    identities: Count = 40
    folds: Count = 5
    size: Annotated[int, Field(ge=96)] = 224  # pixels, square frames
    fps: Annotated[float, Field(gt=0)] = 25.0
    layout: Literal["folder", "mafw", "dfew", "ferv39k"] = "folder"
    difficulty: Annotated[float, Field(ge=0)] = 1.0  # scales noise of mixtures, weak clips and distractors


class Index(Section):
    """Listing clips and counting their frames (``grace index``)."""

    strict: bool = False  # whatever does not fit is an error
    accept: dict[str, list[str]] = {}  # data set to the findings that are known of it: told, and no error under strict
    folders: dict[str, str] = {}  # data set to the folder under its root that holds the clips, where there are several


class Parts(Section):
    """The list files of one fold, relative to the data set's root or absolute."""

    train: str | None = None
    test: str | None = None


class Lists(Section):
    """A data set that comes as list files of lines ``path n_frames label``; its root is ``roots.<name>``."""

    folds: dict[Annotated[int, Field(ge=1, le=5)], Parts]
    labels: list[str] | dict[int | str, str]  # the emotions that 0, 1, 2 … mean, or what is written to emotion
    paths: dict[str, str] = {}  # how listed paths begin to the folder under the root that has what follows


class Faces(Section):
    """Sampling, finding and cropping (``grace faces``)."""

    instants: Count = 16  # T
    size: Annotated[int, Field(ge=32)] = 128  # pixels, square crops
    detector: Literal["none", "haar", "yunet"] = "haar"
    detector_model: str | None = None  # the ONNX file, for yunet
    detect_every: Count = 2  # detect at every second instant; boxes between are interpolated
    margin: Annotated[float, Field(ge=0)] = 0.15  # added around the box, share of its side
    quality: Annotated[int, Field(ge=1, le=100)] = 95  # JPEG


class Motion(Section):
    """Motion maps (``grace motion``)."""

    grid: Count = 8  # G, patches a side
    method: Literal["difference", "registered", "flow"] = "registered"


class Server(Section):
    """The server of engine ``openai``. Its key, if it wants one, is read from the variable OPENAI_API_KEY."""

    url: str = ""  # such as http://127.0.0.1:8000/v1; nothing is sent anywhere until it is named
    concurrency: Count = 32  # requests at once
    timeout: Annotated[float, Field(gt=0)] = 120.0  # seconds that one answer may take
    patience: Annotated[float, Field(ge=0)] = 600.0  # seconds to wait for a server that is away or busy


class Vllm(Section):
    """How engine ``vllm`` uses the machine; nothing here but ``options`` changes an answer on purpose."""

    tensor_parallel: Count = 1  # GPUs that share a copy of the model
    data_parallel: Count = 1  # copies of the model, each on GPUs of its own
    memory: Annotated[float, Field(gt=0, le=1)] = 0.9  # share of each GPU
    max_length: Count | None = None  # tokens of prompt and answer together; the model's own limit when null
    options: dict[str, Any] = {}  # any other argument of vllm.LLM by its own name, such as quantization


class Text(Section):
    """What caption and refine share: who writes, from which prompt."""

    engine: Literal["transformers", "vllm", "openai", "annotation"] = "transformers"
    model: str = ""  # a folder, a model of the hub, or (openai) what the server calls it
    revision: str | None = None
    trust_remote_code: list[str] = []  # models, by name, whose own Python code may run
    batch: Count = 16  # transformers: the most requests at once
    queue: Annotated[int, Field(ge=0)] = 256  # vllm, openai: clips begun beyond a shard, so that no engine idles
    max_tokens: Count = 160
    max_attempts: Count = 3  # times a clip is asked about before giving up
    seed: int = 0
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    device: str = "auto"
    server: Server = Server()
    vllm: Vllm = Vllm()


class Caption(Text):
    """Coarse captions by a vision-language model (``grace caption``)."""

    model: str = "pocket/vlm"
    prompt: str = "coarse-v1"
    images: Count = 8
    samples: Count = 1  # captions of each clip: the likeliest, then drawn ones; refine takes them all


class Refine(Text):
    """Fine descriptions by a language model (``grace refine``)."""

    model: str = "pocket/llm"
    prompt: str = "refine-v1"
    max_tokens: Count = 320
    use_label: bool = False
    overrides: str = "overrides"  # folder of corrections: <dataset>.csv with clip_id,description


class Tokens(Section):
    """CLIP tokens of video and text (``grace tokens``)."""

    model: str = "pocket/clip"
    revision: str | None = None
    batch: Count = 64  # frames
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    device: str = "auto"
    storage: Literal["float16", "int8"] = "float16"  # int8 has a scale for each token, and half the size
    keep: Count | None = None  # patches kept a frame, those with most motion and saliency; none: all of them
    text: Literal["description", "caption"] = "description"  # caption: the coarse text in the place of the fine one
    text_length: Count = 128  # L


class Train(Section):
    """The trainer (``grace train``)."""

    method: Literal["vision", "template", "narrative", "grace"] = "grace"
    protocol: Literal["held-out", "best-test"] = "held-out"
    seed: int = 0
    epochs: Count = 30
    batch: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Share = 0.1  # share of all steps
    patience: Count = 8  # epochs without a better validation UAR
    smoothing: Count = 3  # epochs whose mean validation UAR is an epoch's score
    validation: Share = 0.15  # share of the training fold
    ema: Share = 0.9  # of the averaged weights, a step
    clip_norm: Annotated[float, Field(gt=0)] = 1.0  # of the gradient
    hidden: Count = 64
    layers: Count = 2
    heads: Count = 4
    dropout: Share = 0.2
    patch_dropout: Share = 0.5  # share of each frame's patches left out of a training step
    segments: Count = 4  # of a clip's course: what comes first is not averaged with what comes last
    epsilon: Annotated[float, Field(gt=0)] = 0.05  # entropic regularisation
    sinkhorn_iterations: Count = 30
    column_weight: Annotated[float, Field(gt=0)] = 0.05  # rho: how firmly plans keep the visual marginal; .inf: exactly
    motion_exponent: Annotated[float, Field(ge=0)] = 1.0  # gamma
    motion_within: Literal["frame", "clip"] = "frame"  # motion weighs patches of a frame, or instants as well
    transport_weight: Annotated[float, Field(ge=0)] = 0.1  # lambda 1
    contrastive_weight: Annotated[float, Field(ge=0)] = 0.1  # lambda 2; 0 switches the term off
    logit_adjustment: Annotated[float, Field(ge=0)] = 1.0  # tau, for the long tail; 0 switches it off
    motion_attention: bool = True  # each switch removes one part alone, all else as it was
    motion_marginal: bool = True
    transport: bool = True  # false: each word attends for itself
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the layers; auto: bfloat16 on GPUs
    device: str = "auto"
    threads: Count = 1  # of the processor; part of the result, since sums are split by thread


class Evaluate(Section):
    """Scores of all folds together (``grace evaluate``)."""

    bootstrap: Count = 1000
    confidence: Share = 0.95
    published: str | None = None  # CSV of published rows to print beside: dataset, method, year, uar, war, protocol


class Shards(Section):
    """How every store is split."""

    clips: Count = 32


class Ray(Section):
    """The cluster of ``runner: ray``; every node sees the project's folder and the raw data under the same path."""

    address: str = "auto"  # host:port; auto: the cluster this machine is part of, else one of its own; local: its own
    workers: Annotated[int, Field(ge=0)] = 0  # at once; 0: as many as the cluster has room for
    cpus: Annotated[float, Field(gt=0)] = 1.0  # of each worker
    gpus: Annotated[float, Field(ge=0)] = 0.0  # of each worker


class Settings(Section):
    """All of ``params.yaml``."""

    datasets: list[str] = ["demo"]
    folds: list[Annotated[int, Field(ge=1, le=5)]] = [1, 2]
    roots: dict[str, str] = {}
    data: str = "data"
    lists: dict[str, Lists] = {}  # data sets that come as list files
    workers: Annotated[int, Field(ge=0)] = 2  # local processes; 0 runs in this one
    clip_seconds: Annotated[float, Field(gt=0)] = 120.0  # a local process longer at one clip is ended, the clip failed
    runner: Literal["processes", "ray"] = "processes"  # on this machine, or on a Ray cluster
    max_failed: Share = 0.01
    shards: Shards = Shards()
    ray: Ray = Ray()
    world: World = World()
    index: Index = Index()
    faces: Faces = Faces()
    motion: Motion = Motion()
    caption: Caption = Caption()
    refine: Refine = Refine()
    tokens: Tokens = Tokens()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()

    def folder(self, dataset: str) -> Path:
        """Where everything made from a data set lies: ``data/<dataset>``."""
        return Path(self.data) / dataset


def load(path: str | Path = "params.yaml", overrides: list[str] | None = None) -> Settings:
    """Read settings from a YAML file and apply ``section.key=value`` overrides (values are YAML).

    Raises :class:`UserError` naming the file and the key when one is unknown or has a wrong value.
    """
    file = Path(path)
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise UserError(
            f"There is no settings file {file}: run from the project's folder or name one with --params."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold keys and values, such as 'datasets: [demo]'.")
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"--set wants section.key=value, not '{override}'.")
        _assign(content, key.strip().split("."), yaml.safe_load(value), override)
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {_explain(error)}") from None


def _assign(content: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: '{key}' is a value, not a section.")
    content[keys[-1]] = value


def _explain(error: ValidationError) -> str:
    """All complaints of pydantic as one sentence each, keys dotted as one writes them with ``--set``."""
    sentences = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            section = _section(problem["loc"][:-1])
            known = ", ".join(section.model_fields) if section else ""
            sentences.append(f"unknown key '{key}'" + (f" (known here: {known})." if known else "."))
        else:
            sentences.append(f"'{key}': {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}.")
    return " ".join(sentences)


def _section(location: tuple[Any, ...]) -> type[BaseModel] | None:
    model: Any = Settings
    for part in location:
        field = model.model_fields.get(str(part))
        model = field.annotation if field else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
    return model
