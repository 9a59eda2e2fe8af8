"""`--published`: the three published checkpoints, fetched once and checked on every use.

Mini-Omni and SNAC come from the Hugging Face hub by its own client (HF_ENDPOINT, HF_TOKEN, HF_HOME
and HF_HUB_OFFLINE mean what they always mean), Whisper from the address its authors published. All
three go on from where a cut download stopped, and none takes more bytes than were published. A file
counts only once its size and sha256 are those that were published; one that differs is removed, so
that it is never mistaken for a good one.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .errors import ExportError
from .progress import bar, is_watched

PIECE = 1 << 20  # bytes read at a time
TIMEOUT = 30  # seconds without a byte before a connection counts as cut
ATTEMPTS = 5  # in a row without a new byte
WHISPER_URL = "MINI_OMNI_WHISPER_URL"  # environment: another address for the Whisper file


@dataclass(frozen=True)
class File:
    """A published file; `bytes` and `sha256` are None where its authors fixed none.

    `most` bytes are taken from a server where `bytes` does not say how many there are.
    """

    name: str
    sha256: str | None = None
    bytes: int | None = None
    most: int = 1 << 16

    @property
    def limit(self) -> int:
        return self.most if self.bytes is None else self.bytes


@dataclass(frozen=True)
class Repo:
    """Files of one repository on the hub, all of one revision."""

    id: str
    revision: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Table:
    """What is published where."""

    mini_omni: Repo
    snac: Repo
    whisper: File
    whisper_url: str


WHISPER_SHA256 = "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794"
PUBLISHED = Table(
    mini_omni=Repo(
        "gpt-omni/mini-omni",
        "main",
        (
            File("model_config.yaml"),
            File("tokenizer.json", most=64 << 20),
            File("tokenizer_config.json"),
            File(
                "lit_model.pth",
                sha256="97fbcf5093ffe42f5015b10a70ff383a88e280e66b1c814c78656fb29cd600b6",
                most=2_800_000_000,
            ),
        ),
    ),
    snac=Repo(
        "hubertsiuzdak/snac_24khz",
        "d73ad176a12188fcf4f360ba3bf2c2fbbe8f58ec",
        (
            File(
                "config.json",
                sha256="e119b9366d4f5e73c6ca5f31137c4ff361578bbb132953a5203afe037c4012be",
            ),
            File(
                "pytorch_model.bin",
                sha256="4b8164cc6606bfa627f1a784734c1e539891518f1191ed9194fe1e3b9b4bff40",
                most=80_000_000,
            ),
        ),
    ),
    whisper=File("small.pt", WHISPER_SHA256, 483_617_219),
    whisper_url=(
        f"https://openaipublic.azureedge.net/main/whisper/models/{WHISPER_SHA256}/small.pt"
    ),
)


@dataclass(frozen=True)
class PublishedFiles:
    """Where the published files lie on this machine."""

    checkpoint: Path  # folder with lit_model.pth, model_config.yaml, tokenizer.json
    whisper: Path  # small.pt
    snac: Path  # folder with config.json, pytorch_model.bin

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """In the order of the command line's --checkpoint, --whisper, --snac."""
        return self.checkpoint, self.whisper, self.snac


def fetch(cache_dir: Path | None = None, table: Table = PUBLISHED) -> PublishedFiles:
    """Fetches what is not here yet and checks everything; 3.3 GB the first time.

    `cache_dir` is the hub's own cache where not given. Raises ExportError with a sentence when a
    file cannot be had or is not the published one.
    """
    return PublishedFiles(
        checkpoint=_fetch_repo(table.mini_omni, cache_dir),
        whisper=_fetch_whisper(table, cache_dir),
        snac=_fetch_repo(table.snac, cache_dir),
    )


def _fetch_repo(repo: Repo, cache_dir: Path | None) -> Path:
    """The folder that holds the files of `repo`."""
    revision, folder = repo.revision, None
    for file in repo.files:
        path = _hub_download(repo.id, revision, file, cache_dir)
        check(path, file, f"{repo.id} on the hub")
        # A branch may move between two downloads: the others are of the first one's commit.
        folder = path.parent
        revision = folder.name
    assert folder is not None, "a repository in the table has files"
    return folder


def _hub_download(repo: str, revision: str, file: File, cache_dir: Path | None) -> Path:
    from huggingface_hub import constants, hf_hub_download

    watch = type("Watch", (_Watch,), {"file": file, "origin": f"{repo} on the hub"})
    try:
        return Path(hf_hub_download(
            repo, file.name, revision=revision, cache_dir=cache_dir, tqdm_class=watch
        ))
    except ExportError:
        raise
    except Exception as error:  # by version the hub's client raises errors of three HTTP libraries
        if constants.HF_HUB_OFFLINE:
            raise _offline(f"{file.name} of {repo}") from error
        raise ExportError(
            f"{file.name} of {repo} cannot be fetched from {constants.ENDPOINT}: "
            f"{_first_line(error)}. Check the network (HF_ENDPOINT names a mirror, HF_TOKEN an "
            "access token) and run the same command again: it goes on where it stopped"
        ) from error


