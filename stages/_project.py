"""The files of a new project, made from GRACE's own ``params.yaml`` and ``dvc.yaml``.

``stages/templates`` links to these two in a clone and holds copies of them in a wheel, so that they exist once. The
projects of other data sets than the demo's differ in what the rendered world and the pocket models need.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from grace.pipeline.datasets import DATASETS
from stages._presets import MACHINES, REAL, WHOLE, remarks

DEMO = "demo"
HEADER = """\
# Written by `grace init`. `dvc repro` runs what has changed and continues where it stopped.
# A stage depends on settings and on data. The code is an installed package that DVC does not watch: after an upgrade
# run `dvc repro --force` once. Shards that the new version would make the same way are skipped.
"""
OWN = ("data/", "overrides")
"""How dependencies in a project's own folder begin; the others are GRACE's code."""

CODE_FILE = re.compile(r"\b((?:pipeline|trainer)(?:/\w+)+)\.py\b")
"""A file of a clone that a comment points to. Where GRACE is installed it is a module."""


def render(dataset: str, gpu: str | None = None) -> dict[str, str]:
    """Name and content of each file of a project for one data set, on a machine of :data:`MACHINES` if one is named."""
    return {
        "params.yaml": _params(dataset, gpu),
        "dvc.yaml": _pipeline(dataset),
        ".gitignore": template("gitignore"),
        f"overrides/{dataset}.csv": "clip_id,description\n",
    }


def template(name: str) -> str:
    """A template that the package brings."""
    return files("stages").joinpath("templates", name).read_text(encoding="utf-8")


def _params(dataset: str, gpu: str | None) -> str:
    text = CODE_FILE.sub(lambda file: f"grace.{file[1].replace('/', '.')}", template("params.yaml"))
    if dataset == DEMO:
        return text
    settings, known = _load(text), DATASETS.get(dataset, DATASETS["folder"])
    settings["datasets"][:] = [dataset]
    settings["folds"][:] = range(1, max(1, known.folds) + 1)
    settings["roots"] = {dataset: f"/path/to/{dataset}"}
    settings.yaml_add_eol_comment("where each set's raw files lie", "roots", column=0)
    del settings["world"], settings["faces"]["margin"]
    if known.crops:
        settings["faces"]["detector"] = "none"
    if known.accept:
        _put(settings["index"], {"accept": {dataset: list(known.accept)}})
    for section, values in [*REAL.items(), *(MACHINES[gpu].items() if gpu else ())]:
        _put(settings[section], values)
    for name, value in WHOLE[gpu].items() if gpu else ():
        settings[name].update(value) if isinstance(value, dict) else settings.update({name: value})
    if gpu:
        settings.yaml_set_start_comment("\n".join(remarks(dataset, gpu)))
    return _dump(settings)


def _put(section: Any, values: dict[str, Any]) -> None:
    """Set keys of a section; new ones come before its last key, behind which its blank line is."""
    for key, value in values.items():
        if key in section:
            section[key] = value
        else:
            section.insert(len(section) - 1, key, value)


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
    return re.sub(r"(?<=\S) {2,}# ", " # ", text.getvalue())  # a shorter value leaves its comment where it was
