"""What a type checker sees of features. Checked by mypy and pyright, never run."""

from collections.abc import Sequence
from typing import ClassVar, assert_type

from fastapi import APIRouter

from watchword import Auth, Feature, User
from watchword.features.api_keys import ApiKeys
from watchword.flows.annex import Annex
from watchword.flows.kit import Kit
from watchword.stores.sql.engine import Database
from watchword.web.guard import Guard, Open


class Mine(Feature):
    name: ClassVar[str] = "mine"

    def routes(self, open_house: Open, guard: Guard) -> Sequence[APIRouter]:
        return [APIRouter()]

    def open(self, kit: Kit, db: Database) -> Annex:
        return Annex()


auth = Auth(features=[ApiKeys(), Mine()])
assert_type(auth, Auth[User])
Auth(features=["api_keys"])  # type: ignore[list-item]
