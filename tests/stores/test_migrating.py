"""The migrations, up and down again."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from watchword.stores.sql import migrate
from watchword.stores.sql.engine import Database
from watchword.stores.sql.tables import SCHEMA_VERSION, metadata


async def test_a_downgrade_takes_all_tables_and_an_upgrade_brings_them_back(database_url: str) -> None:
    def downgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    db = Database(database_url)
    db.settle(here=True)
    async with db.write() as connection:
        await connection.run_sync(downgrade)
    async with db.read() as connection:
        left = await connection.run_sync(lambda found: inspect(found).get_table_names())
    assert [name for name in left if name in metadata.tables] == []
    assert await migrate.upgrade(db) == SCHEMA_VERSION
    async with db.read() as connection:
        assert metadata.tables.keys() <= {*await connection.run_sync(lambda found: inspect(found).get_table_names())}
    await db.close()
