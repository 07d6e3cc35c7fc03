"""Roles: names under which scopes are given to many at once. What somebody may do is what was granted to them directly, and
what their roles say."""

import re
from dataclasses import dataclass

from watchword.core.errors import InvalidInput

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_DESCRIPTION = 200


@dataclass(frozen=True, slots=True)
class Role:
    """A name for some scopes. `generation` rises with every change; a `removed` one gives nothing, and is there only until
    everybody has lost it."""

    name: str
    scopes: frozenset[str]
    description: str
    generation: int
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """What was given to a user: scopes directly, and roles as they are now. `generation` rises with every change of it.

    `settled` says that the user's account has been brought to it since its last change, and since that of its roles.
    """

    user_id: str
    direct: frozenset[str]
    roles: tuple[Role, ...]
    generation: int
    settled: bool

    @property
    def names(self) -> frozenset[str]:
        """The roles that the user has."""
        return frozenset(role.name for role in self.roles if not role.removed)

    @property
    def of_roles(self) -> frozenset[str]:
        """What the roles give."""
        return frozenset[str]().union(*(role.scopes for role in self.roles if not role.removed))

    @property
    def scopes(self) -> frozenset[str]:
        """What the user may do: the direct scopes, and those of the roles."""
        return self.direct | self.of_roles

    @property
    def is_idle(self) -> bool:
        """Whether there is no role in it and nothing left to be done: then the account itself says what was granted."""
        return self.settled and not self.roles


def is_name(text: str) -> bool:
    """Whether it can be a role's name; anything else need not reach the database."""
    return NAME.fullmatch(text) is not None


def accept_name(name: str) -> str:
    """The name, if it can be a role's. Raises InvalidInput."""
    if not is_name(name):
        why = "A role's name is 1 to 64 of a-z, 0-9, dot, dash and underscore, and begins with a letter or digit."
        raise InvalidInput("no name of a role", fields={"name": why})
    return name


def accept_description(text: str) -> str:
    """The text, if it can describe a role. Raises InvalidInput."""
    if len(text) > MAX_DESCRIPTION or not text.isprintable():
        raise InvalidInput(
            "no description", fields={"description": f"At most {MAX_DESCRIPTION} characters, on one line."}
        )
    return text
