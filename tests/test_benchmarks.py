"""Every benchmark has its command line from the harness, and a kept result with the figures that its claim rests on."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

import grace
from benchmarks.harness import PROJECT, RESULTS, Benchmark, figures_table, median_ratio, seconds_in_turns, table

SOURCES = sorted((PROJECT / "benchmarks").glob("*.py"))
SCRIPTS = [source.stem for source in SOURCES if 'if __name__ == "__main__":' in source.read_text()]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_declares_its_claim_and_takes_quick(script: str) -> None:
    module = import_module(f"benchmarks.{script}")
    benchmark: Benchmark = module.BENCHMARK
    assert f"python -m benchmarks.{script}" in benchmark.description
    assert "JSON" in benchmark.description
    assert "goal" in benchmark.description
    assert module.parser().parse_args(["--quick"]).quick
    assert not module.parser().parse_args([]).quick


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_kept_result_holds_the_figures_of_the_claim(script: str) -> None:
    benchmark: Benchmark = import_module(f"benchmarks.{script}").BENCHMARK
    assert benchmark.keys
    kept = json.loads(benchmark.results.read_text())
    assert set(benchmark.keys) <= kept.keys()


def test_every_kept_result_has_its_script() -> None:
    results = {import_module(f"benchmarks.{script}").BENCHMARK.results for script in SCRIPTS}
    assert {*RESULTS.glob("*.json")} == results


def test_readme_names_the_version_that_was_measured() -> None:
    readme = (PROJECT / "README.md").read_text()
    rows = re.findall(r"`python -m benchmarks\.(\w+)` \| ([\d.]+) \|$", readme, re.MULTILINE)
    assert len(rows) > 10
    for script, written in rows:
        kept = json.loads((RESULTS / f"{script}.json").read_text())
        assert written == kept.get("measured", {}).get("version", written), script


def test_only_the_harness_makes_parsers_and_nobody_edits_the_import_path() -> None:
    for source in SOURCES:
        calls = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)
        }
        assert source.stem == "harness" or not any(call.endswith("ArgumentParser") for call in calls), source.name
        assert not any(call.startswith("sys.path") for call in calls), source.name


def test_a_report_ends_with_its_json_and_only_a_full_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.harness.RESULTS", tmp_path)
    benchmark = Benchmark("toy", "a claim", keys=("ratio",), quick="less")
    benchmark.report({"ratio": 1.5, "causes": {"late": 2}}, keep=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"ratio": 1.5, "causes": {"late": 2}}
    assert not list(tmp_path.iterdir())
    shown = [table("a table", ("side", "ms"), [("ours", "1"), None, ("theirs", "2")])]
    benchmark.report({"ratio": 1.5}, keep=True, tables=shown, details={"rows": [1, 2]})
    printed = capsys.readouterr().out
    assert "theirs" in printed
    assert json.loads(printed.splitlines()[-1]) == {"ratio": 1.5}
    kept = json.loads(benchmark.results.read_text())
    assert kept.pop("measured")["version"] == grace.__version__
    assert kept == {"ratio": 1.5, "rows": [1, 2]}
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


def test_sides_are_timed_in_turns_after_a_warm_up() -> None:
    order: list[str] = []
    ticks = iter(range(100))
    sides = {"ours": lambda: order.append("ours"), "theirs": lambda: order.append("theirs")}
    taken = seconds_in_turns(sides, rounds=2, clock=lambda: next(ticks))
    assert order == ["ours", "theirs"] * 3
    assert taken == {"ours": [1, 1], "theirs": [1, 1]}
    assert median_ratio([2.0, 6.0, 9.0], [1.0, 2.0, 1.0]) == 3.0
    assert figures_table("a_name", {"a_b": {"c": 1}}).row_count == 1
