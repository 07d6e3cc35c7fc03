"""The application's own tables. A note belongs to an account of Watchword, by a real foreign key."""

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from watchword.sql import users


class Base(DeclarativeBase):
    """Where Alembic looks for the application's tables; those of Watchword are not among them."""

    metadata = MetaData(
        naming_convention={"fk": "fk_%(table_name)s_%(column_0_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}
    )


class Note(Base):
    """A note of its owner; it goes when the account goes."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey(users.c.id, ondelete="CASCADE"), index=True)
    text: Mapped[str]
