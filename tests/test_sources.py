from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from commands import SMALL, call
from hypothesis import given
from hypothesis import strategies as st
from processes import TIME_LIMIT

from chargen.errors import ChargenError
from chargen.text import piped, sources
from chargen.text.corpus import CorpusSettings, encode_corpus
from chargen.text.labelled import read_labelled
from chargen.text.sources import Source, fingerprint, left_out, read_text, resolve

TEXT = "Größe\nand some more of it\n" * 50
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".bz2": bz2.compress,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def write(path: Path, content: bytes) -> Source:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Source(path.name, path)


def names(inputs: list[str]) -> list[str]:
    return [source.path.name for source in resolve(inputs)]


def test_a_folder_gives_its_text_files_sorted_without_hidden_and_binary_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt", ".hidden.txt", ".git/config"):
        write(tmp_path / name, b"text")
    write(tmp_path / "picture.png", b"\x89PNG\0\0")
    write(tmp_path / "wide.txt", "wide".encode("utf-16"))
    write(tmp_path / "packed.gz", gzip.compress(b"text"))
    write(tmp_path / "picture.gz", gzip.compress(b"\x89PNG\0\0"))
    assert names([str(tmp_path)]) == ["z.txt", "a.txt", "b.txt", "packed.gz", "wide.txt"]


def test_a_folder_gives_nothing_that_chargen_keeps_in_it(tmp_path: Path, workplace: Path) -> None:
    call("train", "book.txt", "--steps", "3", *SMALL, "--quiet")
    call("train", "book.txt", "--steps", "3", *SMALL, "--quiet", "-o", "runs/other")
    write(Path("data/own.txt"), b"text")
    write(Path("config.json"), b"{}")
    assert Path("checkpoints/book/metrics.jsonl").exists() and list(Path("data/encoded").iterdir())
    assert names(["."]) == names([str(tmp_path)]) == sorted([*names(["*.*"]), "own.txt"])
    assert "config.json" in names(["runs/other"])  # unless it is named itself


def test_patterns_give_what_they_match_and_inputs_keep_their_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "deep/d.txt", "[a].md"):
        write(tmp_path / name, b"text")
    assert names([f"{tmp_path}/c.md", f"{tmp_path}/*.txt"]) == ["c.md", "a.txt", "b.txt"]
    assert names([f"{tmp_path}/**/*.txt"]) == ["a.txt", "b.txt", "d.txt"]
    assert names([f"{tmp_path}/[a].md"]) == ["[a].md"]


def test_each_real_file_is_read_once(tmp_path: Path) -> None:
    for name in ("d/a.txt", "d/deep/b.txt", "d/deep/er/c.txt", "d/.git/config"):
        write(tmp_path / name, b"text")
    (tmp_path / "d/z.txt").symlink_to("a.txt")
    for pattern in ("d", "d/*", "d/**", "d/**/", "d/**/*", "d/**/**/*.txt", "**/*.txt"):
        assert names([str(tmp_path / pattern)]) == ["a.txt", "b.txt", "c.txt"], pattern
    assert names([str(tmp_path / "d/z.txt"), str(tmp_path / "d/a.txt")]) == ["z.txt", "a.txt"]  # as named


def test_links_in_a_circle_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.txt", b"text")
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for pattern in ("**", "**/*", "**/*.txt", "*", "one/**", str(tmp_path / "**")):
        assert names([pattern]) == ["a.txt"], pattern


def test_standard_input_can_be_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    for _ in range(2):
        (source,) = resolve(["-"])
        assert [*read_text([source]), *read_text([source])] == [TEXT, TEXT]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(TEXT, "utf-8"), daemon=True)
    writer.start()
    (source,) = resolve([str(pipe)])
    writer.join(TIME_LIMIT)
    pipe.unlink()  # opened again, it would wait for ever
    assert (source.name, [*read_text([source]), *read_text([source])]) == (str(pipe), [TEXT, TEXT])


