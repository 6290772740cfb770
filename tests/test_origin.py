"""A run finds its own texts from any folder, and when its folder has moved with them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import SENTENCE, write_table, write_text
from commands import SMALL, SMALL_CLASSIFIER, call, invoke, refused

from chargen.runs.folder import ORIGIN, load_run
from chargen.runs.inputs import own_texts

STEPS = ("--steps", "3", *SMALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with texts in folders of it."""
    project = tmp_path / "pro[j]ect"
    (project / "in" / "deep").mkdir(parents=True)
    write_text(project / "in" / "a.txt")
    write_text(project / "in" / "deep" / "b.txt")
    write_table(project / "in" / "t.csv")
    monkeypatch.chdir(project)
    monkeypatch.delenv("CHARGEN_DATA", raising=False)
    return project


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "inputs",
    [("in/a.txt",), ("in/*.txt",), ("in/**/*.txt",), ("in/deep",), ("in/a.txt", "--val", "in/deep/b.txt"),
     ("in/a.txt", "--val", "in/**/b.*"), ("python-docs",)],
)  # fmt: skip
def test_a_language_model_is_measured_resumed_and_judged_from_elsewhere(
    project: Path, elsewhere: Path, inputs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if inputs == ("python-docs",):  # a named corpus, small
        from chargen.text.corpora import CORPORA

        path = CORPORA["python-docs"].paths[0]
        path.parent.mkdir(parents=True)
        path.write_text(SENTENCE * 40)
    call("train", *inputs, "-o", "run", *STEPS)
    run = str(project / "run")
    here = call("evaluate", "-m", run, "--json").stdout
    typed = load_run(Path(run)).options["inputs"]
    for folder in (elsewhere, project / "in"):
        monkeypatch.chdir(folder)
        assert call("evaluate", "-m", run, "--json").stdout == here
        call("sample", "-m", run, "-l", "30", "--originality")
        call("evaluate", "-m", run, str(project / "in" / "a.txt"), "--dynamic")
    call("train", "--resume", "-o", run, "--steps", "5")
    assert load_run(Path(run)).options["inputs"] == typed and not Path(typed[0]).is_absolute()
    if inputs == ("in/a.txt",):
        call("train", str(project / "in" / "a.txt"), "--resume", "-o", run, "--steps", "6")
        assert "was trained on in/a.txt" in refused(
            "train", str(project / "in" / "t.csv"), "--resume", "-o", run, code=2
        )


@pytest.mark.parametrize("extra", [(), ("--val", "in/t.csv")])
def test_a_classifier_is_measured_and_resumed_from_elsewhere(
    project: Path, elsewhere: Path, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "in/t.csv", *extra, *SMALL_CLASSIFIER, "-o", "run")
    monkeypatch.chdir(elsewhere)
    call("evaluate", "-m", str(project / "run"))
    call("train", "--resume", "-o", str(project / "run"), "--steps", "5")


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_texts_move_along_with_a_folder(
    project: Path, elsewhere: Path, move: Callable[[Path, Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "in/a.txt", *STEPS)
    monkeypatch.chdir(elsewhere)
    move(project, elsewhere / "moved")
    if project.exists():
        write_text(project / "in" / "a.txt", times=2)  # the copy is no longer the same
    call("evaluate", "-m", str(elsewhere / "moved" / "checkpoints" / "a"))
    call("train", "--resume", "-o", str(elsewhere / "moved" / "checkpoints" / "a"), "--steps", "5")


def test_a_run_that_moves_alone_finds_its_texts_where_they_were(
    project: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "in/a.txt", *STEPS)
    shutil.move(project / "checkpoints" / "a", elsewhere / "b")
    monkeypatch.chdir(elsewhere)
    call("evaluate", "-m", "./b")


def test_a_missing_text_is_called_the_run_s_own(
    project: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "in/a.txt", *STEPS)
    call("train", str(project / "in" / "a.txt"), "-o", "absolute", *STEPS)
    Path("in/a.txt").unlink()
    monkeypatch.chdir(elsewhere)
    for name, given in (("checkpoints/a", "in/a.txt"), ("absolute", str(project / "in" / "a.txt"))):
        run = str(project / name)
        for command in (("evaluate", "-m"), ("train", "--resume", "-o"), ("sample", "--originality", "-m")):
            said = refused(*command, run)
            assert f"own text {given!r} is missing" in said and "bring it back" in said
            assert Path(given).is_absolute() or f"looked for in {project} and {elsewhere}" in said


def test_a_text_that_changed_is_named_where_it_is(
    project: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "in/a.txt", *STEPS)
    write_text(Path("in/a.txt"), times=50)
    assert "the text in in/a.txt has changed" in refused("evaluate")
    monkeypatch.chdir(elsewhere)
    for command in (("evaluate", "-m"), ("train", "--resume", "-o"), ("sample", "--originality", "-m")):
        said = refused(*command, str(project / "checkpoints" / "a"))
        assert f"the text in {project / 'in' / 'a.txt'} has changed" in said


def test_an_old_run_reads_from_the_current_folder(
    project: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "in/a.txt", *STEPS)
    Path("checkpoints/a", ORIGIN).unlink()
    call("evaluate")
    monkeypatch.chdir(elsewhere)
    assert f"missing (looked for in {elsewhere})" in refused("evaluate", "-m", str(project / "checkpoints" / "a"))


def test_standard_input_is_piped_again_from_elsewhere(
    project: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("train", "-", "--val", "in/a.txt", "-o", "run", *STEPS, given=SENTENCE * 40)
    monkeypatch.chdir(elsewhere)
    run = str(project / "run")
    assert "trained on standard input, which is gone" in refused("evaluate", "-m", run)
    call("train", "--resume", "-o", run, "--steps", "5", given=SENTENCE * 40)
    assert "has changed" in refused("train", "--resume", "-o", run, "--steps", "6", given=SENTENCE * 41)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_stranger_s_origin_leads_to_no_device_and_no_other_text(project: Path, elsewhere: Path) -> None:
    call("train", "in/a.txt", *STEPS)
    run = Path("checkpoints/a")
    write_text(elsewhere / "secret.txt", times=30)
    os.mkfifo(elsewhere / "pipe")
    content = (run / ORIGIN).read_bytes()
    config = json.loads((run / "config.json").read_text())
    del config["sha256"]
    for given, said in (("secret.txt", "has changed"), ("pipe", "is a device or a pipe"), ("\0", "is missing")):
        (run / ORIGIN).write_text(json.dumps({"run": str(run), "folder": str(elsewhere), "data": "/"}))
        (run / "config.json").write_text(json.dumps(config | {"options": config["options"] | {"inputs": [given]}}))
        for command in (("evaluate", "-m", "a"), ("train", "--resume", "-o", str(run)), ("sample", "--originality")):
            assert said in refused(*command)
    (run / "config.json").write_text(json.dumps(config))
    for damaged in (b"{", b"[]", b'{"run": 1, "folder": "", "data": ""}', content.replace(b"in", b"im")):
        (run / ORIGIN).write_bytes(damaged)
        assert "origin.json" in refused("evaluate")
        assert "damaged  training/origin.json" in invoke("check", "-m", "a").stdout
    (run / ORIGIN).unlink()
    (run / ORIGIN).mkdir()
    assert "no regular file" in refused("evaluate")


def test_an_origin_has_absolute_paths(project: Path) -> None:
    call("train", "in/a.txt", *STEPS)
    record = json.loads(Path("checkpoints/a", ORIGIN).read_text())
    assert record.pop("sha256")
    assert record == {
        "run": str(project / "checkpoints" / "a"),
        "folder": str(project),
        "data": str(project / "data"),
    }
    assert own_texts(load_run(Path("checkpoints/a"))).inputs == ("in/a.txt",)
