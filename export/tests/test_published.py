"""Fetching the published files: from a hub on loopback, through cuts and wrong files.

The hub's client reads its environment once, so `fetch` runs in a process of its own, as it does for
a person.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hub_server import Hub, Server

from mini_omni_export import published
from mini_omni_export.published import PUBLISHED, File, Repo, Table

MINI_OMNI, SNAC = PUBLISHED.mini_omni.id, PUBLISHED.snac.id
COMMIT, SNAC_COMMIT = "1" * 40, PUBLISHED.snac.revision
WHISPER_PATH = "/whisper/small.pt"
MIB = 1 << 20
HUB_PIECE = 10 * MIB  # what the hub's client keeps at a time, so what a cut leaves

FETCH = """
import json, sys
from pathlib import Path
from mini_omni_export.errors import ExportError
from mini_omni_export.published import File, Repo, Table, fetch

def repo(raw):
    return Repo(raw["id"], raw["revision"], tuple(File(**file) for file in raw["files"]))

raw = json.loads(sys.argv[1])
table = Table(repo(raw["mini_omni"]), repo(raw["snac"]), File(**raw["whisper"]), raw["whisper_url"])
try:
    print(json.dumps([str(path) for path in fetch(table=table).paths]))
except ExportError as error:
    sys.exit(f"error: {error}")
