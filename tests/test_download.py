from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chargen.errors import ChargenError
from chargen.text import download as module
from chargen.text.download import download, extract, strip_spaces

CONTENT = bytes(range(256)) * 1000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A web server that cuts the connection after so many bytes, as often as the list says."""

    address: str = ""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True  # whether it can begin in the middle
    raw: bytes = b""  # sent instead of an answer
    endless: bool = False  # whether the file never ends
    asked: list[str | None] = field(default_factory=list)  # the Range of each request

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.asked.append(wanted)
        if self.raw:
            handler.wfile.write(self.raw)
            return
        if self.endless:
            handler.send_response(200)
            handler.end_headers()
            with contextlib.suppress(OSError):  # the client had enough
                while True:
                    handler.wfile.write(CONTENT)
        if handler.path != "/file":
            handler.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if start >= len(CONTENT):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(CONTENT) - start))
        handler.end_headers()
        handler.wfile.write(CONTENT[start:][: self.cuts.pop(0) if self.cuts else None])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE", 0)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}/file"
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield state
        http.shutdown()


@pytest.mark.parametrize("digest", [SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest()])
def test_a_file_arrives_whole_and_progress_is_told(server: Server, tmp_path: Path, digest: str) -> None:
    told: list[tuple[int, int | None]] = []
    download(server.address, tmp_path / "file", digest=digest, progress=lambda *bytes: told.append(bytes))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [so_far for so_far, _ in told] == sorted({so_far for so_far, _ in told})
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_cut_connection_goes_on_where_it_was_cut(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    download(server.address, tmp_path / "file", digest=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_cannot_begin_in_the_middle_begins_again(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = [100_000], False
    download(server.address, tmp_path / "file", digest=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_later_call_goes_on_after_too_many_cuts(server: Server, tmp_path: Path) -> None:
    server.cuts = [10_000] * module.ATTEMPTS
    with pytest.raises(ChargenError, match=r"was cut 4 times \(after 40,000 of 256,000 bytes\): run it again"):
        download(server.address, tmp_path / "file", digest=SHA256)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:40_000]
    download(server.address, tmp_path / "file", digest=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=40000-"


def test_a_part_that_is_already_whole_is_enough(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(server.address, tmp_path / "file", digest=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("before", [b"", b"of another file"])
def test_nothing_is_kept_of_a_wrong_file(server: Server, tmp_path: Path, before: bytes) -> None:
    digest = SHA256 if before else "sha256:" + 64 * "0"
    (tmp_path / "file.part").write_bytes(before)
    with pytest.raises(ChargenError, match=r"gave another file than expected.*nothing of it was kept"):
        download(server.address, tmp_path / "file", digest=digest)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_the_file_says_so(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="/none cannot be downloaded, the server answers 404 Not Found"):
        download(server.address.replace("/file", "/none"), tmp_path / "file", digest=SHA256)
    assert len(server.asked) == 1


@pytest.mark.parametrize("size", [1000, len(CONTENT) - 1, None])
@pytest.mark.parametrize("endless", [True, False])
def test_more_than_expected_is_not_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, endless: bool
) -> None:
    server.endless = endless
    monkeypatch.setattr(module, "MOST_BYTES", 70_000)
    told: list[int] = []
    with pytest.raises(ChargenError, match=f"gave more than the {size or 70_000:,} bytes expected: nothing of it"):
        download(
            server.address,
            tmp_path / "file",
            digest=SHA256,
            size=size,
            progress=lambda so_far, _: told.append(so_far),
        )
    assert max(told) <= (size or 70_000)
    assert list(tmp_path.iterdir()) == []


def test_a_known_size_tells_that_the_connection_was_cut(server: Server, tmp_path: Path) -> None:
    server.raw = b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT[:10]
    with pytest.raises(ChargenError, match=r"was cut 4 times \(after 10 of 256,000 bytes\)"):
        download(server.address, tmp_path / "file", digest=SHA256, size=len(CONTENT))


def test_nothing_is_written_through_a_link(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "file.part").symlink_to("mine")
    with pytest.raises(ChargenError, match=r"file\.part is no file of chargen's but a link.*delete it"):
        download(server.address, tmp_path / "file", digest=SHA256)
    assert (tmp_path / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"200 OK\r\nContent-Length: abc\r\n\r\nhello", "gave another file than expected"),
        (b"200 OK\r\nContent-Length: -5\r\n\r\nhello", "gave another file than expected"),
        (b"416 No\r\n\r\n", "cannot be downloaded, the server answers 416 No"),
        (b"302 Found\r\n\r\n", "cannot be downloaded, the server answers 302 Found"),
        (b"302 Found\r\nLocation: http://[bad\r\n\r\n", "leads to none"),
        (b"302 Found\r\nLocation: http://" + b"a" * 300 + b".com\r\n\r\n", "leads to none"),
    ],
)
def test_odd_answers_are_one_sentence(server: Server, tmp_path: Path, raw: bytes, sentence: str) -> None:
    server.raw = b"HTTP/1.1 " + raw
    with pytest.raises(ChargenError, match=sentence):
        download(server.address, tmp_path / "file", digest=SHA256)


def test_an_address_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="nonsense is no web address"):
        download("nonsense", tmp_path / "file", digest=SHA256)


def test_no_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ChargenError, match=r"cannot be reached \(Connection refused\): check the network"):
        download(f"http://127.0.0.1:{port}/file", tmp_path / "file", digest=SHA256)


def test_a_silent_server_is_a_cut_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ChargenError, match=r"cut 4 times \(timed out\)"),
    ):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/file", tmp_path / "file", digest=SHA256)


def test_extract_writes_the_one_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr("inside", CONTENT)
    extract(tmp_path / "file.zip", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_strip_spaces_takes_one_from_each_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "spaced").write_bytes(b" the cat \n  sat  \nthere\n\n")
    strip_spaces(tmp_path / "spaced", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"the cat\n sat \nthere\n\n"