class _Watch(tqdm):
    """The bar of a hub's download, which sees every piece before it is written: it ends a file that
    is larger than it may be. Silent where there is no terminal."""

    file: File
    origin: str

    def __init__(self, *arguments, name: str | None = None, **options) -> None:
        super().__init__(*arguments, **options | {"disable": not is_watched()})
        self.taken = 0
        self.take(options.get("total") or 0)  # as announced
        self.taken = options.get("initial") or 0

    def update(self, n: float | None = 1) -> bool | None:
        self.take(n or 0)
        return super().update(n)

    def take(self, n: float) -> None:
        self.taken += n
        if self.taken > self.file.limit:
            raise _too_large(self.file, self.origin, int(self.taken))


def _offline(what: str) -> ExportError:
    return ExportError(
        f"{what} is not on this machine and HF_HUB_OFFLINE forbids fetching it; unset it once, or "
        "give the files by --checkpoint, --whisper and --snac"
    )


def _first_line(error: BaseException) -> str:
    """What went wrong; without network the hub's client hides that behind its empty cache."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _fetch_whisper(table: Table, cache_dir: Path | None) -> Path:
    from huggingface_hub import constants

    folder = cache_dir or Path(constants.HF_HOME) / "mini-omni"
    path, file = folder / "whisper" / table.whisper.name, table.whisper
    url = os.environ.get(WHISPER_URL) or table.whisper_url
    if path.is_file():
        check(path, file, url)
        return path
    if constants.HF_HUB_OFFLINE:
        raise _offline(f"Whisper's {file.name}")
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(url, part, file)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ExportError(
            f"Whisper's {file.name} cannot be fetched from {url}: {_first_line(error)}. Check the "
            f"network ({WHISPER_URL} names a mirror) and run the same command again: it goes on "
            "where it stopped"
        ) from error
    check(part, file, url)
    part.rename(path)
    return path


def download(url: str, part: Path, file: File) -> None:
    """Fetches `url` into `part`, going on where `part` ends and again after each cut.

    Raises OSError or HTTPException when ATTEMPTS in a row brought nothing.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            _append(url, part, file)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):  # asking again does not help
                raise
            failures, cut = failures + 1, error
        except (OSError, http.client.HTTPException) as error:
            failures, cut = (0 if _size(part) > before else failures + 1), error
        if failures == ATTEMPTS:
            raise cut
        time.sleep(0.1 * 3**failures)


def _append(url: str, part: Path, file: File) -> None:
    """One connection's worth of `url`; raises ConnectionError when it ended before its end."""
    start = _size(part)
    if start and start == file.bytes:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing behind `start`: whole already, or of another file
            raise
        if error.headers.get("Content-Range") != f"bytes */{start}":
            part.unlink()
            raise ConnectionError("the part on disk does not fit the file on the server") from error
        return
    with response:
        if response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _write(response, part, start, file)
        else:  # a server without ranges sends the file from its beginning
            _write(response, part, 0, file)


def _write(response: http.client.HTTPResponse, part: Path, start: int, file: File) -> None:
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    taken = total or start
    with (bar(desc=file.name, total=total, initial=start) as shown,
          open(part, "ab" if start else "wb") as out):
        while taken <= file.limit and (piece := response.read(PIECE)):
            out.write(piece)
            shown.update(len(piece))
            taken = max(taken, out.tell())
    if taken > file.limit:
        part.unlink()
        raise _too_large(file, response.url, taken)
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection was cut after {_size(part)} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def check(path: Path, file: File, origin: str) -> None:
    """Holds a fetched file against the published size and sha256; removes it if it differs."""
    if file.bytes is not None and (found := _size(path)) != file.bytes:
        raise _wrong(path, file, origin, f"{file.bytes} bytes", f"{found}")
    if file.sha256 is not None and (found := _sha256(path, file.name)) != file.sha256:
        raise _wrong(path, file, origin, f"sha256 {file.sha256}", found)


def _wrong(path: Path, file: File, origin: str, expected: str, found: str) -> ExportError:
    """The file is removed, in the hub's cache with the blob that it links to; a link to anywhere
    else is the user's own, and what it leads to stays."""
    target = path.resolve()
    path.unlink(missing_ok=True)
    if target.parent.name == "blobs":
        target.unlink(missing_ok=True)
    return _not_published(file, origin, expected, found)


def _too_large(file: File, origin: str, found: int) -> ExportError:
    expected = f"{file.limit} bytes" if file.bytes else f"at most {file.limit} bytes"
    return _not_published(file, origin, expected, f"{found}")


def _not_published(file: File, origin: str, expected: str, found: str) -> ExportError:
    return ExportError(
        f"{file.name} from {origin} is not the published file: expected {expected}, found {found}. "
        "It was removed; run the same command again to fetch it afresh. If that does not help, the "
        f"mirror (HF_ENDPOINT, {WHISPER_URL}) serves another file"
    )


def _sha256(path: Path, name: str) -> str:
    digest = hashlib.sha256()
    shown = bar(desc=f"check {name}", total=_size(path), leave=False)
    with shown, open(path, "rb") as data:
        while piece := data.read(PIECE):
            digest.update(piece)
            shown.update(len(piece))
    return digest.hexdigest()
