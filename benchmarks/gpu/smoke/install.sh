#!/usr/bin/env bash
# Make an environment for run.py from the wheels that prepare.py wrote; torch is the machine's own.
set -euo pipefail
wheels=${1:?the folder that prepare.py wrote}
env=${2:-build/gpu-smoke-env}
python3 -m venv --system-site-packages "$env"
"$env/bin/python" -m pip install --quiet --no-index --no-deps "$wheels"/*.whl
"$env/bin/python" -c "import torch, cotdistill; print('torch', torch.__version__, 'cuda', torch.cuda.is_available())"
