"""API keys and service accounts: `Auth(features=[ApiKeys()])`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from watchword.features.api_keys.flow import NAME, ApiKeysAnnex
from watchword.features.api_keys.routes import key_routes, service_account_routes
from watchword.features.api_keys.store import SqlApiKeys, SqlServiceAccounts
from watchword.features.base import Feature

if TYPE_CHECKING:
    from fastapi import APIRouter

    from watchword.flows.kit import Kit
    from watchword.stores.sql.engine import Database
    from watchword.web.guard import Guard, Open

__all__ = ["ApiKeys"]


class ApiKeys(Feature):
    """Keys for programs, `wwk_…`: of users, and of service accounts that an administrator makes."""

    name: ClassVar[str] = NAME

    def routes(self, open_house: "Open", guard: "Guard") -> "Sequence[APIRouter]":
        """`/api-keys` and `/service-accounts`."""
        return key_routes(open_house, guard), service_account_routes(open_house, guard)

    def open(self, kit: "Kit", db: "Database") -> ApiKeysAnnex:
        """See `Feature.open`."""
        return ApiKeysAnnex(kit, SqlApiKeys(db), SqlServiceAccounts(db))
