#!/bin/sh
# Make a virtual environment with exactly the locked packages, and this project in it: setup.sh VENV LOCKFILE
set -eu
venv=$1
lock=$2

python=
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "coderun needs Python 3.11 or newer; none was found on the PATH (name one with PYTHON=/path/to/python3 make ...)" >&2
    exit 1
fi

if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" 2>"$venv.log"; then
        cat "$venv.log" >&2
        rm -rf "$venv" "$venv.log"
        echo "$python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
    rm -f "$venv.log"
fi

echo "installing what $lock names into $venv ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
