from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest

from faults import (
    agent,
    agent_calls,
    agent_sessions,
    credentials,
    dependency,
    identity,
    issuers,
    load,
    network,
    process,
)
from faults.catalogue import CATALOGUE, AnyFault
from faults.fault import Fault
from faults.levers import BehaviourKind
from harness.journal import BEHAVIOURS

KINDS = sorted(CATALOGUE)


def test_the_union_and_the_table_hold_the_same_faults() -> None:
    """A fault that a file may name is one that is listed, and the other way round."""
    assert tuple(CATALOGUE.values()) == get_args(AnyFault)


def test_no_fault_is_left_out_of_the_catalogue() -> None:
    """Every concrete record of every lever's file is there, under its own name."""
    written = {
        member
        for module in (
            agent,
            agent_calls,
            agent_sessions,
            credentials,
            dependency,
            identity,
            issuers,
            load,
            network,
            process,
        )
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Fault) and hasattr(member, "kind")
    }
    assert set(CATALOGUE.values()) == written
    assert all(fault.kind == kind for kind, fault in CATALOGUE.items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_says_what_a_user_must_know(kind: str) -> None:
    """What breaks, what a resilient server does, what shows that one is not."""
    fault = CATALOGUE[kind]
    words = inspect.cleandoc(fault.__doc__ or "")
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", kind)
    assert "A resilient server:" in words
    assert "Shows:" in words
    assert words.split("\n", 1)[0].endswith((".", ","))
    assert fault.shows
    assert len(set(fault.shows)) == len(fault.shows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_can_be_written_with_nothing_but_its_name(kind: str) -> None:
    """Every parameter has a default that is meant."""
    assert CATALOGUE[kind].model_validate({}) == CATALOGUE[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_bears_its_unit_in_the_code_and_none_in_the_file(kind: str) -> None:
    """`delay_s` in Python, `delay: 250ms` in a scenario."""
    for name, field in CATALOGUE[kind].model_fields.items():
        written = field.alias or name
        if written != name:
            assert re.fullmatch(re.escape(written) + r"_(s|bytes|bytes_per_s)", name), name


def test_every_behaviour_has_a_number_in_the_journal() -> None:
    """What a session can be told to do is what a record can say that it did."""
    assert ("", *get_args(BehaviourKind)) == BEHAVIOURS
