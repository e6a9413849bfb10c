"""Rules about files: how long, what they may not mention, what each must say first."""

import ast
import json
import re
from typing import Any

MOST_LINES = 500
WRITTEN_BY_HAND = (".py", ".ts", ".js", ".svelte", ".css", ".html", ".sh", ".sol", ".md", ".toml")
# Spelled so that this file does not break its own rule.
REGISTRIES = re.compile(
    "|".join([r"py" + r"pi\.org", "python" + "hosted", "npm" + r"js\.(org|com)", "npm" + "mirror"])
)
MACHINE_PATH = re.compile(r"(?<![\w.)}:])/(?:work|root|farm|home/\w+|Users/\w+)/[\w.]")


def test_no_file_is_longer_than_500_lines(texts: dict[str, str]) -> None:
    long = {
        name: text.count("\n")
        for name, text in texts.items()
        if name.endswith(WRITTEN_BY_HAND) and text.count("\n") > MOST_LINES
    }
    assert long == {}


def test_python_locks_carry_hashes_and_no_address(texts: dict[str, str]) -> None:
    locks = {name: text for name, text in texts.items() if name.endswith(".lock")}
    assert {"requirements.lock", "requirements-dev.lock"} <= set(locks)
    for name, text in locks.items():
        assert "://" not in text, name
        assert "index-url" not in text, name
        pins = re.findall(r"^[A-Za-z0-9._-]+==.*$", text, flags=re.MULTILINE)
        assert pins, name
        assert all(pin.endswith("\\") for pin in pins), f"{name}: a pin without a hash"


def test_dev_lock_agrees_with_the_product_lock(texts: dict[str, str]) -> None:
    def pins(text: str) -> dict[str, str]:
        return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))

    product, dev = pins(texts["requirements.lock"]), pins(texts["requirements-dev.lock"])
    assert {
        name: (version, dev.get(name))
        for name, version in product.items()
        if dev.get(name) != version
    } == {}


def test_npm_lock_carries_hashes_and_no_address(texts: dict[str, str]) -> None:
    def addresses(value: Any, key: str = "") -> list[str]:
        if (
            key == "funding"
        ):  # npm copies these from the packages; they are not where anything is fetched
            return []
        if isinstance(value, dict):
            return [found for name, inner in value.items() for found in addresses(inner, name)]
        if isinstance(value, list):
            return [found for inner in value for found in addresses(inner)]
        return [f"{key}: {value}"] if isinstance(value, str) and "://" in value else []

    for name, text in texts.items():
        if not name.endswith("package-lock.json"):
            continue
        lock = json.loads(text)
        assert addresses(lock) == [], name
        packages = {path: entry for path, entry in lock["packages"].items() if path}
        unhashed = [
            path
            for path, entry in packages.items()
            if "integrity" not in entry and not entry.get("inBundle")
        ]
        assert unhashed == [], name


def test_no_file_names_a_package_registry(texts: dict[str, str]) -> None:
    assert [name for name, text in texts.items() if REGISTRIES.search(text)] == []


def test_no_file_names_a_path_of_one_machine(texts: dict[str, str]) -> None:
    found = [(name, hit[0]) for name, text in texts.items() for hit in MACHINE_PATH.finditer(text)]
    assert found == []


def test_every_module_says_what_it_is(texts: dict[str, str]) -> None:
    modules = {name: text for name, text in texts.items() if name.endswith(".py") and text.strip()}
    assert [name for name, text in modules.items() if not ast.get_docstring(ast.parse(text))] == []


def test_every_licence_file_is_where_packaging_looks(texts: dict[str, str]) -> None:
    assert "Apache License" in texts["LICENSE"]
    assert "Gridloom" in texts["NOTICE"]
    assert 'license = "Apache-2.0"' in texts["pyproject.toml"]