def test_an_input_needs_a_name() -> None:
    for empty in ("", " "):
        with pytest.raises(ChargenError, match="an empty name: name a file or folder"):
            resolve([empty])
        with pytest.raises(ChargenError, match="an empty name: name a file or folder"):
            read_labelled([empty])


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such devices here")
def test_devices_are_refused_and_nothing_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(ChargenError, match=f"{device} is a device, not a file"):
            resolve([device])
    with Path("/dev/zero").open("rb") as endless:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
        with pytest.raises(ChargenError, match="standard input is a device, not a file"):
            resolve(["-"])
    with pytest.raises(ChargenError, match="there is no text in /dev/null"):
        list(read_text(resolve(["/dev/null"])))


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no such files here")
def test_files_without_a_size_are_read(data_folder: Path) -> None:
    (source,) = resolve(["/proc/version"])
    assert source.name == "/proc/version" and source.size > 0
    told: list[float] = []
    corpus = encode_corpus(CorpusSettings(inputs=("/proc/version",)), progress=told.append)
    assert corpus.tokenizer.decode(corpus.ids) == Path("/proc/version").read_text() and told[-1] == 1


def test_a_missing_input_names_what_is_near_and_the_corpora(tmp_path: Path) -> None:
    write(tmp_path / "moby-dick.txt", b"text")
    with pytest.raises(ChargenError, match=r"moby-dik.txt.*did you mean .*moby-dick.txt\?.*tinyshakespeare"):
        resolve([str(tmp_path / "moby-dik.txt")])
    with pytest.raises(ChargenError, match="did you mean tinyshakespeare"):
        resolve(["tinyshakespear"])
    with pytest.raises(ChargenError, match="no file, folder or corpus 'nowhere/at/all'"):
        resolve(["nowhere/at/all"])


def test_a_link_to_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    for name in ("link", "li*"):
        with pytest.raises(ChargenError, match="there is no file, folder or corpus"):
            resolve([str(tmp_path / name)])


def test_folders_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="has no files in it"):
        resolve([str(tmp_path)])
    write(tmp_path / "picture.png", b"\x89PNG\0\0")
    with pytest.raises(ChargenError, match="has only binary files in it"):
        resolve([str(tmp_path)])


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_text_reads_like_the_text(tmp_path: Path, suffix: str) -> None:
    packed = COMPRESS[suffix](TEXT.encode())
    assert list(read_text([write(tmp_path / f"once{suffix}", packed)])) == [TEXT]
    assert "".join(read_text([write(tmp_path / f"twice{suffix}", packed * 2)])) == TEXT * 2


@pytest.mark.parametrize("suffix", COMPRESS)
def test_damaged_files_are_refused_and_never_read_in_part(tmp_path: Path, suffix: str) -> None:
    packed = COMPRESS[suffix](TEXT.encode())
    for content in (packed[:-5], packed[:20], b"plain text, no archive"):
        with pytest.raises(ChargenError, match=f"packed{suffix} is damaged, or no {suffix} file"):
            list(read_text([write(tmp_path / f"packed{suffix}", content)]))


