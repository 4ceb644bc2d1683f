from __future__ import annotations

import contextlib
import os
from io import StringIO
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from reports import folder
from reports.folder import write_all, write_whole
from tests.reports.samples import FACTS, evidence_of_a_storm, judgement_of_a_storm

NAMES = ["junit.xml", "latency.hlog", "report.html", "verdict.json"]


def test_a_run_folder_gets_its_four_files_and_nothing_else(tmp_path: Path) -> None:
    """No temporary file is left beside them."""
    report = write_all(tmp_path, evidence_of_a_storm(), judgement_of_a_storm(), FACTS)
    assert sorted(file.name for file in tmp_path.iterdir()) == NAMES
    assert report.judgement.ruling == "fail"


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """`squall report RUN` changes nothing in a folder that is already right."""
    write_all(tmp_path, evidence_of_a_storm(), judgement_of_a_storm(), FACTS)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_all(tmp_path, evidence_of_a_storm(), judgement_of_a_storm(), FACTS)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


def test_the_histogram_log_is_read_by_the_histogram_tools(tmp_path: Path) -> None:
    """Another reader of the format finds every measured call."""
    evidence = evidence_of_a_storm()
    write_all(tmp_path, evidence, judgement_of_a_storm(), FACTS)
    whole = HdrHistogram(1, 600_000_000, 3)
    reader = HistogramLogReader(str(tmp_path / "latency.hlog"), whole)
    with contextlib.closing(reader):
        while reader.add_next_interval_histogram(whole) is not None:
            pass
    assert whole.get_total_count() == int((evidence.counted & ~evidence.has_prelude).sum())


def test_a_renderer_that_fails_leaves_the_verdict_and_the_old_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict is on disk first, and no file is ever half of one."""
    (tmp_path / "report.html").write_text("the page before")

    def broken(_: object) -> str:
        raise RuntimeError("a renderer's defect")

    monkeypatch.setattr(folder, "page", broken)
    with pytest.raises(RuntimeError, match="defect"):
        write_all(tmp_path, evidence_of_a_storm(), judgement_of_a_storm(), FACTS)
    assert (tmp_path / "verdict.json").exists()
    assert (tmp_path / "report.html").read_text() == "the page before"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Text that cannot be encoded raises, and the file stays what it was."""
    file = tmp_path / "x"
    file.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "\ud800")
    assert file.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_lines_end_the_same_everywhere(tmp_path: Path) -> None:
    """No newline is translated: the bytes are those of the text."""
    write_whole(tmp_path / "x", "a\nb\r\n")
    assert (tmp_path / "x").read_bytes() == StringIO("a\nb\r\n", newline="").read().encode()


def test_a_pipe_is_written_and_stays_one(tmp_path: Path) -> None:
    """As /dev/null and what a shell makes of `>(tee all.xml)` have to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "whole\n")
        assert os.read(reader, 100) == b"whole\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    """A pipeline may have put it there for its artefacts."""
    kept, link = tmp_path / "kept.xml", tmp_path / "link.xml"
    kept.write_text("old", encoding="utf-8")
    link.symlink_to(kept)
    write_whole(link, "new")
    assert link.is_symlink()
    assert kept.read_text(encoding="utf-8") == "new"
