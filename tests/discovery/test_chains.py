"""Values that one answer brings and another call asks for."""

from __future__ import annotations

from harness.discovery import chains
from harness.discovery.findings import Link

SEARCH = {
    "structuredContent": {
        "total": 2,
        "books": [{"id": 7, "title": "Dune", "author": {"author_id": "a-1"}}, {"id": 8}],
        "odd key": "no path leads there",
        "flag": True,
    }
}


def test_leaves_have_paths_that_a_scenario_can_write() -> None:
    """Texts and whole numbers, of each list those of its first member."""
    found = {leaf.path: leaf.value for leaf in chains.leaves(SEARCH)}
    assert found == {
        "total": 2,
        "books[0].id": 7,
        "books[0].title": "Dune",
        "books[0].author.author_id": "a-1",
    }


def test_a_field_of_the_same_name_comes_first() -> None:
    """However either is spelt; what only resembles it comes later, and the rest not at all."""
    answers = {"find_books": chains.leaves(SEARCH)}

    def paths(argument: str, *, loosely: bool = False) -> list[str]:
        found = chains.candidates(argument, answers, loosely=loosely)
        return [link.path for link, _ in found]

    assert paths("id") == ["books[0].id", "books[0].author.author_id"]
    assert paths("authorId") == ["books[0].author.author_id"]
    assert paths("book_id") == ["books[0].id"]
    assert paths("order_id") == []
    assert paths("title") == []
    assert paths("title", loosely=True) == ["books[0].title"]


def test_an_answer_that_repeats_what_was_asked_for_is_seen() -> None:
    """Under the name that it was asked by, or had where it came from."""
    link = Link(argument="book", provider="find_books", path="books[0].id", name="book_id")
    assert chains.echo({"structuredContent": {"it": {"id": 7}}}, link, 7) == "it.id"
    assert chains.echo({"structuredContent": {"book": 7}}, link, 7) == "book"
    assert chains.echo({"structuredContent": {"id": 8}}, link, 7) == ""
    assert chains.echo({"structuredContent": {"pages": 7}}, link, 7) == ""


def test_deep_and_endless_answers_are_cut_off() -> None:
    """No answer costs more than a look at so many values."""
    wide = {"structuredContent": {f"field{number}": number for number in range(5000)}}
    assert len(chains.leaves(wide)) == chains.LEAVES_MAX
    deep: object = "bottom"
    for _ in range(200):
        deep = {"down": [deep]}
    assert chains.leaves({"structuredContent": deep}) == ()
