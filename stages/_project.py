"""The files of a new project, made from GRACE's own ``params.yaml`` and ``dvc.yaml``.

``stages/templates`` links to these two in a clone and holds copies of them in a wheel, so that they exist once. The
projects of other data sets than the demo's differ in what the rendered world and the pocket models need.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

DEMO = "demo"
FOLDS = {"mafw": 5, "mafw-compound": 5, "dfew": 5}
"""Folds that a data set ships, where it is not one."""

REAL: dict[str, dict[str, Any]] = {
    "faces": {"size": 224},
    "motion": {"grid": 7},
    "caption": {"model": "Qwen/Qwen2.5-VL-7B-Instruct"},
    "refine": {"model": "Qwen/Qwen2.5-7B-Instruct"},
    "tokens": {"model": "openai/clip-vit-base-patch32"},
}
"""Settings for real footage; the pocket models know drawn faces only."""

HEADER = """\
# Written by `grace init`. `dvc repro` runs what has changed and continues where it stopped.
# A stage depends on settings and on data. The code is an installed package that DVC does not watch: after an upgrade
# run `dvc repro --force` once. Shards that the new version would make the same way are skipped.
"""
OWN = ("data/", "overrides")
"""How dependencies in a project's own folder begin; the others are GRACE's code."""


def render(dataset: str) -> dict[str, str]:
    """Name and content of each file of a project for one data set."""
    return {
        "params.yaml": _params(dataset),
        "dvc.yaml": _pipeline(dataset),
        ".gitignore": template("gitignore"),
        f"overrides/{dataset}.csv": "clip_id,description\n",
    }


def template(name: str) -> str:
    """A template that the package brings."""
    return files("stages").joinpath("templates", name).read_text(encoding="utf-8")


def _params(dataset: str) -> str:
    text = template("params.yaml")
    if dataset == DEMO:
        return text
    settings = _load(text)
    settings["datasets"][:] = [dataset]
    settings["folds"][:] = range(1, FOLDS.get(dataset, 1) + 1)
    settings["roots"] = {dataset: f"/path/to/{dataset}"}
    settings.yaml_add_eol_comment("where each set's raw files lie", "roots", column=0)
    del settings["world"], settings["faces"]["margin"]
    for section, values in REAL.items():
        settings[section].update(values)
    return _dump(settings)


def _pipeline(dataset: str) -> str:
    pipeline = _load(template("dvc.yaml"))
    index = pipeline["stages"]["index"]
    if dataset != DEMO:  # nothing is to be drawn
        index["cmd"] = index["cmd"][-1]
        index["params"].remove("world")
    for stage in pipeline["stages"].values():
        for dependency in [each for each in stage["deps"] if not each.startswith(OWN)]:
            stage["deps"].remove(dependency)
        if not stage["deps"]:
            del stage["deps"]
    pipeline.yaml_set_start_comment(HEADER.replace("# ", ""))
    return _dump(pipeline)


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    return yaml


def _load(text: str) -> Any:
    return _yaml().load(text)


def _dump(content: Any) -> str:
    from io import StringIO

    text = StringIO()
    _yaml().dump(content, text)
    return text.getvalue()
