#!/bin/sh
# Makes the environment that everything else runs in.
#   bootstrap.sh product   what running needs        bootstrap.sh dev   and what testing needs
#   bootstrap.sh web       Node, for a machine without one, into the same environment
#   bootstrap.sh python   prints the Python that it would take
#   bootstrap.sh uv        prints the path of a uv, installing one into the environment if need be
# Reads VENV (default .venv) and PYTHON (default: found). Does nothing, fast, when all is as the locks say.
set -eu

venv=${VENV:-.venv}
state=$venv/.gridloom
want=${1:?say product, dev, web, python or uv}

say() { echo "gridloom: $*" >&2; }

# A pyenv shim answers to `python3.12` and then fails, and `python3` may be anything: only running one tells.
# Free-threaded builds are passed over, since numba has no wheels for them.
suits() {
    "$1" -c 'import sys, sysconfig
sys.exit(not ((3, 12) <= sys.version_info[:2] <= (3, 14)) or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' \
        >/dev/null 2>&1
}

# Debian ships Python without ensurepip, and then `python -m venv` fails half-way.
makes_venvs() { command -v uv >/dev/null 2>&1 || "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 || {
            say "PYTHON=$PYTHON does not run, or is older than 3.12."
            return 1
        }
        candidates=$PYTHON
    else
        candidates="python3.14 python3.13 python3.12 python3"
        pyenv=${PYENV_ROOT:-}
        [ -n "$pyenv" ] || pyenv=$(pyenv root 2>/dev/null) || pyenv=${HOME:-/nonexistent}/.pyenv
        for candidate in "$pyenv"/versions/*/bin/python3; do
            [ -x "$candidate" ] && candidates="$candidates $candidate"
        done
    fi
    bare=
    for candidate in $candidates; do
        [ -n "${PYTHON:-}" ] || suits "$candidate" || continue
        makes_venvs "$candidate" || { bare=$candidate; continue; }
        "$candidate" -c 'import sys; print(sys.executable)'
        return 0
    done
    if [ -n "$bare" ]; then
        say "$bare cannot make virtual environments. Install its venv package"
        say "(Debian, Ubuntu: apt install python3-venv), or uv, and try again."
    else
        say "no Python 3.12, 3.13 or 3.14 found. Install one (Debian, Ubuntu: apt install python3.12 python3.12-venv;"
        say "Fedora: dnf install python3.12; macOS: brew install python@3.12; pyenv: pyenv install 3.12),"
        say "or name it: make PYTHON=/path/to/python3.12 ..."
    fi
    return 1
}

version_of() { "$1" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }

make_venv() {
    if [ -e "$venv" ]; then
        if [ -n "${PYTHON:-}" ]; then
            now=$(version_of "$venv/bin/python") || now=
            if [ -n "$now" ] && [ "$now" = "$(version_of "$PYTHON")" ]; then return 0; fi
        elif suits "$venv/bin/python"; then
            return 0
        fi
        # Never delete a directory that is not an environment.
        [ -f "$venv/pyvenv.cfg" ] || { say "$venv is in the way and is no virtual environment."; return 1; }
    fi
    python=$(find_python) || return 1
    if [ -e "$venv" ]; then
        say "$venv is of another Python; making it anew"
        rm -rf "$venv"
    fi
    say "making $venv with $python"
    if command -v uv >/dev/null 2>&1; then
        uv venv -q --python "$python" "$venv"
    else
        "$python" -m venv "$venv" || {
            rm -rf "$venv"
            say "$python -m venv failed. On Debian and Ubuntu: apt install python3-venv"
            return 1
        }
    fi
}

# --no-deps: the lock is complete, so nothing needs to be resolved again.
# --compile-bytecode: as pip does; left to the first start, it would make that one slow.
install_locked() { # how (sync | install), lock
    if command -v uv >/dev/null 2>&1; then
        case $1 in
        sync) uv pip sync --python "$venv/bin/python" --require-hashes --compile-bytecode "$2" ;;
        *) uv pip install --python "$venv/bin/python" --require-hashes --compile-bytecode --no-deps -r "$2" ;;
        esac
    else
        # An environment that uv once made has no pip of its own.
        "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
        say "installing $2 with pip; uv would be faster"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$2"
    fi
}

# Hash mode refuses a directory, so our own package comes second; its build tools stand in the lock.
install_self() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install -q --python "$venv/bin/python" --no-deps --no-build-isolation -e .
    else
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    fi
}

case $want in
product | dev)
    make_venv
    product_sum=$(cat requirements.lock pyproject.toml | cksum | tr ' ' -)
    dev_sum=$(cksum <requirements-dev.lock | tr ' ' -)
    read -r had had_product had_dev 2>/dev/null <"$state" || had=none had_product='' had_dev=''
    if [ "$had_product" = "$product_sum" ]; then
        [ "$want" = dev ] || exit 0
        if [ "$had" = dev ] && [ "$had_dev" = "$dev_sum" ]; then exit 0; fi
    fi
    # Once for tests, always for tests: `make run` must not throw the developer's tools away.
    [ "$had" != dev ] || want=dev
    rm -f "$state"
    lock=requirements.lock
    [ "$want" = product ] || lock=requirements-dev.lock
    install_locked sync "$lock"
    install_self
    echo "$want $product_sum $dev_sum" >"$state"
    ;;
python)
    find_python
    ;;
web)
    install_locked install requirements-web.lock
    ;;
uv)
    make_venv
    if ! command -v uv; then
        [ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install -q --disable-pip-version-check uv >&2
        echo "$venv/bin/uv"
    fi
    ;;
*)
    say "unknown: $want"
    exit 2
    ;;
esac