"""


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def sized(file: File, data: bytes) -> File:
    """The table's entry for a file of our own."""
    return replace(file, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


@pytest.fixture
def hub():
    """The published repositories with other, small contents."""
    files = {file.name: noise(i, 1000) for i, file in enumerate(PUBLISHED.mini_omni.files)}
    snac = {file.name: noise(9 + i, 500) for i, file in enumerate(PUBLISHED.snac.files)}
    return Hub(
        repos={MINI_OMNI: {COMMIT: files}, SNAC: {SNAC_COMMIT: snac}},
        branches={MINI_OMNI: COMMIT},
        files={WHISPER_PATH: noise(20, 3 * MIB)},
    )


class Person:
    """Someone with a home of their own who fetches from a server."""

    def __init__(self, hub: Hub, server: Server, home: Path) -> None:
        self.hub, self.server, self.home = hub, server, home
        self.table = self._table()

    def _table(self) -> Table:
        def of(repo: Repo, commit: str) -> Repo:
            data = self.hub.repos[repo.id][commit]
            return replace(repo, files=tuple(sized(f, data[f.name]) for f in repo.files))

        return Table(
            of(PUBLISHED.mini_omni, COMMIT), of(PUBLISHED.snac, SNAC_COMMIT),
            sized(PUBLISHED.whisper, self.hub.files[WHISPER_PATH]), "http://127.0.0.1:9/no/small.pt",
        )

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess:
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env = {k: v for k, v in kept.items() if not k.startswith("HF_")} | {
            "HF_ENDPOINT": self.server.url, "HF_HOME": str(self.home),
            published.WHISPER_URL: self.server.url + WHISPER_PATH,
        } | settings
        return subprocess.run(
            [sys.executable, *command], env=env, capture_output=True, text=True, timeout=120
        )

    def fetch(self, **settings: str) -> list[Path]:
        done = self.run("-c", FETCH, json.dumps(asdict(self.table)), **settings)
        assert done.returncode == 0, done.stderr
        return [Path(path) for path in json.loads(done.stdout)]

    def refused(self, **settings: str) -> str:
        """What a fetch that must fail says, in one line."""
        done = self.run("-c", FETCH, json.dumps(asdict(self.table)), **settings)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        return done.stderr[done.stderr.rindex("error: ") :].strip()

    def files(self, name: str) -> list[Path]:
        return sorted(self.home.rglob(name))


@pytest.fixture
def person(hub, tmp_path):
    with Server(hub) as server:
        yield Person(hub, server, tmp_path / "home")


def test_all_files_are_fetched_once(hub, person):
    checkpoint, whisper, snac = person.fetch()
    for name, data in hub.repos[MINI_OMNI][COMMIT].items():
        assert (checkpoint / name).read_bytes() == data
    for name, data in hub.repos[SNAC][SNAC_COMMIT].items():
        assert (snac / name).read_bytes() == data
    assert whisper.read_bytes() == hub.files[WHISPER_PATH]
    hub.asked.clear()
    assert person.fetch() == [checkpoint, whisper, snac]
    assert not hub.downloads()


def test_a_cut_hub_download_goes_on_where_it_stopped(hub, person):
    weights = hub.repos[MINI_OMNI][COMMIT]["lit_model.pth"] = noise(5, HUB_PIECE + 2 * MIB)
    person.table = person._table()
    hub.cuts = {f"/{MINI_OMNI}/resolve/{COMMIT}/lit_model.pth": [HUB_PIECE + MIB]}
    checkpoint, *_ = person.fetch()
    assert (checkpoint / "lit_model.pth").read_bytes() == weights
    assert [get.get("range") for get in hub.gets("lit_model.pth")] == [None, f"bytes={HUB_PIECE}-"]


def test_a_cut_whisper_download_goes_on_where_it_stopped(hub, person):
    hub.cuts = {WHISPER_PATH: [MIB + 7, MIB]}
    _, whisper, _ = person.fetch()
    assert whisper.read_bytes() == hub.files[WHISPER_PATH]
    ranges = [get.get("range") for get in hub.gets(WHISPER_PATH)]
    assert ranges == [None, f"bytes={MIB + 7}-", f"bytes={2 * MIB + 7}-"]
    assert not person.files("*.part")


def test_the_next_run_goes_on_where_the_last_one_gave_up(hub, person):
    part = person.home / "mini-omni/whisper/small.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(hub.files[WHISPER_PATH][: 2 * MIB])
    _, whisper, _ = person.fetch()
    assert whisper.read_bytes() == hub.files[WHISPER_PATH]
    assert [get.get("range") for get in hub.gets(WHISPER_PATH)] == [f"bytes={2 * MIB}-"]


def test_a_server_without_ranges_is_read_from_the_beginning(hub, person):
    hub.ranges, hub.cuts = False, {WHISPER_PATH: [MIB]}
    _, whisper, _ = person.fetch()
    assert whisper.read_bytes() == hub.files[WHISPER_PATH]


def test_a_server_that_keeps_failing_is_given_up_and_the_part_kept(
    hub, person, tmp_path, monkeypatch
):
    monkeypatch.setattr(published, "ATTEMPTS", 2)
    hub.cuts = {WHISPER_PATH: [MIB, 0, 0]}
    part = tmp_path / "small.pt.part"
    with pytest.raises(ConnectionError, match=f"cut after {MIB} of {3 * MIB} bytes"):
        published.download(person.server.url + WHISPER_PATH, part, person.table.whisper)
    assert part.stat().st_size == MIB


def test_a_part_longer_than_the_file_is_thrown_away(hub, person, tmp_path):
    part = tmp_path / "small.pt.part"
    part.write_bytes(bytes(4 * MIB))
    published.download(person.server.url + WHISPER_PATH, part, person.table.whisper)
    assert part.read_bytes() == hub.files[WHISPER_PATH]


@pytest.mark.parametrize("name", ["lit_model.pth", "pytorch_model.bin"])
def test_a_wrong_hash_on_the_hub_is_refused_and_the_file_removed(hub, person, name):
    repo, commit = (MINI_OMNI, COMMIT) if name == "lit_model.pth" else (SNAC, SNAC_COMMIT)
    right = hub.repos[repo][commit][name]
    hub.repos[repo][commit][name] = wrong = bytes(len(right))
    said = person.refused()
    expected, found = (hashlib.sha256(data).hexdigest() for data in (right, wrong))
    for word in (name, repo, expected, found, "removed", "run the same command again"):
        assert word in said
    assert not person.files(name) and not person.files(found)
    hub.repos[repo][commit][name] = right
    assert person.fetch()


def test_a_wrong_whisper_file_is_refused_and_removed(hub, person):
    right = hub.files[WHISPER_PATH]
    hub.files[WHISPER_PATH] = right[:-1] + b"?"
    said = person.refused()
    assert "small.pt" in said and hashlib.sha256(right).hexdigest() in said
    assert not person.files("small.pt*")
    hub.files[WHISPER_PATH] = right + b"?"
    assert f"expected {len(right)} bytes, found {len(right) + 1}" in person.refused()
    assert not person.files("small.pt*")
    hub.files[WHISPER_PATH] = right
    assert person.fetch()


def test_a_whisper_file_without_an_end_is_cut_off_at_its_size(hub, person):
    hub.endless = {WHISPER_PATH}
    said = person.refused()
    assert f"expected {len(hub.files[WHISPER_PATH])} bytes, found" in said
    assert not person.files("small.pt*")


def test_a_file_without_an_end_on_the_hub_is_cut_off_at_its_size(hub, person):
    hub.endless = {f"/{MINI_OMNI}/resolve/{COMMIT}/tokenizer.json"}
    said = person.refused()
    assert "tokenizer.json" in said and "expected 1000 bytes" in said
    assert not person.files("*.incomplete")
    hub.endless = set()
    assert person.fetch()


def test_a_file_that_the_hub_announces_as_too_large_is_not_begun(hub, person):
    weights = hub.repos[MINI_OMNI][COMMIT]["lit_model.pth"]
    hub.repos[MINI_OMNI][COMMIT]["lit_model.pth"] = weights * 5000
    assert f"expected {len(weights)} bytes, found {5000 * len(weights)}" in person.refused()
    assert not person.files("*.incomplete")


def test_where_nobody_watches_no_progress_is_shown(person):
    done = person.run("-c", FETCH, json.dumps(asdict(person.table)))
    assert done.returncode == 0
    assert done.stderr == ""


def test_what_a_users_own_link_leads_to_is_never_removed(person, tmp_path):
    _, whisper, _ = person.fetch()
    mine = tmp_path / "mine.pt"
    mine.write_bytes(b"years of work")
    whisper.unlink()
    whisper.symlink_to(mine)
    assert "not the published file" in person.refused()
    assert mine.read_bytes() == b"years of work" and not whisper.is_symlink()


def test_a_file_that_went_bad_on_disk_is_found_before_use(person):
    checkpoint, whisper, _ = person.fetch()
    for path in (whisper, checkpoint / "lit_model.pth"):
        path.write_bytes(bytes(path.stat().st_size))
        assert f"{path.name} from" in person.refused()
        assert not path.exists()
        assert person.fetch()


def test_offline_nothing_is_asked(hub, person):
    said = person.refused(HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in said and "not on this machine" in said
    assert not hub.asked
    paths = person.fetch()
    hub.asked.clear()
    assert person.fetch(HF_HUB_OFFLINE="1") == paths
    assert not hub.asked
    paths[1].unlink()
    assert "small.pt is not on this machine" in person.refused(HF_HUB_OFFLINE="1")


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, person):
    hub.token = "hf_secret"
    said = person.refused()
    assert "HF_TOKEN" in said and "cannot be fetched" in said
    hub.asked.clear()
    assert person.fetch(HF_TOKEN="hf_secret")
    assert all("authorization" in get for get in hub.gets("lit_model.pth"))
    assert all("authorization" not in get for get in hub.gets(WHISPER_PATH))


class MovingBranch(dict):
    """main, which moves on once it has been asked for twice: a file's HEAD and its GET."""

    asked = 0

    def get(self, repo, default=None):
        self.asked += 1
        return super().get(repo, default) if self.asked <= 2 else "2" * 40


def test_all_files_of_a_repository_are_of_one_commit(hub, person):
    hub.branches = MovingBranch(hub.branches)
    hub.repos[MINI_OMNI]["2" * 40] = {name: b"newer" for name in hub.repos[MINI_OMNI][COMMIT]}
    checkpoint, *_ = person.fetch()
    for name, data in hub.repos[MINI_OMNI][COMMIT].items():
        assert (checkpoint / name).read_bytes() == data


def test_a_missing_file_is_named(hub, person):
    whisper = hub.files.pop(WHISPER_PATH)
    url = person.server.url + WHISPER_PATH
    assert f"small.pt cannot be fetched from {url}: HTTP Error 404" in person.refused()
    hub.files[WHISPER_PATH] = whisper
    del hub.repos[SNAC][SNAC_COMMIT]["config.json"]
    assert f"config.json of {SNAC} cannot be fetched from {person.server.url}" in person.refused()


def test_the_command_refuses_what_is_not_published(person, tmp_path):
    out = tmp_path / "model"
    done = person.run("-m", "mini_omni_export", "--published", "--out", str(out))
    assert done.returncode == 2, done.stderr
    assert "error: lit_model.pth" in done.stderr and "not the published file" in done.stderr
    assert PUBLISHED.mini_omni.files[-1].sha256 in done.stderr
    assert not out.exists()
