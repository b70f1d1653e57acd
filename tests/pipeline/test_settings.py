"""Settings: a file, overrides and defaults, and one sentence for each thing that is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from grace.pipeline import settings as module
from grace.pipeline.errors import UserError
from grace.pipeline.settings import PipelineSettings, apply_overrides, read_settings, validate
from grace.pipeline.steps import STEPS, make_step, step_sections


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_overrides_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "workers: 4\nfaces: {instants: 8, size: 64}\n")
    settings = read_settings(PipelineSettings, path, ["faces.size=96", "roots.mine=/raw", "ray.cpus=0.5"])
    assert (settings.workers, settings.faces.instants, settings.faces.size) == (4, 8, 96)
    assert (settings.roots, settings.ray.cpus) == ({"mine": "/raw"}, 0.5)
    assert settings.shards.clips == PipelineSettings().shards.clips


def test_the_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(PipelineSettings, None) == PipelineSettings()
    assert read_settings(PipelineSettings, write(tmp_path, "")) == PipelineSettings()


@pytest.mark.parametrize(
    ("text", "overrides", "sentence"),
    [
        ("faces: {instant: 8}", [], r"params\.yaml: unknown key 'faces\.instant' \(known here: instants, "),
        ("speed: fast", [], r"params\.yaml: unknown key 'speed' \(known here: datasets, "),
        ("workers: -1\nmax_failed: 2", [], r"'workers': input should be .* got -1\. 'max_failed': input should be"),
        ("- a list", [], r"params\.yaml must hold keys and values"),
        ("faces: [unclosed", [], r"params\.yaml is not valid YAML"),
        ("", ["fast"], r"--set needs section\.key=value, not 'fast'"),
        ("", ["=1"], r"--set needs section\.key=value, not '=1'"),
        ("", ["..x=1"], r"--set needs section\.key=value, not '\.\.x=1'"),
        ("", [f"roots={'[' * 5000}"], r"--set roots: '\[{100}' is not a YAML value \(it is nested too deeply\)"),
        ("faces:", [], r"params\.yaml: 'faces': needs keys and values, got None"),
        ("", ["workers=[1"], r"--set workers: '\[1' is not a YAML value .*put text with signs in quotes"),
        ("workers: 2", ["workers.local=1"], r"--set workers\.local=1: 'workers' is a value, not a section"),
        ("", ["faces.instant=8"], r"--set faces\.instant=8: unknown key 'faces\.instant'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_settings(PipelineSettings, write(tmp_path, text), overrides)


@pytest.mark.parametrize(
    ("text", "overrides", "source"),
    [
        ("workers: x", [], "params.yaml: 'workers'"),
        ("faces: {size: 64}", ["workers=x"], "--set workers=x: 'workers'"),
        ("workers: x", ["faces.size=96"], "params.yaml: 'workers'"),
        ("", ["faces.sizes=96", "workers=2"], "--set faces.sizes=96 --set workers=2: unknown key 'faces.sizes'"),
    ],
)
def test_what_is_wrong_is_said_of_the_file_or_of_the_override_that_has_it(
    tmp_path: Path, text: str, overrides: list[str], source: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(PipelineSettings, write(tmp_path, text), overrides)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(source)


def test_an_override_may_put_right_what_is_wrong_in_the_file(tmp_path: Path) -> None:
    assert read_settings(PipelineSettings, write(tmp_path, "workers: x"), ["workers=2"]).workers == 2


@pytest.mark.parametrize(
    "text",
    [
        *("max_failed: true", "folds: [true]", "folds: [2, true]", "shards: {clips: true}", "workers: false"),
        *("clip_timeout: true", "world: {clips: true}", "lists: {a: {labels: [x], folds: {true: {train: a}}}}"),
        *(
            "caption: {server: {timeout: true}}",
            "caption: {vllm: {max_length: true}}",
            "index: {labels: {a: {true: x}}}",
        ),
    ],
)
def test_true_and_false_are_no_numbers(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a number is needed here, not true or false"):
        read_settings(PipelineSettings, write(tmp_path, text))


def test_switches_are_true_or_false(tmp_path: Path) -> None:
    path = write(tmp_path, "index: {strict: true}\ncaption: {chat_template_kwargs: {enable_thinking: false}}")
    settings = read_settings(PipelineSettings, path)
    assert (settings.index.strict, settings.caption.chat_template_kwargs) == (True, {"enable_thinking": False})


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["faces.size=64", "faces.size=96"], "faces.size"),
        (["faces.size=64", "workers=1", " faces.size =64"], "faces.size"),
        (["faces={size: 64}", "faces.size=96"], "faces.size"),
        (["caption.server.url=a", "caption={server: {url: b}}"], "caption.server.url"),
        (["index.labels.a=[x]", "index.labels={a: {0: x}}"], "index.labels.a"),
    ],
)
def test_a_key_that_is_set_twice_is_refused(overrides: list[str], key: str) -> None:
    for read in (
        lambda: read_settings(PipelineSettings, None, overrides),
        lambda: apply_overrides(PipelineSettings(), overrides),
    ):
        with pytest.raises(UserError, match=f"--set gives '{key}' twice") as caught:
            read()
        assert overrides[0] in str(caught.value)


def test_a_mapping_is_merged_into_the_section_that_stands_there(tmp_path: Path) -> None:
    path = write(tmp_path, "faces: {instants: 8, size: 64}\nroots: {a: /a}\ncaption: {server: {timeout: 5}}")
    overrides = ["faces={size: 96}", "roots={b: /b}", "caption={server: {url: 'http://x/v1'}}"]
    settings = read_settings(PipelineSettings, path, overrides)
    assert (settings.faces.instants, settings.faces.size) == (8, 96)
    assert settings.roots == {"a": "/a", "b": "/b"}
    assert (settings.caption.server.timeout, settings.caption.server.url) == (5.0, "http://x/v1")
    kept = apply_overrides(settings, ["faces={margin: 0.5}"])
    assert (kept.faces.instants, kept.faces.margin) == (8, 0.5)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ("{1: a, '1': b}", "the label '1' stands there twice"),
        ("[happy, joy]", "'happy' and 'joy' both mean happiness"),
        ("{1: happy, 2: Joy}", "'happy' and 'Joy' both mean happiness"),
        ("[calm, Calm]", "'calm' and 'Calm' both mean calm"),
        ("[fear, fear]", "the class 'fear' stands there twice"),
        ("[fear, ' ']", "a class has no name"),
    ],
)
def test_labels_of_two_meanings_are_refused(labels: str, sentence: str, tmp_path: Path) -> None:
    for text in (f"index: {{labels: {{a: {labels}}}}}", f"lists: {{a: {{folds: {{1: {{}}}}, labels: {labels}}}}}"):
        with pytest.raises(UserError, match=sentence):
            read_settings(PipelineSettings, write(tmp_path, text))


def test_several_labels_may_mean_one_class(tmp_path: Path) -> None:
    path = write(tmp_path, "index: {labels: {a: {1: fear, 2: fear, ang: anger, ANG: anger}}}")
    assert len(read_settings(PipelineSettings, path).index.labels["a"]) == 4


RENAMED = {"faces.pixels": "faces.size", "cluster": "ray", "caption.server.patience": "caption.server.retry_timeout"}


@pytest.mark.parametrize(
    ("text", "overrides", "sentence"),
    [
        ("faces: {pixels: 64}", [], "params.yaml: 'faces.pixels' is called 'faces.size' now."),
        (
            "cluster: {cpus: 1}\nfaces: {pixels: 64, instant: 8}",
            [],
            "params.yaml: 'faces.pixels' is called 'faces.size' now. 'cluster' is called 'ray' now.",
        ),
        ("", ["faces.pixels=64"], "--set faces.pixels=64: 'faces.pixels' is called 'faces.size' now."),
        ("", ["faces={pixels: 64}"], "--set faces={pixels: 64}: 'faces.pixels' is called 'faces.size' now."),
        ("", ["cluster.cpus=1"], "--set cluster.cpus=1: 'cluster' is called 'ray' now."),
        (
            "",
            ["caption.server.patience=9"],
            "--set caption.server.patience=9: 'caption.server.patience' is called 'caption.server.retry_timeout' now.",
        ),
    ],
)
def test_a_renamed_key_is_named_with_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, overrides: list[str], sentence: str
) -> None:
    monkeypatch.setattr(module, "RENAMED_KEYS", RENAMED)
    with pytest.raises(UserError) as caught:
        read_settings(PipelineSettings, write(tmp_path, text), overrides)
    assert str(caught.value).removeprefix(f"{tmp_path}/") == sentence


def test_new_names_are_not_taken_for_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENAMED_KEYS", {**RENAMED, "workers.local": "workers"})
    path = write(tmp_path, "faces: {size: 64}\nworkers: 3")
    assert read_settings(PipelineSettings, path, ["ray.cpus=2"]).faces.size == 64


def test_every_renamed_key_leads_to_one_that_exists() -> None:
    from grace.settings import Settings

    for old, new in module.RENAMED_KEYS.items():
        *sections, key = new.split(".")
        model = module._section(Settings, tuple(sections))
        assert model is not None and key in model.model_fields, f"{old} leads to {new}, which is no key"
        with pytest.raises(UserError, match=f"'{new}' now"):
            module._refuse_renamed(_nested(old), "params.yaml")


def test_every_renamed_value_leads_to_one_that_is_accepted() -> None:
    for key, renamed in module.RENAMED_VALUES.items():
        for old, new in renamed.items():
            apply_overrides(PipelineSettings(), [f"{key}={new}"])
            with pytest.raises(UserError) as caught:
                read_settings(PipelineSettings, None, [f"{key}={old}"])
            assert str(caught.value) == f"--set {key}={old}: '{key}': '{old}' is called '{new}' now."


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["faces.detector=yunet"], "'faces.detector_model': detector yunet needs its ONNX file"),
        (["caption.prompt=coarse-v9"], "'caption.prompt': there is no prompt 'coarse-v9': name one of coarse-v1, "),
        (["caption.prompt=refine-v1"], "'caption.prompt': the prompt refine-v1.md has no {times}"),
        (["refine.prompt=coarse-v1"], "'refine.prompt': the prompt coarse-v1.md has no {captions}"),
        (["refine.use_label=true"], "'refine.use_label': the prompt 'refine-v1' and refine.use_label do not agree"),
        (["refine.prompt=refine-label-v1"], "the prompt 'refine-label-v1' and refine.use_label do not agree"),
        (["folds=[]"], "'folds': name one at least."),
        (["folds=[1,2,1]"], "'folds': 1 is named more than once."),
        (["datasets=[]"], "'datasets': name one at least."),
        (["datasets=[demo,demo]"], "'datasets': demo is named more than once."),
        (["datasets=[../x]"], "'datasets': '../x' cannot be the name of a data set"),
        (["roots={../x: raw}"], "'roots': '../x' cannot be the name of a data set"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_at_load(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(PipelineSettings, None, overrides)
    assert sentence in str(caught.value)
    assert "value error" not in str(caught.value).lower()


def test_settings_that_fit_each_other_are_accepted() -> None:
    fitting = [
        "faces={detector: yunet, detector_model: face.onnx}",
        "refine={use_label: true, prompt: refine-label-v1}",
        "caption.engine=openai",  # where its server is may be told to the one command that asks it
    ]
    assert read_settings(PipelineSettings, None, fitting).refine.use_label


def test_a_prompt_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_bytes(b"\xff\xfe {times}")
    with pytest.raises(UserError, match=r"'caption\.prompt': the prompt .*mine\.md cannot be read as UTF-8 text"):
        read_settings(PipelineSettings, None, [f"caption.prompt={tmp_path / 'mine.md'}"])


def test_every_step_has_a_section_and_a_run_keeps_it() -> None:
    """``from_pretrained`` makes the steps of what a run kept: a section that were missing would be defaults."""
    assert set(STEPS) <= PipelineSettings.model_fields.keys()
    assert step_sections(PipelineSettings()).keys() == STEPS.keys()
    for stage, module_name in STEPS.items():
        assert make_step(stage, PipelineSettings(), root=".").name == stage, module_name


def _nested(dotted: str) -> dict[str, object]:
    key, _, rest = dotted.partition(".")
    return {key: _nested(rest) if rest else 1}


def test_what_a_run_kept_is_checked_like_a_file() -> None:
    assert validate(PipelineSettings, {"faces": {"instants": 8}}, "config.yaml").faces.instants == 8
    with pytest.raises(UserError, match=r"^config\.yaml: unknown key 'faces\.instant'"):
        validate(PipelineSettings, {"faces": {"instant": 8}}, "config.yaml")
