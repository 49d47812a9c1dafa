#!/bin/sh
# Write the lock files from pyproject.toml, with hashes, for every platform: lock.sh PYTHON
set -eu
python=$1
"$python" -m pip install --quiet --disable-pip-version-check uv
for name in run dev; do
    "$python" -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        --no-annotate --group "$name" --output-file "requirements/$name.lock" pyproject.toml
done
