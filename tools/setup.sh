#!/bin/sh
# Make a virtual environment with exactly the locked packages, and this project in it: setup.sh VENV LOCKFILE
set -eu
venv=$1
lock=$2

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The first Python that is new enough and can make an environment (Debian's cannot, without python3-venv).
make_venv() {
    found=
    for python in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$python" ] && is_new_enough "$python"; then
            rm -rf "$venv"
            if "$python" -m venv "$venv" 2>"$venv.log"; then
                rm -f "$venv.log"
                return 0
            fi
            cat "$venv.log" >&2
            rm -rf "$venv" "$venv.log"
            found=$python
        fi
    done
    if [ -n "$found" ]; then
        echo "$found cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
    else
        echo "coderun needs Python 3.11 or newer; none was found on the PATH" >&2
    fi
    echo "(name another one: PYTHON=/path/to/python3 make ...)" >&2
    return 1
}

if ! [ -x "$venv/bin/python" ] || ! is_new_enough "$venv/bin/python"; then
    make_venv
fi

echo "installing what $lock names into $venv ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
