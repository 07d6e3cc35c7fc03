"""What a house offers beside signing in: it depends on the settings, and on whose table the accounts are in."""

from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Offers:
    """`services` are told of revocations, `mails` go out, `accounts` are ours (or a host's that can do as much), and `profile`
    is what the application lets owners keep."""

    services: bool = False
    mails: bool = False
    accounts: bool = False
    profile: type[BaseModel] | None = None
