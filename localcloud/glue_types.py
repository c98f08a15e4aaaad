"""Mend: makes MiniStack's Athena read NDJSON tables by the columns of the Glue table, as Athena does.

MiniStack 1.5 lets DuckDB guess the columns of JSON from the data: text that looks like a time becomes a time (and asks for a module
that nobody installed), and a column that no row has yet is unknown to SQL. Everything else about its Athena stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "double": "DOUBLE", "boolean": "BOOLEAN"}

Relation = Callable[[dict[str, Any], Sequence[str]], str]


def duckdb_type(glue: str) -> str:
    """`array<string>` -> `VARCHAR[]`; raises KeyError for a type that no table of ours has."""
    if glue.startswith("array<"):
        return duckdb_type(glue.removeprefix("array<").removesuffix(">")) + "[]"
    return _TYPES[glue]


def mend(athena: ModuleType) -> None:
    """Replace how `ministack.services.athena` reads JSON tables.

    Raises:
        AttributeError: it is another version, with other insides.
    """
    relation: Relation = athena._table_relation
    files_list, hive_options, format_of, partitions_of = (
        getattr(athena, name) for name in ("_sql_list", "_hive_options", "_data_format", "_path_partition_keys")
    )

    def by_columns(table: dict[str, Any], files: Sequence[str]) -> str:
        columns = (table.get("StorageDescriptor") or {}).get("Columns") or []
        if format_of(table) != "json" or not columns:
            return relation(table, files)
        types = ", ".join(f"'{column['Name']}': '{duckdb_type(column['Type'])}'" for column in columns)
        hive = hive_options(partitions_of(table, files))
        return f"read_json({files_list(files)}, format = 'newline_delimited', columns = {{{types}}}, {hive})"

    athena._table_relation = by_columns  # type: ignore[attr-defined]
