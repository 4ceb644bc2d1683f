"""Paths that a server's own command names, and what is made of them."""

from __future__ import annotations

from pathlib import Path

from harness.discovery import places
from harness.scenario.records import LaunchTarget, StdioTarget, UrlTarget


def test_the_folders_of_a_command_are_known_and_a_plain_small_file_in_each(tmp_path: Path) -> None:
    """No hidden file, no secret, no link, nothing large or empty; a URL's server has told none."""
    for name, text in (
        (".env", "x"),
        ("api_token.txt", "x"),
        ("an_empty_one", ""),
        ("big", "x" * 100_000),
        ("note.txt", "x"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a_link").symlink_to(tmp_path / "note.txt")
    command = ("srv", "relative", f"--root={tmp_path}", str(tmp_path / "big"), "/no/such/place")
    found = (str(tmp_path), str(tmp_path / "note.txt"))
    assert places.named_by(StdioTarget(stdio=command)) == found
    launched = LaunchTarget(launch=command, url="http://127.0.0.1:${port}/mcp")
    assert places.named_by(launched) == found
    assert places.named_by(UrlTarget(url="http://127.0.0.1:1/mcp")) == ()


def test_they_take_the_place_of_paths_that_were_made_up(tmp_path: Path) -> None:
    """The file comes first where files are read, the folder where one is looked into."""
    file = tmp_path / "note.txt"
    file.write_text("x", encoding="utf-8")
    known = (str(tmp_path), str(file))
    asked = {"path": ".", "pattern": "a"}
    read = list(places.instead("read_file", asked, known))
    assert [one["path"] for one in read] == [str(file), str(tmp_path)]
    listed = list(places.instead("search_files", asked, known))
    assert [one["path"] for one in listed] == [str(tmp_path), str(file)]
    assert {one["pattern"] for one in listed} == {"a"}
    many = list(places.instead("read_multiple_files", {"paths": ["."]}, known))
    assert many[0] == {"paths": [str(file)]}
    assert list(places.instead("read_file", {"path": "given.txt"}, known)) == []
    assert list(places.instead("read_file", asked, ())) == []
