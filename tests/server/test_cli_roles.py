"""`watchword roles …`: what operators type."""

import json
from typing import Any

import pytest
from tests.house import ADA, BOB, PASSWORD
from tests.server.commands import Run, Terminal, assert_refused
from tests.server.test_cli import can_sign_in, make


def listed(run: Run, *command: str) -> Any:
    said = run(*command, "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def test_a_role_is_made_given_changed_taken_and_removed(run: Run) -> None:
    make(run, "--scope", "direct")
    said = run("roles", "set", "writer", "items:read", "items:write orders:*", "--description", "who writes")
    assert (said.code, said.out) == (0, "writer gives: items:read items:write orders:*\n")
    said = run("roles", "give", ADA, "writer")
    assert (said.code, said.out) == (0, f"{ADA} may now: direct items:read items:write orders:*\n")
    signed_in = can_sign_in(ADA, PASSWORD)
    assert signed_in is not None
    assert signed_in["scope"] == "direct items:read items:write orders:*"
    run("roles", "set", "writer", "items:*")
    signed_in = can_sign_in(ADA, PASSWORD)
    assert signed_in is not None
    assert signed_in["scope"] == "direct items:*"
    assert listed(run, "roles", "list") == [{"name": "writer", "scopes": ["items:*"], "description": "who writes"}]
    assert [one["scopes"] for one in listed(run, "users", "list")] == [["direct", "items:*"]]
    assert run("roles", "take", ADA, "writer").out == f"{ADA} may now: direct\n"
    run("roles", "give", ADA, "writer")
    assert run("roles", "remove", "writer", "--yes").out == "writer is removed, and nobody has it any more.\n"
    assert listed(run, "roles", "list") == []
    assert [one["scopes"] for one in listed(run, "users", "list")] == [["direct"]]


def test_what_an_operator_takes_and_a_role_still_gives_is_said(run: Run) -> None:
    """Else somebody believes that a right is gone."""
    make(run, "--scope", "items:write")
    run("roles", "set", "writer", "items:write")
    run("roles", "give", ADA, "writer")
    said = run("users", "revoke", ADA, "items:write")
    assert said.out == f"{ADA} may now: items:write\nBy a role still: items:write (writer)\n"
    for role, words in {"all": "items:*", "reader": "items:read orders:read"}.items():
        run("roles", "set", role, words)
        run("roles", "give", ADA, role)
    run("roles", "take", ADA, "writer")
    said = run("users", "revoke", ADA, "items:read")
    assert said.out.endswith("By a role still: items:read (all, reader)\n"), "a wildcard covers it"
    run("roles", "take", ADA, "all")
    said = run("users", "revoke", ADA, "items:*", "orders:write")
    assert said.out.endswith("By a role still: items:read (reader)\n"), "and is in part given"
    run("roles", "give", ADA, "writer")
    run("roles", "take", ADA, "reader")
    assert run("users", "grant", ADA, "more").out == f"{ADA} may now: items:write more\n"
    assert run("users", "revoke", ADA, "more").out == f"{ADA} may now: items:write\n"


def test_the_list_says_everything_and_so_does_one(run: Run) -> None:
    assert "There are no roles yet" in run("roles", "list").out
    ada, bob = make(run), make(run, email=BOB)
    run("roles", "set", "writer", "items:read", "items:write", "--description", "who writes")
    run("roles", "set", "nothing")
    for whom in (ada, BOB):
        run("roles", "give", whom, "writer")
    said = run("roles", "list")
    (line,) = [line for line in said.out.splitlines() if "writer" in line]
    assert "items:read items:write" in line
    assert "who writes" in line
    said = run("roles", "show", "writer")
    assert said.out.splitlines()[:3] == ["writer: who writes", "scopes   items:read items:write", "members  2"]
    assert {line.strip() for line in said.out.splitlines()[3:]} == {f"{ADA}  {ada}", f"{BOB}  {bob}"}
    assert run("roles", "show", "nothing").out == "nothing\nscopes   nothing\nmembers  0\n"
    shown = listed(run, "roles", "show", "writer")
    assert {one["email"] for one in shown["members"]} == {ADA, BOB}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (("show", "editor"), "There is no role of this name. See what there is: watchword roles list"),
        (("give", ADA, "editor"), "There is no role of this name"),
        (("give", "nobody@example.com", "writer"), "There is no user"),
        (("take", ADA, "writer"), "The user does not have this role"),
        (("remove", "editor", "--yes"), "There is no role of this name"),
        (("set", "Writer", "a"), "A role's name is"),
        (("set", "writer", '"'), "The scope is malformed"),
        (("set", "writer", "--description", "a\nb"), "on one line"),
    ],
)
def test_what_can_not_be_is_told(run: Run, command: tuple[str, ...], text: str) -> None:
    make(run)
    run("roles", "set", "writer", "items:read")
    assert_refused(run("roles", *command), text)


def test_nobody_loses_a_role_by_a_slip(run: Run) -> None:
    run("roles", "set", "writer", "items:read")
    assert run("roles", "remove", "writer", stdin=Terminal("n\n")).code == 1
    assert [one["name"] for one in listed(run, "roles", "list")] == ["writer"]
    assert run("roles", "remove", "writer", stdin=Terminal("y\n")).code == 0
