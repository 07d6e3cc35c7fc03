"""The shop's tables, as they were before Watchword came, and the three columns that it asked for."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Where Alembic looks for the shop's tables."""


class PersonRow(Base):
    """A customer. `scopes` and `epoch` are Watchword's wish; the rest was here first."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str | None]
    full_name: Mapped[str]
    active: Mapped[bool]
    joined: Mapped[datetime]
    scopes: Mapped[str] = mapped_column(server_default="")
    epoch: Mapped[int] = mapped_column(server_default="0")


class OrderRow(Base):
    """What somebody bought."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    what: Mapped[str]
