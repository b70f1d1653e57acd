"""The audit: what it counts in texts, how it reads tables, and that true texts are found true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace.pipeline.audit import audit, load_fast_tokenizer, write_report
from grace.pipeline.audit.classifier import bag_of_words
from grace.pipeline.audit.ground_truth import GroundTruth, read_truth, truthfulness
from grace.pipeline.audit.lexicon import ACTION_WORDS
from grace.pipeline.audit.measures import measure
from grace.pipeline.audit.sources import AuditedText, read_dataset_texts, read_table_texts
from grace.pipeline.errors import UserError
from grace.pipeline.store import Store, failure, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS
from grace.pipeline.vocabulary import regions_in
from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.identity import sample_identity
from grace.pipeline.world.scenario import Scenario, sample_scenario
from grace.pipeline.world.sentences import coarse_caption, cues, find_actions, fine_description
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.truth import clip_row, write_truth


@pytest.fixture(scope="module")
def tokenizer(project: Path) -> Any:
    return load_fast_tokenizer(str(project / "pocket/clip"))


@pytest.fixture(scope="module")
def scripts() -> list[Scenario]:
    """The scripts of forty rendered clips; nothing is drawn."""
    rng = np.random.default_rng(3)
    settings = WorldSettings()
    drawn = [
        sample_scenario(rng, sample_identity(rng, number), WORLD_LABELS[number % len(WORLD_LABELS)], settings)
        for number in range(40)
    ]
    return [replace(script, clip_id=f"{number:05d}") for number, script in enumerate(drawn)]


@pytest.fixture(scope="module")
def root(scripts: list[Scenario], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a world, as far as its truth goes."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "unfinished").mkdir()
    write_truth(folder, [(clip_row(script, 1), []) for script in scripts], folder / "unfinished")
    return folder


@pytest.fixture(scope="module")
def truth(root: Path) -> GroundTruth:
    found = read_truth(root)
    assert found is not None
    return found


def texts(*said: str, **fields: Any) -> list[AuditedText]:
    return [AuditedText(f"clip-{number}", text, **fields) for number, text in enumerate(said)]


# --- measures ---


def test_faults_are_counted_as_shares_of_the_texts_that_are_not_empty(tokenizer: Any) -> None:
    found = measure(
        texts(
            "The brows lower slightly, then the face relaxes again.",
            "The brows lower slightly, then the face relaxes again.",
            "The jaw drops. The jaw drops.",
            "Das Gesicht zeigt eine leichte Bewegung der Augenbrauen nach oben.",
            "",
            "   ",
            "The image shows a face whose lips",
            "I'm sorry, I cannot help with that request.",
        ),
        tokenizer,
    )
    assert (found["texts"], found["empty"]) == (8, 2)
    assert found["repeated"]["within"] == pytest.approx(1 / 6, abs=1e-3)
    assert found["repeated"]["across_texts"] == pytest.approx(2 / 6, abs=1e-3)
    assert found["not_english"] == pytest.approx(1 / 6, abs=1e-3)
    assert found["cut_short"] == pytest.approx(1 / 6, abs=1e-3)
    assert found["opening"]["about_pictures"] == pytest.approx(1 / 6, abs=1e-3)
    assert found["refusal"] == pytest.approx(1 / 6, abs=1e-3)
    assert found["opening"]["most"][0] == ["the brows lower slightly,", 2]
    assert found["regions"]["share"]["brows"] == pytest.approx(2 / 6, abs=1e-3)


def test_how_a_model_obeyed_is_counted_by_cause(tokenizer: Any) -> None:
    kept = "the coarse caption is kept: the answer is not JSON"
    found = measure(
        [
            AuditedText("a", "The jaw drops.", attempts=1),
            AuditedText("b", "The jaw drops.", attempts=2),
            AuditedText("c", "The lips part.", attempts=3, status="fallback", error=kept),
            AuditedText("d", "The eyes close.", attempts=3, status="fallback", error=kept),
            AuditedText("e", "A person wrote this."),
        ],
        tokenizer,
    )
    assert found["asked_again"] == 0.75  # of those that a model was asked for
    assert found["causes"] == [[kept, 2]]


def test_what_a_cut_at_77_tokens_loses_is_what_stands_behind_it(tokenizer: Any) -> None:
    padding = "the face is still " * 20
    found = measure(texts(f"The brows rise {padding} the jaw drops open.", "The lips part."), tokenizer)["tokens"]
    assert found["cut_at_77"]["texts"] == 0.5
    assert found["cut_at_77"]["texts_losing_a_region"] == 0.5
    assert found["cut_at_77"]["texts_losing_an_action"] == 0.5
    beyond = found["max"] - 77
    assert found["cut_at_77"]["tokens"] == pytest.approx(beyond / (2 * found["mean"]), abs=1e-3)
    assert sum(count for _, count in found["histogram"]) == 2
    assert found["of_a_sentence"]["longer_than_77"] == 0.5
    assert found["of_a_sentence"]["max"] == found["max"]


def test_emotions_are_set_against_the_label(tokenizer: Any) -> None:
    found = measure(
        [
            AuditedText("a", "An angry face.", "anger"),
            AuditedText("b", "An angry, sad face.", "anger"),
            AuditedText("c", "A sad face.", "anger"),
            AuditedText("d", "A face.", "fear"),
        ],
        tokenizer,
    )["emotion"]["against_label"]
    shares = {kind: found[kind] for kind in ("right", "right_and_wrong", "wrong", "silent")}
    assert shares == {"right": 0.25, "right_and_wrong": 0.25, "wrong": 0.25, "silent": 0.25}
    assert found["recall"] == {"anger": pytest.approx(2 / 3, abs=1e-3), "fear": 0.0}
    assert found["table"]["labels"] == ["anger", "fear"]


# --- bag of words ---


def labelled(count: int, leak: float, groups: int) -> list[AuditedText]:
    rng = np.random.default_rng(0)
    said = []
    for number in range(count):
        label = ("anger", "fear")[number % 2]
        word = {"anger": "furious", "fear": "afraid"}[label] if rng.random() < leak else "calm"
        noise = " ".join(f"w{each}" for each in rng.integers(0, 50, 12))
        said.append(AuditedText(str(number), f"{word} {noise}", label, group=str(number % groups)))
    return said


def test_words_that_hold_the_label_are_found_out() -> None:
    leaking, silent = bag_of_words(labelled(200, 1.0, 50)), bag_of_words(labelled(200, 0.0, 50))
    assert leaking is not None
    assert silent is not None
    assert leaking["UAR"] > 0.95
    assert leaking["UAR_without_emotion_words"] < 0.65
    assert silent["interval"][0] < silent["chance"] == 0.5 < silent["interval"][1]
    assert "furious" in leaking["telling"]["anger"]


def test_texts_of_one_group_are_never_on_both_sides() -> None:
    """Every group has its own word and one label: only a leak over groups would learn from it."""
    rng = np.random.default_rng(1)
    label_of = rng.permutation([number % 2 for number in range(30)])
    said = [
        AuditedText(f"{group}-{copy}", f"only{group} and", ("anger", "fear")[label_of[group]], str(group))
        for group in range(30)
        for copy in range(6)
    ]
    found = bag_of_words(said)
    assert found is not None
    assert found["UAR"] < 0.7


def test_too_few_labels_are_no_classification() -> None:
    assert bag_of_words(texts("a face.", "a face.")) is None
    assert bag_of_words([AuditedText("a", "a face.", "anger"), AuditedText("b", "a face.", "fear")]) is None


# --- truth ---


def test_the_true_texts_of_the_world_are_true(scripts: list[Scenario], truth: GroundTruth) -> None:
    coarse = [AuditedText(script.clip_id, coarse_caption(script.timeline)) for script in scripts]
    fine = [AuditedText(script.clip_id, fine_description(script.timeline)) for script in scripts]
    for said in (coarse, fine):
        found = truthfulness(said, truth)
        for what in ("actions", "regions", "order"):
            assert found[what]["precision"] == 1.0
            assert found[what]["recall"] > 0.9  # at most six movements are told
    gained = truthfulness(fine, truth)["specificity"] - truthfulness(coarse, truth)["specificity"]
    assert gained > 0.1, "the fine text says the region in so many words"


def test_false_texts_are_found_false(scripts: list[Scenario], truth: GroundTruth) -> None:
    shown = [script for script in scripts if script.timeline.visible()]
    turned = [AuditedText(shown[k - 1].clip_id, coarse_caption(script.timeline)) for k, script in enumerate(shown)]
    silent = [AuditedText(script.clip_id, "") for script in shown]
    assert truthfulness(turned, truth)["actions"]["precision"] < 0.7
    found = truthfulness(silent, truth)
    assert (found["actions"]["recall"], found["specificity"]) == (0.0, 0.0)


def test_a_text_in_reverse_order_is_wrong_in_its_order_only(scripts: list[Scenario], truth: GroundTruth) -> None:
    reverse = []
    for script in scripts:
        clauses = [clause for _, clause in find_actions(coarse_caption(script.timeline))]
        reverse.append(AuditedText(script.clip_id, "; ".join(reversed(clauses))))
    found = truthfulness(reverse, truth)
    assert found["actions"]["precision"] == 1.0
    assert found["order"]["precision"] == 0.0


def test_cues_of_the_world_name_what_its_texts_state(scripts: list[Scenario]) -> None:
    for script in scripts:
        said = [action.name for action, _ in find_actions(fine_description(script.timeline))]
        assert said == [cue["action"] for cue in cues(script.timeline)]


def test_real_clips_have_no_truth(tmp_path: Path) -> None:
    assert read_truth(tmp_path) is None


# --- sources ---


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_kind_of_table_gives_the_same_texts(tmp_path: Path, suffix: str) -> None:
    rows = pd.DataFrame(
        {"clip": ["a", "a", "b"], "said": ["One, two.", "Three\nfour.", None], "emotion": ["Happy", "joy", "odd"]}
    )
    file = tmp_path / f"captions{suffix}"
    {
        ".csv": lambda: rows.to_csv(file, index=False),
        ".tsv": lambda: rows.to_csv(file, sep="\t", index=False),
        ".parquet": lambda: rows.to_parquet(file),
        ".jsonl": lambda: rows.to_json(file, orient="records", lines=True),
    }[suffix]()
    assert read_table_texts([file], "said", ["emotion"], clip="clip") == {
        "said": [
            AuditedText("a", "One, two.", "happiness", "a"),
            AuditedText("a", "Three\nfour.", "happiness", "a"),
            AuditedText("b", "", "odd", "b"),
        ]
    }


def test_one_column_an_emotion_is_one_label(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    pd.DataFrame({"said": ["a", "b", "c"], "Anger": [0.1, 1, 0], "Fear": [0.9, 0, 0]}).to_csv(file, index=False)
    assert [text.label for text in read_table_texts([file], "said", ["Anger", "Fear"])["said"]] == ["fear", "anger", ""]


@pytest.mark.parametrize(
    ("name", "content", "labels", "sentence"),
    [
        ("none.csv", None, [], r"There is no file .*none\.csv"),
        ("t.xlsx", b"PK", [], r"t\.xlsx is no table that can be read: give one that ends in \.csv"),
        ("t.csv", b"other\n1\n", [], r"t\.csv has no column 'said'; it has other: name one"),
        ("t.csv", b"", [], r"t\.csv is empty: it needs a heading"),
        (
            "t.jsonl",
            b'{"said": "x"}\n{"said": ',
            [],
            r"t\.jsonl cannot be read as a table \(",
        ),
        ("t.parquet", b"not parquet", [], r"t\.parquet cannot be read as a table"),
        ("t.csv", b"said,A,B\nx,y,z\n", ["A", "B"], "several label columns must hold numbers"),
        ("t.csv", b"said\n", [], r"there is no row to audit"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    tmp_path: Path, name: str, content: bytes | None, labels: list[str], sentence: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_table_texts([file], "said", labels)


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no tokenizer"):
        load_fast_tokenizer(str(tmp_path))


def dataset(folder: Path, scripts: list[Scenario]) -> None:
    """Captions and descriptions of every clip as they truly are, but one caption that failed."""
    ok = {"status": "ok", "error": ""}
    clips, captions, descriptions = [], [], []
    for number, script in enumerate(scripts):
        clip = {"clip_id": script.clip_id, **ok}
        clips.append({**clip, "label": script.label, "subject": f"person-{script.identity}", "path": "clip.mp4"})
        coarse, fine = coarse_caption(script.timeline), fine_description(script.timeline)
        failed = failure(script.clip_id, "caption: the model wrote no text")
        captions.append(failed if number == 0 else {**clip, "caption": coarse, "finish_reason": "stop"})
        descriptions.append(failed if number == 0 else {**clip, "caption": coarse, "description": fine, "cues": []})
    write_clips(folder, clips, list(WORLD_LABELS))
    Store(folder / "captions", CAPTIONS).write(0, captions, {})
    Store(folder / "descriptions", DESCRIPTIONS).write(0, descriptions, {})


def test_the_report_of_a_data_set_is_json_with_pictures(
    tmp_path: Path, scripts: list[Scenario], truth: GroundTruth, tokenizer: Any
) -> None:
    dataset(tmp_path, scripts)
    report = audit(read_dataset_texts(tmp_path), tokenizer, truth)
    write_report(report, tmp_path / "audit")
    assert json.loads((tmp_path / "audit/metrics.json").read_text()) == report
    assert report["caption"]["status"] == {"failed": 1, "ok": 39}
    assert report["caption"]["empty"] == 1
    assert report["refining"]["actions_recall_gained"] == 0.0
    assert report["refining"]["specificity_gained"] > 0.1
    pictures = {path.stem: path.read_bytes()[:8] for path in (tmp_path / "audit/plots").iterdir()}
    assert pictures == dict.fromkeys(("lengths", "coverage", "emotions", "truth"), b"\x89PNG\r\n\x1a\n")


def test_a_data_set_without_texts_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    write_clips(tmp_path, [], [])
    with pytest.raises(UserError, match="run `grace caption --dataset"):
        read_dataset_texts(tmp_path)


@pytest.mark.parametrize(("model", "named", "with_region"), [("3b", 0.95, 0.92), ("7b", 0.99, 0.99)])
def test_real_captions_are_read_as_they_are(
    model: str, named: float, with_region: float, shared: Path, tokenizer: Any
) -> None:
    """Facts of the published captions, of two prompts each: long, English, whole, nearly all naming emotions."""
    emotions = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"]
    files = sorted((shared / "captions").glob(f"*-{model}_*.csv"))
    captions = read_table_texts(files, "text", emotions, clip="video_name")["text"]
    found = measure(captions, tokenizer)
    assert (found["texts"], found["clips"]) == (2 * 1266, 1266)
    assert (found["empty"], found["not_english"], found["cut_short"]) == (0, 0.0, 0.0)
    assert found["emotion"]["named"] > named
    assert found["tokens"]["cut_at_77"]["texts"] == 1.0
    assert sum(regions_in(text.text) != set() for text in captions) / len(captions) > with_region
    assert set(found["actions"]["share"]) == set(ACTION_WORDS)


def test_damaged_truth_is_no_truth(root: Path, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    content = (root / "truth/clips.parquet").read_bytes()
    for damaged in (content[:-100], b"", content.replace(b"brow", b"bros", 1), content[:600] + b"\0" + content[601:]):
        (tmp_path / "truth/clips.parquet").write_bytes(damaged)
        with pytest.raises(UserError, match=r"truth/clips\.parquet is damaged .* run `grace world --out"):
            read_truth(tmp_path)
    (tmp_path / "truth/clips.parquet").write_bytes((root / "truth/frames.parquet").read_bytes())
    with pytest.raises(UserError, match="cannot be read"):
        read_truth(tmp_path)
