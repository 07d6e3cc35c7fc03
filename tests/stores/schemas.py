"""What of a schema the code of before relies on, and what a migration took from it."""

from typing import Any

from sqlalchemy import Connection, inspect

Schema = dict[str, dict[str, Any]]


def reflected(connection: Connection) -> Schema:
    """Our tables, as the database tells of them."""
    found = inspect(connection)
    return {
        name: {
            "columns": {column["name"]: column for column in found.get_columns(name)},
            "key": tuple(found.get_pk_constraint(name)["constrained_columns"]),
            "unique": _unique(found, name),
            "bound": {str(one["constrained_columns"]) for one in found.get_foreign_keys(name)}
            | {str(one["sqltext"]) for one in found.get_check_constraints(name)},
        }
        for name in found.get_table_names()
        if name.startswith("watchword_")
    }


def _unique(found: Any, name: str) -> set[tuple[str, ...]]:
    constraints = {tuple(one["column_names"]) for one in found.get_unique_constraints(name)}
    return constraints | {tuple(one["column_names"]) for one in found.get_indexes(name) if one["unique"]}


def narrowed(before: Schema, after: Schema) -> list[str]:
    """What code that was written for the one would miss in the other, or be refused by."""
    wrong = [f"{name} is gone" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        added = {
            columns for columns in new["unique"] if not set(columns) & old["columns"].keys()
        }  # written by no old code
        bound = {"key": new["key"], "unique": new["unique"] - added}
        wrong += [f"{name}: {part} is another" for part in ("key", "unique") if old[part] != bound[part]]
        wrong += [f"{name}: bound by {bound}" for bound in new["bound"] - old["bound"]]
        wrong += [f"{name}.{column} is gone" for column in old["columns"].keys() - new["columns"].keys()]
        for column, now in new["columns"].items():
            wrong += _column(f"{name}.{column}", old["columns"].get(column), now)
    return sorted(wrong)


def _column(name: str, before: Any, now: Any) -> list[str]:
    optional = now["nullable"] or now["default"] is not None
    if before is None:
        return [] if optional else [f"{name} is new, and has to be given"]
    wrong = [] if str(before["type"]) == str(now["type"]) else [f"{name} is of another type"]
    if not now["nullable"] and before["nullable"]:
        wrong.append(f"{name} may not be null any more")
    if before["default"] is not None and now["default"] is None:
        wrong.append(f"{name} has no default any more")
    return wrong
