"""The wheel, installed beside PyPI's package ``trainer`` and used in an empty folder without a clone.

GRACE and ``trainer`` are installed for real. Their dependencies are those of the environment that runs the tests: a
``.pth`` file appends its site-packages to the new environment's path. Python reads ``.pth`` files of its own
site-packages only, so the editable installation of this project does not come along; a test holds that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SMALL = [
    "world.clips=24",
    "world.identities=8",
    "faces.instants=8",
    "caption.max_tokens=24",
    "refine.max_tokens=24",
    "refine.max_attempts=1",
    "train.epochs=2",
    "evaluate.bootstrap=50",
]
SETTINGS = [part for setting in SMALL for part in ("-S", setting)]
OTHER = "trainer==0.0.36"
"""A distribution of PyPI whose package has the name of a folder of this project."""

STEPS = ("faces", "caption", "refine", "audit", "motion", "tokens")


class Installed:
    """A virtual environment that holds the wheel, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.environment, self.work = folder / "venv", folder / "work"
        self.work.mkdir(parents=True)
        venv.create(self.environment, with_pip=True)

    def run(self, *arguments: str, folder: Path | None = None) -> str:
        """The output of one of the environment's programs; the variables of this one are kept out."""
        program = str(self.environment / "bin" / arguments[0])
        path = f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        done = subprocess.run(
            [program, *arguments[1:]],
            cwd=folder or self.work,
            env={**kept, "PATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def site_packages(self) -> Path:
        return next(self.environment.glob("lib/python*/site-packages"))


def tracked(project: Path, folder: Path) -> Path:
    """The project's files as a fresh clone has them: no build folder, no data, links kept as links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (project / name).is_symlink() or (project / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name, follow_symlinks=False)
    return folder


def pip(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], cwd=folder, check=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    return tracked(project, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), ".", folder=source)
    return next(folder.glob("grace_dfer-*.whl"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path, project: Path) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"))
    constraints = ("--constraint", str(project / "constraints.txt"))
    made.run("python", "-m", "pip", "install", "--quiet", "--no-deps", str(wheel))
    made.run("python", "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python", OTHER)
    made.run("python", "-m", "pip", "install", "--quiet", "--no-deps", *constraints, "typer", "dvc")  # their programs
    (made.site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


@pytest.fixture(scope="module")
def demo(installed: Installed) -> Installed:
    """``grace init`` and every stage, as a person would type them."""
    installed.run("grace", "init")
    installed.run("grace", "world", *SETTINGS)
    installed.run("grace", "index")
    for stage in STEPS:
        installed.run("grace", stage, *SETTINGS)
    for fold in (1, 2):
        installed.run("grace", "train", "--fold", str(fold), *SETTINGS)
    installed.run("grace", "evaluate", *SETTINGS)
    return installed


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path, project: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
        params = archive.read("stages/templates/params.yaml").decode()
    assert {name.partition("/")[0] for name in names} == {"grace", "stages"}
    for needed in ("grace/py.typed", "stages/templates/dvc.yaml", "stages/templates/gitignore"):
        assert needed in names
    models = {f"grace/{path.relative_to(project)}" for path in project.glob("pocket/[cvl]l*/*")}
    prompts = {f"grace/{path.relative_to(project)}" for path in project.glob("pipeline/*/prompts/*")}
    pages = {str(path.relative_to(project)) for path in project.glob("grace/review/[st]*/*")}
    code = [*project.glob("pipeline/**/*.py"), *project.glob("trainer/**/*.py")]
    assert (len(models) > 15, len(prompts) > 3, len(code) > 80) == (True, True, True)
    assert len(pages) > 12
    assert names >= models | prompts | pages | {f"grace/{path.relative_to(project)}" for path in code}
    assert not [name for name in names if re.search(r"test|benchmark|__pycache__|/build/|\.pyc$", name)]
    assert params == (project / "params.yaml").read_text()
    assert "Author: GRACE developers" in metadata
    assert wheel.stat().st_size < 12 * 2**20


def test_a_wheel_made_from_the_source_distribution_is_the_same(
    source: Path, wheel: Path, installed: Installed, tmp_path: Path
) -> None:
    """Symbolic links of the clone are real files in the source distribution."""
    installed.run("python", "-m", "pip", "install", "--quiet", "setuptools>=77")
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    installed.run("python", "-c", code, folder=source)
    archive = next(tmp_path.glob("grace_dfer-*.tar.gz"))
    with tarfile.open(archive) as opened:
        assert not [member.name for member in opened.getmembers() if member.issym() or member.islnk()]
    pip("wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(archive), folder=tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
        for name in first.namelist():
            assert first.read(name) == second.read(name) or name.endswith("/RECORD"), name


def test_it_lives_beside_a_package_named_trainer(installed: Installed) -> None:
    code = (
        "from importlib.util import find_spec\n"  # to import PyPI's would take what it depends on
        "for name in ('grace', 'grace.trainer', 'trainer'): print(find_spec(name).origin)"
    )
    places = [Path(name) for name in installed.run("python", "-c", code).split()]
    assert [place.relative_to(installed.site_packages) for place in places] == [
        Path("grace/__init__.py"), Path("grace/trainer/__init__.py"), Path("trainer/__init__.py")
    ]  # fmt: skip
    files = {path.name for path in installed.site_packages.iterdir()}
    assert {"grace", "stages", "trainer"} <= files
    assert not files & {"pipeline", "pocket", "tests", "benchmarks", "settings.py"}


def test_the_editable_installation_does_not_come_along(installed: Installed, project: Path) -> None:
    code = "import sys, grace; print(*sys.path, *map(str, sys.meta_path), grace.__path__[0], sep='\\n')"
    lines = installed.run("python", "-c", code).splitlines()
    assert sysconfig.get_path("purelib") in lines
    assert not [line for line in lines if "editable" in line.lower() or Path(line) == project]
    assert lines[-1] == str(installed.site_packages / "grace")


def test_the_dependencies_it_names_are_there(installed: Installed) -> None:
    """Every requirement of the wheel is met by what is installed with ``constraints.txt``."""
    code = (
        "from importlib.metadata import requires, version\n"
        "from packaging.requirements import Requirement\n"
        "for each in map(Requirement, requires('grace-dfer')):\n"
        "    if not each.marker:\n"
        "        assert each.specifier.contains(version(each.name), prereleases=True), each\n"
        "        print(each.name)\n"
    )
    assert len(installed.run("python", "-c", code).split()) > 15


def test_the_version_comes_from_one_place(installed: Installed, project: Path) -> None:
    stated = re.search(r'^version = "(.+?)"', (project / "pyproject.toml").read_text(), re.MULTILINE)
    assert stated
    assert installed.run("grace", "--version").strip() == f"grace {stated[1]}"
    assert installed.run("python", "-c", "import grace; print(grace.__version__)").strip() == stated[1]


def test_import_is_lazy(installed: Installed) -> None:
    """Under 0.2 s of the processor, best of three: nothing heavy is loaded by ``import grace``."""
    code = "import time; start = time.process_time(); import grace; print(time.process_time() - start)"
    assert min(float(installed.run("python", "-c", code)) for _ in range(3)) < 0.2
    heavy = "import sys, grace; print([name for name in ('torch', 'pandas', 'numpy') if name in sys.modules])"
    assert installed.run("python", "-c", heavy).strip() == "[]"


def test_every_stage_runs_in_an_empty_folder(demo: Installed) -> None:
    metrics = json.loads((demo.work / "data/demo/metrics.json").read_text())
    assert 0 <= metrics["UAR"] <= 1
    assert not {"pipeline", "trainer", "pocket", "stages"} & {path.name for path in demo.work.iterdir()}


def test_predict_knows_the_models_of_the_package(demo: Installed) -> None:
    video = next((demo.work / "raw/demo/clips").glob("*.mp4"))
    said = demo.run("grace", "predict", str(video), "--out", "prediction.png", *SETTINGS)
    assert "happiness" in said
    assert (demo.work / "prediction.png").stat().st_size > 10_000


def test_typers_runner_knows_the_stages(demo: Installed) -> None:
    said = demo.run("typer", "stages", "caption", "--dataset", "demo", *SETTINGS)
    assert re.search(r"skipped .*24", said)


def test_dvc_runs_the_project(demo: Installed) -> None:
    """The dvc.yaml of ``grace init`` is whole: DVC finds every stage and every dependency."""
    demo.run("dvc", "init", "--no-scm", "--quiet")
    said = demo.run("dvc", "repro", "--dry")
    for stage in ("index@demo", "train@demo-2", "evaluate@demo"):
        assert f"'{stage}'" in said
