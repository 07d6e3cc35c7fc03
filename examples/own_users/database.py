"""The shop's engine. Watchword shares it."""

import os

from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ.get("SHOP_DATABASE", "sqlite+aiosqlite:///shop.db"))
