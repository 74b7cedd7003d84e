"""The container image, its compose file, and an installation without torch."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

yaml = pytest.importorskip("yaml", reason="reads compose.yaml: pip install pyyaml")

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the test's own server
LEFT_OUT = {"torch", "kornia"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

Stage = list[tuple[str, str]]
"""Instructions and their arguments, in order."""


def stages() -> list[Stage]:
    """The stages of the Dockerfile, without comments; lines before the first FROM belong to none."""
    text = "".join(
        line for line in (ROOT / "Dockerfile").read_text().splitlines(keepends=True) if not line.startswith("#")
    )
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if name and found:
            found[-1].append((name, rest))
    return found


def arguments(stage: Stage, instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def requirements(path: str) -> list[Requirement]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_the_image_runs_unprivileged_and_checks_its_health() -> None:
    final = stages()[-1]
    assert arguments(final, "USER") == ["10001:10001"]
    names = [name for name, _ in final]
    assert "RUN" not in names[names.index("USER") :]
    assert len(arguments(final, "HEALTHCHECK")) == 1
    assert "'/health'" in arguments(final, "HEALTHCHECK")[0]
    assert json.loads(arguments(final, "ENTRYPOINT")[0]) == ["anti-i2v", "serve", "--host", "0.0.0.0"]  # noqa: S104  # inside a container
    assert arguments(final, "VOLUME") == ["/data"]
    assert "TOKEN" not in " ".join(rest for _, rest in final)


def test_the_image_copies_exactly_the_files_that_dockerignore_allows() -> None:
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in lines
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    sources = [source for rest in arguments(stages()[0], "COPY") for source in rest.split()[:-1]]
    assert sorted(sources) == sorted(allowed)
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_every_dependency_except_torchs_is_pinned_to_an_allowed_version() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(each for name in ("server", "heif", "cpu", "gpu") for each in extras[name])]
    pins: dict[str, list[Requirement]] = {}
    for pin in requirements("server/constraints.txt"):
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    assert not set(pins) & LEFT_OUT
    for each in map(Requirement, wanted):
        name = canonicalize_name(each.name)
        if name in LEFT_OUT:
            continue
        assert name in pins, f"{name}: recompile server/constraints.txt as its header says"
        for pin in pins[name]:
            [only] = pin.specifier
            assert only.operator == "=="
            assert each.specifier.contains(only.version, prereleases=True), f"{pin} is not {each}"


def test_torch_and_kornia_are_left_out_on_every_python() -> None:
    overrides = requirements("server/without-torch.txt")
    assert {each.name for each in overrides} == LEFT_OUT
    assert not any(each.marker is None or each.marker.evaluate({"python_version": "3.13"}) for each in overrides)


@pytest.fixture
def service() -> dict[str, Any]:
    [only] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    return dict(only)


def test_compose_publishes_only_to_this_machine_and_needs_a_token(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["environment"]["ANTI_I2V_TOKEN"].startswith("${ANTI_I2V_TOKEN:?")
    assert "network_mode" not in service


def test_compose_gives_the_container_no_more_than_it_needs(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == service["memswap_limit"]  # a photo is not swapped out to a disk
    assert not {"privileged", "cap_add", "devices", "user"} & set(service)
    assert all(not volume.startswith(("/", ".")) for volume in service["volumes"])


def reachable(host: str) -> bool:
    try:
        socket.create_connection((host, 443), timeout=10).close()
    except OSError:
        return False
    return True


def run_shell(command: str, folder: Path, variables: dict[str, str]) -> None:
    made = subprocess.run(["bash", "-euc", command], cwd=folder, env=variables, capture_output=True, text=True)  # noqa: S603, S607  # the Dockerfile's
    assert made.returncode == 0, made.stderr[-2000:]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder that the Dockerfile's first stage fills, filled by the same instructions."""
    if shutil.which("bash") is None or not reachable("pypi.org"):
        pytest.skip("installs from the package index, which cannot be reached")
    source = tmp_path / "src"
    source.mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    for name, rest in stages()[0]:
        if name == "ARG":
            variables.update([rest.split("=", 1)])
        elif name == "ENV":
            variables.update(pair.split("=", 1) for pair in shlex.split(rest))
        elif name == "COPY":
            *files, target = rest.split()
            for file in files:
                to = source / target / Path(file).name if target.endswith("/") else source / target
                to.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / file).is_dir():
                    shutil.copytree(ROOT / file, to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / file, to)
        elif name == "RUN":
            here = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", rest.replace("/opt/", f"{tmp_path}/opt/"))
            run_shell(here, source, variables)
    return tmp_path / "opt" / "anti-i2v"


@pytest.fixture
def server(installed: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of a server that the installed command runs."""
    variables = {**os.environ, "ANTI_I2V_HOME": str(tmp_path / "home"), "ANTI_I2V_TOKEN": TOKEN}
    variables.pop("PYTHONPATH", None)
    command = [str(installed / "bin" / "anti-i2v"), "serve", "--port", "0"]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables)  # noqa: S603  # installed just now
    try:
        output = []
        for line in process.stdout or ():
            output.append(line)
            if line.startswith("Ready"):
                break
        assert output, (tmp_path / "log.txt").read_text()
        yield output[0].split()[2]
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the image's commands are for a POSIX shell")
def test_what_the_dockerfile_installs_protects_a_photo_and_has_no_torch(installed: Path, server: str) -> None:
    packages = {path.name.lower() for path in installed.glob("lib/python3*/site-packages/*")}
    assert not packages & LEFT_OUT
    assert "onnxruntime" in packages
    request = urllib.request.Request(  # noqa: S310  # the test's own server
        f"{server}/v1/protect?recipe=draft",
        data=(ROOT / "tests" / "data" / "chelsea.jpg").read_bytes(),
        headers={"authorization": f"Bearer {TOKEN}", "content-type": "image/jpeg"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as reply:
        assert reply.status == 200
        assert reply.read(2) == b"\xff\xd8"
        receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert receipt["budgetSpent"] > 0
    assert receipt["shift"]["embedded"][0] > receipt["shift"]["embedded"][1]