def pack(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def test_an_archive_stands_for_its_text_files(tmp_path: Path) -> None:
    files = {"d/": b"", "d/b.txt": b"b", "a.txt": TEXT.encode(), "__MACOSX/a.txt": b"no", "d/.DS_Store": b"no"}
    found = resolve([pack(tmp_path / "all.ZIP", files | {"picture.png": b"\x89PNG\0\0"})])
    assert [source.name for source in found] == [f"{tmp_path}/all.ZIP/a.txt", f"{tmp_path}/all.ZIP/d/b.txt"]
    assert [str(source.plain) for source in found] == ["a.txt", "b.txt"]
    read: list[int] = []
    assert "".join(read_text(found, on_read=read.append)) == TEXT + "b"
    assert sum(read) == sum(source.size for source in found)
    plain = [write(tmp_path / "1", TEXT.encode()), write(tmp_path / "2", b"b")]
    assert fingerprint(found) == fingerprint(plain)
    (tmp_path / "link.ZIP").symlink_to("all.ZIP")
    assert resolve([str(tmp_path / "*.ZIP")]) == found
    pack(tmp_path / "all.ZIP", {"a.txt": b"other"})
    assert list(read_text(resolve([str(tmp_path / "all.ZIP")]))) == ["other"]


def test_an_archive_in_a_folder_and_with_a_table(tmp_path: Path) -> None:
    table = pack(tmp_path / "set.zip", {"set.csv": b"text,label\ngood,pos\nbad,neg\n"})
    assert read_labelled([table], to_split=False).texts == ["good", "bad"]
    assert "".join(read_text(resolve([str(tmp_path)]))).startswith("text,label")


def test_archives_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="has no files in it"):
        resolve([pack(tmp_path / "a.zip", {"__MACOSX/a.txt": b"no"})])
    with pytest.raises(ChargenError, match="has only binary files in it"):
        resolve([pack(tmp_path / "b.zip", {"a.png": b"\0"})])
    write(tmp_path / "c.zip", b"plain text")
    with pytest.raises(ChargenError, match=r"c\.zip is damaged, or no \.zip file"):
        resolve([str(tmp_path / "c.zip")])
    damaged = pack(tmp_path / "d.zip", {"a.txt": os.urandom(9000).hex().encode()})
    content = bytearray(Path(damaged).read_bytes())
    content[4000:4100] = bytes(100)
    Path(damaged).write_bytes(content)
    with pytest.raises(ChargenError, match=r"d\.zip/a\.txt is damaged"):
        list(read_text(resolve([damaged])))
    locked = bytearray(Path(pack(tmp_path / "e.zip", {"a.txt": b"text"})).read_bytes())
    locked[6] |= 1
    locked[locked.index(b"PK\1\2") + 8] |= 1
    write(tmp_path / "e.zip", bytes(locked))
    with pytest.raises(ChargenError, match=r"e\.zip/a\.txt cannot be unpacked .*password"):
        resolve([str(tmp_path / "e.zip")])


def test_zstd_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "packed.zst", zstandard.compress(b"text"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ChargenError, match=r"pip install 'chargen\[zstd\]'"):
        list(read_text([source]))


