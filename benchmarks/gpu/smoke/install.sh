#!/usr/bin/env bash
# Make an environment for run.py from the wheels that prepare.py wrote; torch is the machine's own.
#   [PYTHON=python3.11] bash benchmarks/gpu/smoke/install.sh WHEELS [ENVIRONMENT]
set -euo pipefail
wheels=${1:?the folder that prepare.py wrote}
env=${2:-build/gpu-smoke-env}
python=${PYTHON:-python3}
unset PIP_CONSTRAINT # some images pin versions by it, and --no-index then finds nothing
wanted=$(cat "$wheels/python.txt")
found=$("$python" -c 'import platform, sys; print("%d.%d" % sys.version_info[:2], platform.machine())')
if [ "$found" != "$wanted" ]; then
  echo "install: $python is $found, and these wheels are for $wanted: say PYTHON=python${wanted% *}, or prepare them there" >&2
  exit 2
fi
"$python" -m venv --system-site-packages "$env"
"$env/bin/python" -m pip install --quiet --no-index --no-deps "$wheels"/*.whl
"$env/bin/python" -c "import torch, cotdistill; print('torch', torch.__version__, 'cuda', torch.cuda.is_available())"
