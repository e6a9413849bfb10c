"""The licence gate: what it lets in and what it refuses."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def gate(root: Path) -> ModuleType:
    """Return tools/licence_gate.py as a module."""
    spec = importlib.util.spec_from_file_location("licence_gate", root / "tools/licence_gate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MPL-2.0 AND MIT", True),
        ("EPL-2.0 OR BSD-3-Clause", True),
        ("BSD-2-Clause AND Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only", False),
        ("MIT AND LGPL-2.1-or-later", False),
        ("GNU Affero General Public License v3", False),
        ("unknown", False),
    ],
)
def test_an_expression_is_judged_by_its_parts(
    gate: ModuleType, expression: str, allowed: bool
) -> None:
    assert gate.is_allowed(expression) is allowed


def test_a_package_that_is_not_installed_is_refused_unless_it_is_for_another_system(
    gate: ModuleType, tmp_path: Path
) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(
        "gridloom-not-there==1.0 \\\n    --hash=sha256:00\n"
        "gridloom-elsewhere==1.0 ; sys_platform == 'plan9' \\\n    --hash=sha256:00\n"
    )
    found = dict(gate.licences_of(lock))
    assert list(found) == ["gridloom-not-there"]
    assert not gate.is_allowed(found["gridloom-not-there"])


def test_an_npm_lock_is_read_with_its_own_licences(gate: ModuleType, tmp_path: Path) -> None:
    lock = tmp_path / "package-lock.json"
    packages = {
        "": {"license": "Apache-2.0"},
        "node_modules/a": {"license": "(MIT OR GPL-2.0)"},
        "node_modules/a/node_modules/@s/b": {},
    }
    lock.write_text(json.dumps({"packages": packages}))
    found = dict(gate.licences_of(lock))
    assert {name: gate.is_allowed(licence) for name, licence in found.items()} == {
        "a": True,
        "@s/b": False,
    }