@given(text=st.text(alphabet="aé€😀\r\n", max_size=30), size=st.integers(1, 5))
def test_blocks_join_to_the_text_with_universal_newlines(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    source = write(tmp_path_factory.getbasetemp() / "any.txt", ("x" + text).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK", size)
        blocks = list(read_text([source]))
    assert "".join(blocks) == source.path.read_text(encoding="utf-8")
    assert max(map(len, blocks)) <= size + 1


@given(text=st.text(alphabet="aé€😀\r\n", max_size=30), size=st.integers(1, 5))
def test_invalid_bytes_are_named_with_their_exact_offset(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    source = write(tmp_path_factory.getbasetemp() / "bad.txt", text.encode() + b"\xff and more")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ChargenError) as caught:
        patch.setattr(sources, "BLOCK", size)
        list(read_text([source]))
    assert f"bad.txt is not valid utf-8: byte 0xff at offset {len(text.encode())};" in str(caught.value)
    assert "name its encoding, for example --encoding c" in str(caught.value)


def test_a_text_that_ends_inside_a_character_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="byte 0xe2 at offset 3;"):
        list(read_text([write(tmp_path / "cut.txt", "abc€".encode()[:-1])]))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"])
def test_encodings_and_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    files = [write(tmp_path / name, ("\ufeff" + TEXT).encode(encoding)) for name in ("a", "b")]
    assert "".join(read_text(files, encoding)) == TEXT * 2


def test_files_are_joined_as_they_are(tmp_path: Path) -> None:
    files = [write(tmp_path / "a", b"no line break"), write(tmp_path / "b", b""), write(tmp_path / "c", b"at all")]
    assert "".join(read_text(files)) == "no line breakat all"


def test_what_is_no_text_gets_a_sentence(tmp_path: Path) -> None:
    binary = write(tmp_path / "program", b"MZ\0\0")
    with pytest.raises(ChargenError, match=r"program is a binary file.*NUL at offset 2.*--encoding utf-16"):
        list(read_text([binary]))
    with pytest.raises(ChargenError, match=r"there is no text in empty\.txt, empty\.txt"):
        list(read_text([write(tmp_path / "empty.txt", b"")] * 2))


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "rot13", "hex", "zlib", "undefined", "", "utf\0-8"])
def test_encodings_that_are_none_of_text_are_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ChargenError, match=r"Python knows no text encoding .*: try --encoding utf-8"):
        list(read_text([write(tmp_path / "a.txt", b"text")], encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
def test_a_byte_order_mark_is_believed(
    tmp_path: Path, encoding: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BLOCK", size)
    swapped = "\ufeff".encode(f"{encoding}-be") + TEXT.encode(f"{encoding}-be")
    for content in (TEXT.encode(encoding), swapped):
        for asked in ("utf-8", "UTF8", "utf-8-sig"):
            assert "".join(read_text([write(tmp_path / "wide.txt", content)], asked)) == TEXT


@pytest.mark.parametrize(
    ("content", "encoding", "sentence"),
    [
        ("text".encode("utf-16-le"), "utf-16", "not valid utf-16 .*: try --encoding utf-16-le$"),
        ("text".encode("utf-16-le"), "utf-8", r"not valid utf-8 \(NUL at offset 1\), .* try --encoding utf-16-le$"),
        ("the text".encode("utf-16-be"), "latin-1", r"\(NUL at offset 0\), .* try --encoding utf-16-be$"),
        ("Größe".encode("utf-16-le"), "utf-8", "looks like utf-16-le: try --encoding utf-16-le$"),
        (b"so " * 400_000 + b"MZ\0\0\0", "utf-8", "binary file.*NUL at offset 1,200,002"),
        (b"so " * 400_000 + b"\xff\0\0\0", "utf-8", "binary file.*NUL at offset 1,200,001"),
        ("a\0b".encode("utf-16"), "utf-16", "binary file, not text in utf-16"),
        ("“so”".encode("cp1252"), "utf-8", "byte 0x93 at offset 0; .* --encoding cp1252$"),
        ("Москва, 1".encode("cp1251"), "utf-8", r"--encoding cp1251 or koi8-r \(Cyrillic\), shift_jis"),
        (b"so\x81", "utf-8", "byte 0x81 at offset 2; .* --encoding latin-1$"),
        (b"so\x81", "cp1252", "not valid cp1252: byte 0x81 at offset 2; .* --encoding utf-8$"),
        (b"so\\ud800", "unicode_escape", r"U\+D800 is half a surrogate pair"),
        (b"so+2AA-", "utf-7", r"U\+D800 is half a surrogate pair"),
    ],
)
def test_hints_fit_the_content(tmp_path: Path, content: bytes, encoding: str, sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        list(read_text([write(tmp_path / "a.txt", content)], encoding))


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_progress_adds_up_to_the_size_on_disk(tmp_path: Path, suffix: str) -> None:
    content = COMPRESS.get(suffix, bytes)(os.urandom(1 << 19).hex().encode())
    source = write(tmp_path / f"text{suffix}", content)
    read: list[int] = []
    list(read_text([source], on_read=read.append))
    assert sum(read) == source.size == len(content)


def test_the_fingerprint_is_of_the_text_and_of_where_files_end(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.txt", TEXT.encode())
    packed = write(tmp_path / "a.txt.gz", gzip.compress(TEXT.encode()))
    assert fingerprint([plain]) == fingerprint([packed]) == hashlib.sha256(TEXT.encode()).hexdigest()
    ab_c = [write(tmp_path / "1", b"ab"), write(tmp_path / "2", b"c")]
    a_bc = [write(tmp_path / "3", b"a"), write(tmp_path / "4", b"bc")]
    assert fingerprint(ab_c) != fingerprint(a_bc)


def test_a_pipe_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"a" * size

    monkeypatch.setattr(piped, "LONGEST_STREAM", 10 << 20)
    with pytest.raises(ChargenError, match="standard input has more than 10,485,760 bytes, and may not end"):
        piped.spool(Endless(), "standard input")


def test_files_of_a_folder_that_are_no_text_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert left_out([str(tmp_path)]) == []
    (tmp_path / "b.docx").write_bytes(b"PK\x03\x04\0\0")
    (sentence,) = left_out([str(tmp_path), str(tmp_path / "a.txt")])
    assert sentence.startswith("1 file left out") and "b.docx" in sentence
