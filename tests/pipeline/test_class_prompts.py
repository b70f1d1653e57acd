"""Class prompts: sentences for every class, encoded as clips' own texts are, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grace.pipeline.datasets.labels import CANONICAL_LABELS
from grace.pipeline.errors import UserError
from grace.pipeline.sentences import split_sentences
from grace.pipeline.store import read_table, write_clips
from grace.pipeline.store.schemas import TEMPLATES, TEMPLATES_FILE
from grace.pipeline.tokens.batching import encode_texts
from grace.pipeline.tokens.class_prompts import PROMPTS, class_sentences, write_class_prompts
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import TokensStep

Checkpoint = Callable[[str], Path]


@pytest.fixture
def step(checkpoint: Checkpoint) -> TokensStep:
    """The tokens stage with a tiny CLIP."""
    made = {"model": str(checkpoint("clip")), "dtype": "float32", "device": "cpu", "text_length": 96}
    return TokensStep(TokensSettings.model_validate(made))


def test_every_canonical_emotion_has_sentences_and_any_other_class_a_plain_one() -> None:
    prompts = class_sentences([*CANONICAL_LABELS, "boredom"], {})
    assert all(len(lines) >= 2 for label, lines in prompts.items() if label != "boredom")
    assert prompts["boredom"] == ["A person with an expression of boredom."]
    assert len({line for lines in prompts.values() for line in lines}) == sum(map(len, prompts.values()))


def test_prompts_are_encoded_as_texts_are_and_only_once(tmp_path: Path, step: TokensStep) -> None:
    write_clips(tmp_path, [], ["anger", "fear"])
    assert write_class_prompts(tmp_path, step)
    path = tmp_path / "tokens" / TEMPLATES_FILE
    rows = read_table(path, TEMPLATES)
    assert {row["label"] for row in rows} == {"anger", "fear"}
    assert step.encoders is not None
    for row in rows:
        (words,) = encode_texts(step.encoders.texts, [split_sentences(row["prompt"])], 4)
        assert np.allclose(row["embedding"], np.mean([tokens[-1] for tokens, _ in words], axis=0), atol=1e-3)
    before = path.read_bytes()
    assert not write_class_prompts(tmp_path, step)
    path.write_bytes(b"damaged")
    assert write_class_prompts(tmp_path, step)
    assert path.read_bytes() == before


def test_an_edited_prompt_is_encoded_again(tmp_path: Path, step: TokensStep, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clips(tmp_path, [], ["anger"])
    assert write_class_prompts(tmp_path, step)
    edited = tmp_path / "classes.yaml"
    edited.write_text(PROMPTS.read_text().replace("An angry", "A cross").replace("angry", "furious"))
    monkeypatch.setattr("grace.pipeline.tokens.class_prompts.PROMPTS", edited)
    assert write_class_prompts(tmp_path, step)


def test_own_prompts_replace_those_that_ship_and_are_no_part_of_the_shards_fingerprint() -> None:
    own = {"Calm": ["The face is at rest and the gaze is steady."], "anger": ["The jaw is set."]}
    prompts = class_sentences(["anger", "calm", "boredom"], {**own, "fear": ["Of another data set."]})
    assert prompts["calm"] == own["Calm"]
    assert prompts["anger"] == ["The jaw is set."]
    assert prompts["boredom"] == ["A person with an expression of boredom."]
    assert prompts.keys() == {"anger", "calm", "boredom"}
    changed = TokensSettings(class_prompts=own)
    assert TokensStep(changed).cache_key() == TokensStep(TokensSettings()).cache_key()


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"calmm": ["A face."]}, "names no class of the data set: is 'calm' meant"),
        ({"calm": []}, "must list sentences"),
        ({"calm": [" "]}, "must list sentences"),
    ],
)
def test_own_prompts_that_cannot_be_meant_are_said(own: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        class_sentences(["calm", "boredom"], own)
