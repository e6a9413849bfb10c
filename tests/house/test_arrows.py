"""Rules about who imports whom, beyond what import-linter's contracts can say."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

# Packages that a device must never have to load.
HEAVY = {
    "cryptography",
    "duckdb",
    "lightsim2grid",
    "litestar",
    "nats",
    "pandapower",
    "pandas",
}
HEAVY |= {"power_grid_model", "pyarrow", "scipy", "simbench", "structlog", "uvicorn"}
IN_A_DEVICE = {"gridloom", "numba", "numpy"}


def _imports(module: Path) -> set[str]:
    found = set()
    for part in ast.walk(ast.parse(module.read_text())):
        if isinstance(part, ast.Import):
            found |= {alias.name for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and not part.level:
            found |= {part.module or ""}
    return found


def test_edge_imports_only_core_numpy_and_numba(root: Path) -> None:
    for module in (root / "src/gridloom/edge").rglob("*.py"):
        for name in _imports(module):
            top = name.split(".")[0]
            assert top in IN_A_DEVICE or top in sys.stdlib_module_names, (module.name, name)
            if top == "gridloom":
                assert name.split(".")[1:2] in (["core"], ["edge"]), (module.name, name)


def test_importing_edge_loads_nothing_heavy(root: Path) -> None:
    if not (root / "src/gridloom/edge/__init__.py").is_file():
        return
    code = "import gridloom.edge, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "gridloom" in loaded
    assert loaded & HEAVY == set()


def test_every_package_stands_in_the_contract_that_hides_the_field(root: Path) -> None:
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    hidden = next(
        set(entry["source_modules"])
        for entry in contracts
        if entry.get("forbidden_modules") == ["gridloom.field"]
    )
    rooms = {
        f"gridloom.{path.parent.name}" for path in (root / "src/gridloom").glob("*/__init__.py")
    }
    assert rooms - {"gridloom.cli", "gridloom.field"} - hidden == set()


def test_the_built_front_end_is_not_committed(project_files: list[Path], root: Path) -> None:
    static = root / "src/gridloom/control_room/static"
    assert [path for path in project_files if static in path.parents] == []
