"""Two runs beside each other, and a run beside published ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from grace.pipeline.store import GraceError, UserError, read_table
from grace.pipeline.store.schemas import PREDICTIONS
from grace.trainer.compare import compare
from grace.trainer.evaluate import evaluate
from grace.trainer.published import own_row, published_rows, row_of
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from stages.tables.scores import comparison_table, detail_table, paper_table, published_table
from tests.support.toy_cache import TRAIN, show_labels, toy_cache

SHORT = TrainSettings.model_validate(TRAIN).model_copy(update={"epochs": 2})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy cache with a well-trained and a hardly trained run of both folds, and one by another protocol."""
    folder = toy_cache(tmp_path_factory.mktemp("toy"))
    for fold in (1, 2):
        train(folder, TrainSettings.model_validate({**TRAIN, "method": "vision", "seed": 1}), fold, quiet=True)
        train(folder, SHORT.model_copy(update={"epochs": 1, "learning_rate": 1e-5}), fold, quiet=True)
    train(folder, SHORT.model_copy(update={"protocol": "best-test", "epochs": 1}), 1, folder / "other", quiet=True)
    return folder


def printed(table: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=150).print(table)
    return stream.getvalue()


def test_a_better_run_leads_with_an_interval_and_both_tests(runs: Path) -> None:
    result = compare(runs / "runs" / "vision", runs / "runs" / "grace", runs, samples=300)
    uar = result.leads["UAR"]
    assert result.clips == 60
    assert uar.difference > 0.2
    assert 0 < uar.low < uar.difference < uar.high
    assert uar.p < 0.05
    assert result.mcnemar["p"] < 0.05
    rows = {fold: read_table(runs / f"runs/vision/fold-{fold}/predictions.parquet", PREDICTIONS) for fold in (1, 2)}
    right = [row["label"] == row["predicted"] for fold in (1, 2) for row in rows[fold]]
    assert result.leads["WAR"].first == pytest.approx(np.mean(right))
    back = compare(runs / "runs" / "grace", runs / "runs" / "vision", runs, samples=300)
    assert back.leads["UAR"].difference == pytest.approx(-uar.difference)
    text = printed(comparison_table(result))
    assert "McNemar" in text
    assert "held-out" in text


def test_a_run_does_not_lead_itself(runs: Path) -> None:
    result = compare(runs / "runs" / "grace" / "fold-1", runs / "runs" / "grace" / "fold-1", runs, samples=50)
    assert result.leads["UAR"].difference == 0
    assert result.leads["UAR"].p == 1
    assert result.mcnemar == {"only_first": 0, "only_second": 0, "p": 1.0}


def test_a_method_of_the_data_set_comes_before_a_folder_of_its_name(
    runs: Path, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grace").mkdir()
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", runs.name, "--params", str(project / "params.yaml"), "-S", f"data={runs.parent}"]
    result = CliRunner().invoke(app, ["compare", "grace", "vision", *options, "-S", "evaluate.bootstrap=20"])
    assert result.exit_code == 0, result.output
    assert "McNemar" in result.output


def test_what_cannot_be_compared_is_named(runs: Path) -> None:
    vision = runs / "runs" / "vision"
    with pytest.raises(UserError, match="is no run"):
        compare(vision, runs / "nothing", runs)
    with pytest.raises(UserError, match="not tested on the same clips"):
        compare(vision, runs / "runs" / "grace" / "fold-1", runs)
    with pytest.raises(UserError, match=r"different protocols .*best-test"):
        compare(vision / "fold-1", runs / "other" / "grace", runs)


def test_runs_whose_text_saw_the_label_are_not_compared(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    show_labels(folder)
    train(folder, SHORT.model_copy(update={"method": "vision", "epochs": 1}), 1, quiet=True)
    with pytest.raises(GraceError, match="label in the prompt"):
        compare(folder / "runs" / "vision", folder / "runs" / "vision", folder)


def test_published_results_stand_beside_with_their_protocol(runs: Path, tmp_path: Path) -> None:
    published = tmp_path / "published.csv"
    published.write_text(
        "dataset,method,year,backbone,uar,war,protocol,source\n"
        "toy,Former-DFER,2021,ResNet18,53.69,65.70,5-fold,its paper\n"
        "other,DFER-CLIP,2023,ViT-B/32,59.61,71.25,5-fold,its paper\n"
    )
    result = evaluate(runs, "vision", [1, 2], samples=20)
    rows = published_rows("Toy", [row_of(result)], str(published))
    assert [row["method"] for row in rows] == ["Former-DFER", "vision"]
    assert [row["source"] for row in rows] == ["its paper", "this run"]
    assert rows[1]["protocol"] == "2 folds, held-out"
    assert float(rows[1]["uar"]) == pytest.approx(100 * result["UAR"], abs=0.01)
    text = printed(published_table(rows))
    assert "53.69" in text
    assert "best-test habit" in " ".join(text.split())
    published.write_text("dataset,method,year,backbone,uar,war,protocol\ntoy,A,2021,R,fifty,60,5-fold\n")
    with pytest.raises(UserError, match="line 2: 'uar' is 'fifty', which is no score in %"):
        published_rows("toy", [row_of(result)], str(published))
    published.write_text("name,score\nx,1\n")
    with pytest.raises(UserError, match="lacks the column dataset"):
        published_rows("toy", [row_of(result)], str(published))
    with pytest.raises(UserError, match="cannot be read"):
        published_rows("toy", [row_of(result)], str(tmp_path / "none.csv"))


def test_the_table_that_ships_tells_protocols_apart_and_names_sources() -> None:
    own = [own_row("grace", 0.5, 0.6, "5 folds, held-out")]
    for dataset in ("dfew", "ferv39k", "mafw"):
        rows = published_rows(dataset, own)
        assert len(rows) >= 4
        assert {row["protocol"] for row in rows[:-1]} == {"train-test" if dataset == "ferv39k" else "5-fold"}
        assert all(row["source"] and row["year"] and row["war"] for row in rows[:-1])
        assert rows[-1]["uar"] == "50.00"
        assert "held-out" in printed(published_table(rows))
    assert published_rows("demo", own) == []
    assert published_rows("dfew", own, "none") == []


def test_tables_show_folds_classes_pairs_tail_and_calibration(runs: Path) -> None:
    result = evaluate(runs, "vision", [1, 2], samples=20)
    text = printed(paper_table(result))
    for word in ("fold", "hap.", "UAR", "WAR", "95% from"):
        assert word in text
    details = printed(detail_table(result))
    assert "sadness/neutral" in details
    assert "tail: " in details
    assert f"{100 * result['ECE']:.1f}" in details
    low, high = result["interval"]["pairs"]["sadness/neutral"]
    assert low <= result["pairs"]["sadness/neutral"]["recall"] <= high
