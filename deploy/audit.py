"""Look at what the locks name: write a bill of materials of each environment, ask for known holes.

.venvs/audit/bin/python deploy/audit.py     exit 1 when a locked package has a known hole

The bills are CycloneDX, in build/sbom/. Holes are asked for with pip-audit, from the database
behind the package index, else from OSV. A hole that does not concern us is a line of
deploy/audit-ignore.txt: its id, and why.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Locks of engine environments travel in the wheel.
FOLDERS = ROOT / "deploy" / "requirements", ROOT / "agent_assets" / "engines" / "locks"
BILLS = ROOT / "build" / "sbom"
IGNORED = ROOT / "deploy" / "audit-ignore.txt"
PROGRAMS = Path(sys.executable).parent
# By environment, the locks that it is installed from.
ENVIRONMENTS = {
    "core": ("installers", "core", "extras"),
    "engine-cpu": ("installers", "engine-cpu-torch", "engine-cpu", "engine-cpu-nodeps"),
    "engine-gpu": ("engine-gpu",),
    "engine-unsloth": ("installers", "engine-cpu-torch", "engine-unsloth"),
    "art-local": ("art-local",),
    "container": ("installers", "container"),
}
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", re.MULTILINE)
_SERVICES = ("pypi", "osv")
_SECONDS = "20"


def lock_file(lock: str) -> Path:
    """Where a lock lies."""
    return next(path for folder in FOLDERS if (path := folder / f"{lock}.lock").is_file())


def locked_text(environment: str) -> str:
    """All locks of an environment; of a package that two of them name, the later line counts."""
    entries: dict[str, str] = {}
    for lock in ENVIRONMENTS[environment]:
        text = lock_file(lock).read_text(encoding="utf-8")
        for entry in re.split(r"\n(?=\S)", text.strip()):
            entries[entry.split("==")[0].lower()] = entry
    return "\n".join(entries.values()) + "\n"


def write_bill(environment: str, requirements: Path) -> int:
    """Write the bill of materials of an environment; returns how many components it lists."""
    bill = BILLS / f"{environment}.cdx.json"
    command = [str(PROGRAMS / "cyclonedx-py"), "requirements", str(requirements)]
    # Validating takes ten times as long as writing, and judges the program, not our lock.
    command += ["--of", "JSON", "--output-reproducible", "--no-validate", "-o", str(bill)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"sbom: {environment}: {done.stderr.strip()[-500:]}")
    return len(json.loads(bill.read_bytes())["components"])


def ask(requirements: Path, service: str) -> list[dict[str, object]] | None:
    """What a service knows of each package; None when it cannot be asked."""
    command = [str(PROGRAMS / "pip-audit"), "--disable-pip", "--require-hashes", "-f", "json"]
    command += ["--progress-spinner", "off", "--timeout", _SECONDS, "-s", service]
    done = subprocess.run(
        [*command, "-r", str(requirements)], capture_output=True, text=True, check=False
    )
    if not done.stdout.startswith("{"):
        return None
    packages: list[dict[str, object]] = json.loads(done.stdout)["dependencies"]
    return packages


def reachable_service() -> str | None:
    """The first database that knows pip, which every one does; None when none can be reached."""
    for service in _SERVICES:
        packages = ask(lock_file("installers"), service)
        if packages and not any("skip_reason" in package for package in packages):
            return service
    return None


def ignored() -> set[str]:
    """Ids of holes that do not concern us."""
    lines = IGNORED.read_text(encoding="utf-8").splitlines() if IGNORED.exists() else []
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def known_holes(environment: str, requirements: Path, service: str) -> list[str]:
    """A line for each known hole of an environment, and for each package nobody could say of."""
    packages = ask(requirements, service)
    if packages is None:
        return [f"{environment}: the audit did not end; try again"]
    lines = []
    for package in packages:
        if "skip_reason" in package:
            print(f"audit: {environment}: {package['name']} not checked: {package['skip_reason']}")
        holes: list[dict[str, object]] = package.get("vulns", [])  # type: ignore[assignment]
        lines += [
            f"{environment}: {package['name']} {package['version']} has {hole['id']}, "
            f"fixed in {hole['fix_versions'] or 'no version yet'}"
            for hole in holes
            if hole["id"] not in ignored()
        ]
    return lines


def main() -> int:
    """Write all bills, then ask for holes."""
    BILLS.mkdir(parents=True, exist_ok=True)
    files = {}
    for environment in ENVIRONMENTS:
        text = locked_text(environment)
        files[environment] = BILLS / f"{environment}.requirements.txt"
        files[environment].write_text(text, encoding="utf-8")
        listed, pinned = write_bill(environment, files[environment]), len(_PIN.findall(text))
        print(f"sbom: {environment}: {listed} components")
        if listed != pinned:
            print(f"sbom: the locks of {environment} name {pinned}: the bill is not complete")
            return 1
    service = reachable_service()
    if service is None:
        print("audit: not checked: no vulnerability database reachable")
        return 0
    holes = [hole for name, file in files.items() for hole in known_holes(name, file, service)]
    for hole in holes:
        print(f"audit: {hole}")
    print(f"audit: {len(holes)} known holes ({service})")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
