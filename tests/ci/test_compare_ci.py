"""What `ci/compare` offers to others: its files fit their systems' schemas, and its steps run.

The action's steps run here as a runner runs them: expressions are put in, outputs and the summary
are files. The release comes from a server on this machine, packed as `make dist` packs it.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "ci" / "compare"
BINARY = ROOT / "target" / "release" / "mini-omni"
BUNDLED = ROOT / "onnx" / "mini-omni-small"
GOLDENS = ROOT / "tests" / "fixtures" / "bundled"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
TARGET = f"{platform.machine()}-unknown-linux-gnu"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
COMPARED = "always() && steps.compare.outcome != 'skipped'"
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="release archives for other systems are packed on those"
)


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-actions", "ci/compare/action.yml"),
        ("gitlab-ci", "ci/compare/gitlab.yml"),
        ("github-workflows", ".github/workflows/ci.yml"),
        ("github-workflows", ".github/workflows/release.yml"),
    ],
)
def test_files_fit_their_systems_schemas(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, ROOT / file], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_versions_are_pinned():
    for file in [ACTION / "action.yml", *(ROOT / ".github" / "workflows").iterdir()]:
        for used in re.findall(r"uses: (\S+)", re.sub(r"(?m)^\s*#.*", "", file.read_text())):
            assert PINNED.fullmatch(used) or used.startswith("./"), f"{file}: {used}"
    assert action()["inputs"]["version"]["default"] == VERSION
    assert gitlab()["variables"]["VERSION"] == VERSION


def action() -> dict:
    """The action as its runner reads it."""
    return yaml.safe_load((ACTION / "action.yml").read_text())


def gitlab() -> dict:
    """The job of the snippet."""
    return yaml.safe_load((ACTION / "gitlab.yml").read_text())["mini-omni-compare"]


@dataclass
class Runner:
    """As much of a runner as the action needs."""

    place: Path
    known: dict[str, str]
    code: int = 0
    log: str = ""
    used: list[str] = field(default_factory=list)
    compared: bool = False

    def run(self) -> None:
        """Every step; after one that failed those that run whether the comparison failed or not."""
        for step in action()["runs"]["steps"]:
            assert step.get("if") in (None, COMPARED)
            if self.code and (step.get("if") is None or not self.compared):
                continue
            self.compared |= step.get("id") == "compare"
            if "uses" in step:
                self.used.append(step["uses"])
            else:
                self._run(step)

    def _run(self, step: dict) -> None:
        assert step["shell"] == "bash"
        output = self.place / "output"
        output.write_text("")
        env = {name: self.put_in(value) for name, value in step["env"].items()}
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.place / "summary")}
        assert not EXPRESSION.search(step["run"]), "an input would be read as a command"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            env=os.environ | env | files, cwd=self.place, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        self.log += done.stdout + done.stderr
        self.code = self.code or done.returncode
        for line in output.read_text().splitlines():
            name, value = line.split("=", 1)
            self.known[f"steps.{step['id']}.outputs.{name}"] = value

    def put_in(self, value: str) -> str:
        """The value of an expression; an unknown one is an error."""
        return EXPRESSION.sub(lambda found: self.known[found[1]], str(value))


def runner(place: Path, model: Path, server: str = "", **given: str) -> Runner:
    """A runner whose step uses the action with these inputs."""
    given = {"model": str(model), "reference": str(GOLDENS / "recording"),
             "gates": str(GOLDENS / "gates.toml")} | given  # fmt: skip
    inputs = {name: given.get(name, spec.get("default", "")) for name, spec in
              action()["inputs"].items()}  # fmt: skip
    known = {f"inputs.{name}": value for name, value in inputs.items()}
    known |= {"github.action_path": str(ACTION), "github.server_url": server,
              "github.action_repository": "owner/mini-omni",
              "runner.temp": str(place / "temp")}  # fmt: skip
    return Runner(place, known)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> str:
    """The address of a server that has this version as a release."""
    root = tmp_path_factory.mktemp("server")
    folder = root / "owner" / "mini-omni" / "releases" / "download" / f"v{VERSION}"
    pack = [sys.executable, ROOT / "release" / "pack.py", TARGET, BINARY, ROOT / ".onnxruntime"]
    subprocess.run([*pack, folder], check=True, stdout=subprocess.DEVNULL)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=root)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def check_results(place: Path, fallen: bool) -> None:
    """Results of the comparison for machines and people."""
    report = place / "mini-omni-report"
    suite = ElementTree.parse(report / "junit.xml").getroot()
    assert bool(list(suite.iter("failure"))) == fallen
    assert (place / "summary").read_text() == (report / "compare.md").read_text()
    assert "<html" in (report / "compare.html").read_text()


@needs_linux
def test_the_action_gets_the_release_and_finds_the_model_as_it_was(tmp_path, release):
    found = runner(tmp_path, BUNDLED, release)
    found.run()
    assert found.code == 0, found.log
    check_results(tmp_path, fallen=False)
    assert [used.split("@")[0] for used in found.used] == ["actions/upload-artifact"]


@needs_linux
def test_another_archive_than_the_pinned_one_is_not_unpacked(tmp_path, release):
    found = runner(tmp_path, BUNDLED, release, sha256="0" * 64)
    found.run()
    assert found.code == 2 and "it is not unpacked" in found.log
    assert not [path for path in (tmp_path / "temp" / "mini-omni").iterdir() if path.is_dir()]
    assert not (tmp_path / "mini-omni-report").exists()


def fetched(place: Path, release: str, **env: str) -> subprocess.CompletedProcess:
    """What fetch.sh does with these variables."""
    releases = f"{release}/owner/mini-omni/releases/download"
    env = {"RELEASES": releases, "VERSION": VERSION, "FOLDER": str(place)} | env
    return subprocess.run(["bash", ACTION / "fetch.sh"], env=os.environ | env, check=False,
                          capture_output=True, text=True)  # fmt: skip


@needs_linux
def test_a_sum_may_be_written_as_other_programs_write_it(tmp_path, release):
    found = fetched(tmp_path / "plain", release)
    assert found.returncode == 0, found.stderr
    sums = (tmp_path / "plain" / "SHA256SUMS").read_text().split()
    pinned = sums[sums.index(f"mini-omni-{VERSION}-{TARGET}.tar.gz") - 1]
    found = fetched(tmp_path / "pinned", release, SHA256=f" {pinned.upper()}\n")
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).is_file()


@needs_linux
@pytest.mark.parametrize("line", ["{sum} *{name}\r\n", "{SUM}  {name}\n"])
def test_a_list_of_sums_may_come_from_windows(tmp_path, release, line):
    server = tmp_path / "release"
    folder = server / f"v{VERSION}"
    folder.mkdir(parents=True)
    name = f"mini-omni-{VERSION}-{TARGET}.tar.gz"
    fetched(tmp_path / "first", release)
    shutil.copy(tmp_path / "first" / name, folder)
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_bytes(
        line.format(sum=found, SUM=found.upper(), name=name).encode()
    )
    found = fetched(tmp_path / "second", release, RELEASES=server.as_uri())
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"VERSION": "v1.2.3"}, "without a v"),
        ({"VERSION": "../1.2.3"}, "a number such as 1.2.3"),
        ({"SHA256": "abc"}, "64 hexadecimal digits are needed"),
    ],
)
@needs_linux
def test_what_is_no_version_and_no_sum_is_refused(tmp_path, release, env, why):
    found = fetched(tmp_path, release, **env)
    assert found.returncode == 2 and why in found.stderr and not found.stdout


@pytest.mark.parametrize("name", ["MODEL", "REFERENCE", "GATES", "REPORT"])
@pytest.mark.parametrize(("value", "why"), [("--help", "read as an option"), ("", "is empty")])
def test_what_would_be_read_as_an_option_is_refused(tmp_path, name, value, why):
    env = {"PROGRAM": "true", "MODEL": "a", "REFERENCE": "b", "GATES": "c",
           "REPORT": str(tmp_path)} | {name: value}  # fmt: skip
    found = subprocess.run(["bash", ACTION / "compare.sh"], env=os.environ | env, check=False,
                           cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert found.returncode == 2 and f"{name} is " in found.stderr and why in found.stderr


def test_results_of_an_earlier_run_are_not_taken_for_this_ones(tmp_path):
    report = tmp_path / "mini-omni-report"
    report.mkdir()
    (report / "compare.md").write_text("all gates hold")
    (report / "junit.xml").write_text("<testsuites/>")
    found = runner(tmp_path, tmp_path / "nowhere", program=str(BINARY))
    found.run()
    assert found.code == 2 and not list(report.iterdir())
    (report / "compare.md").write_text("all gates hold")
    found = runner(tmp_path, tmp_path / "nowhere", "http://127.0.0.1:1", version="v1")
    found.run()
    assert found.code == 2 and found.used == []
    assert not (tmp_path / "summary").exists()


def test_a_damaged_model_fails_the_job_which_still_shows_why(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(BUNDLED, model)
    weights = bytearray((model / "decoder.onnx.data").read_bytes())
    middle = len(weights) // 2
    weights[middle : middle + 100_000] = bytes(100_000)
    (model / "decoder.onnx.data").write_bytes(weights)
    found = runner(tmp_path, model, program=str(BINARY), options="--threads 2")
    found.run()
    assert found.code == 1 and "gate prompt-logits.error fell" in found.log, found.log
    check_results(tmp_path, fallen=True)


@needs_linux
def test_the_gitlab_jobs_lines_run_as_they_stand(tmp_path, release):
    repository = tmp_path / "mini-omni"
    shutil.copytree(ACTION, repository / "ci" / "compare")
    git = ["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", f"v{VERSION}"]):
        subprocess.run([*git, *words], check=True)
    job = gitlab()
    variables = {name: str(value) for name, value in job["variables"].items()}
    variables |= {"MODEL": str(BUNDLED), "REFERENCE": str(GOLDENS / "recording"),
                  "GATES": str(GOLDENS / "gates.toml"), "REPOSITORY": f"file://{repository}",
                  "RELEASES": f"{release}/owner/mini-omni/releases/download",
                  "FOLDER": str(tmp_path / "unpacked")}  # fmt: skip
    lines = "\n".join(job["script"]).replace("/tmp/scripts", str(tmp_path / "scripts"))
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", lines], env=os.environ | variables,
                          cwd=tmp_path, check=False, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mini-omni-report" / "junit.xml").exists()
    assert job["artifacts"]["when"] == "always"
