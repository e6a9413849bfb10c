"""The search for a Python: it must run what it finds, and say what to do when nothing serves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = "#!/bin/sh\necho 'this command exists in other versions' >&2\nexit 127\n"
TOO_OLD = "#!/bin/sh\nexit 1\n"
RUNS = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a search path with a shell's own tools and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cat", "cksum", "tr", "rm"):
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def _search(root: Path, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    settings = {"PATH": str(path), "HOME": str(path.parent), **env}
    script = str(root / "tools/bootstrap.sh")
    return subprocess.run(
        ["sh", script, "python"],
        capture_output=True,
        text=True,
        check=False,
        env=settings,
        cwd=root,
    )


def test_a_shim_that_does_not_run_is_passed_over(root: Path, path: Path) -> None:
    _put(path / "python3.13", SHIM)
    _put(path / "python3.12", RUNS)
    done = _search(root, path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).exists()


def test_versions_of_pyenv_are_found_when_the_path_has_none(root: Path, path: Path) -> None:
    _put(path / "python3", TOO_OLD)
    _put(path.parent / ".pyenv/versions/3.12.1/bin/python3", RUNS)
    done = _search(root, path)
    assert done.returncode == 0, done.stderr
    elsewhere = path.parent / "elsewhere"
    (path.parent / ".pyenv").rename(elsewhere)
    assert _search(root, path).returncode == 1
    assert _search(root, path, PYENV_ROOT=str(elsewhere)).returncode == 0


def test_a_python_that_is_named_is_taken_or_refused(root: Path, path: Path) -> None:
    _put(path.parent / "mine", RUNS)
    _put(path.parent / "old", TOO_OLD)
    assert _search(root, path, PYTHON=str(path.parent / "mine")).returncode == 0
    refused = _search(root, path, PYTHON=str(path.parent / "old"))
    assert refused.returncode == 1
    assert "older than 3.12" in refused.stderr


def test_a_python_without_venv_is_named_with_the_way_out(root: Path, path: Path) -> None:
    bare = f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n'
    _put(path / "python3", bare)
    done = _search(root, path)
    assert done.returncode == 1
    assert "python3-venv" in done.stderr


def test_nothing_found_says_what_to_install(root: Path, path: Path) -> None:
    _put(path / "python3", TOO_OLD)
    done = _search(root, path)
    assert done.returncode == 1
    assert "no Python 3.12, 3.13 or 3.14 found" in done.stderr
    assert "PYTHON=" in done.stderr


def test_two_runs_with_the_same_locks_install_once(root: Path, path: Path) -> None:
    venv = path.parent / "venv"
    _put(venv / "bin/python", RUNS)
    _put(path / "uv", '#!/bin/sh\necho "$@" >>"$UV_LOG"\n')
    log = path.parent / "uv.log"
    settings = {"PATH": str(path), "HOME": str(path.parent), "VENV": str(venv), "UV_LOG": str(log)}

    def bootstrap(what: str) -> list[str]:
        log.write_text("")
        command = ["sh", str(root / "tools/bootstrap.sh"), what]
        subprocess.run(command, check=True, env=settings | {"LC_ALL": "C"}, cwd=root)
        return log.read_text().splitlines()

    lock, own = bootstrap("product")
    assert "sync" in lock
    assert lock.endswith("requirements.lock")
    assert own.endswith("-e .")
    assert bootstrap("product") == []
    assert bootstrap("dev")[0].endswith("requirements-dev.lock")
    assert bootstrap("dev") == []
    assert bootstrap("product") == [], "running must not throw the tools of a developer away"
