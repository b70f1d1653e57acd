"""What vLLM is started with, without starting it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from grace.pipeline.engines import make_engine
from grace.pipeline.engines.settings import VllmSettings
from grace.pipeline.engines.vllm import VllmEngine, environment, replica_gpus, require_gpus
from grace.pipeline.errors import UserError
from grace.pipeline.text.settings import CaptionSettings, RefineSettings


def engine_of(settings: CaptionSettings | RefineSettings) -> VllmEngine:
    engine = make_engine(settings)
    assert isinstance(engine, VllmEngine)
    return engine


def test_settings_reach_vllm_by_its_own_names(project: Path) -> None:
    spread = VllmSettings(
        tensor_parallel=2, memory=0.5, max_length=4096, options={"quantization": "fp8", "max_num_seqs": 8}
    )
    model = str(project / "pocket/vlm")
    arguments = engine_of(CaptionSettings(engine="vllm", model=model, images=5, seed=7, vllm=spread)).arguments()
    assert (arguments["tensor_parallel_size"], arguments["gpu_memory_utilization"]) == (2, 0.5)
    assert (arguments["max_model_len"], arguments["seed"], arguments["max_num_seqs"]) == (4096, 7, 8)
    assert arguments["limit_mm_per_prompt"] == {"image": 5, "video": 0}
    assert (arguments["enable_prefix_caching"], arguments["trust_remote_code"]) == (True, False)
    trusted = CaptionSettings(engine="vllm", model=model, trust_remote_code=[model])
    assert engine_of(trusted).arguments()["trust_remote_code"] is True


def test_how_it_is_spread_is_not_in_its_cache_key_and_its_options_are(project: Path) -> None:
    settings = RefineSettings(engine="vllm", model=str(project / "pocket/llm"))
    spread = settings.model_copy(update={"vllm": VllmSettings(tensor_parallel=4, data_parallel=2, memory=0.5)})
    assert make_engine(settings).cache_key() == make_engine(spread).cache_key()
    quantized = settings.model_copy(update={"vllm": VllmSettings(options={"quantization": "fp8"})})
    assert make_engine(settings).cache_key() != make_engine(quantized).cache_key()


def test_a_processor_that_would_cut_pictures_into_tiles_shows_them_whole(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vlm"
    shutil.copytree(project / "pocket/vlm", folder)
    assert "mm_processor_kwargs" not in VllmEngine(str(folder), images=8).arguments()
    file = folder / "processor_config.json"
    config = json.loads(file.read_text())
    config["image_processor"]["do_image_splitting"] = True
    file.write_text(json.dumps(config))
    whole = VllmEngine(str(folder), images=8).arguments()["mm_processor_kwargs"]
    assert whole == {"do_image_splitting": False, "size": {"longest_edge": 128}}


def test_more_replicas_than_gpus_and_a_servers_own_option_are_refused(project: Path) -> None:
    require_gpus(VllmSettings(tensor_parallel=2, data_parallel=4), visible=8)
    with pytest.raises(UserError, match=r"2 × vllm\.data_parallel 4 need 8 GPUs and 4 can be seen"):
        require_gpus(VllmSettings(tensor_parallel=2, data_parallel=4), visible=4)
    engine = VllmEngine(str(project / "pocket/llm"), vllm=VllmSettings(options={"data_parallel_size": 2}))
    with pytest.raises(UserError, match=r"set vllm\.data_parallel instead"):
        engine.arguments()


@pytest.mark.parametrize(
    ("shown", "groups"), [(None, ["0,1", "2,3"]), ("4,5,6,7", ["4,5", "6,7"]), ("", ["0,1", "2,3"])]
)
def test_each_replica_starts_on_gpus_of_its_own(shown: str | None, groups: list[str]) -> None:
    spread = VllmSettings(tensor_parallel=2, data_parallel=2)
    assert [replica_gpus(number, spread, shown) for number in range(2)] == groups


@pytest.mark.parametrize("before", [None, "4,5,6,7"])
def test_variables_for_the_processes_of_a_replica_are_gone_afterwards(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with environment({"CUDA_VISIBLE_DEVICES": "6,7"}):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
