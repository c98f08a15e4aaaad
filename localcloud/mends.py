"""Mends: what MiniStack 1.5 does otherwise than AWS, and we rely on. Each is small, named, and tried out in tests/localcloud.

    columns     its Athena lets DuckDB guess the columns of NDJSON from the data: text that looks like a time becomes a time, and a
                column that no row has yet is unknown to SQL. Mended: the columns are the Glue table's, as with Athena.
    batches     it asks for a right to `sqs:SendMessageBatch`; AWS has no such right, `sqs:SendMessage` covers the batch.
    port 443    with TLS it opens that port too, where it may, for a service that we do not use.
    queries     its CloudFormation does not know `AWS::Athena::NamedQuery`, which its Athena does.
    polling     idle event source mappings look at their queues every 1 to 5 s. Mended: every 0.2 s, so that tests are quick.

Applied in the server's own process by `serve`; with other insides of another version they fail loudly at the start.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import concurrency, iam_actions  # type: ignore[import-untyped]
from ministack.services import athena  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

_TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "double": "DOUBLE", "boolean": "BOOLEAN"}

POLL_SECONDS = 0.2


def apply() -> None:
    """Apply all, before the server starts.

    Raises:
        AttributeError, TypeError: MiniStack has other insides.
    """
    _columns()
    _batches()
    _only_one_port()
    _queries()
    threading.Thread(target=_poll, args=(concurrency.esm_wake,), name="poll-often", daemon=True).start()


def duckdb_type(glue: str) -> str:
    """`array<string>` -> `VARCHAR[]`; raises KeyError for a type that no table of ours has."""
    if glue.startswith("array<"):
        return duckdb_type(glue.removeprefix("array<").removesuffix(">")) + "[]"
    return _TYPES[glue]


def _columns() -> None:
    relation, files_list, hive_options = athena._table_relation, athena._sql_list, athena._hive_options
    format_of, partitions_of = athena._data_format, athena._path_partition_keys

    def by_columns(table: dict[str, Any], files: Sequence[str]) -> str:
        columns = (table.get("StorageDescriptor") or {}).get("Columns") or []
        if format_of(table) != "json" or not columns:
            return str(relation(table, files))
        types = ", ".join(f"'{column['Name']}': '{duckdb_type(column['Type'])}'" for column in columns)
        hive = hive_options(partitions_of(table, files))
        return f"read_json({files_list(files)}, format = 'newline_delimited', columns = {{{types}}}, {hive})"

    athena._table_relation = by_columns


def _batches() -> None:
    action_of = iam_actions.extract_iam_action

    def without_batch(*request: Any) -> str | None:
        action: str | None = action_of(*request)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = without_batch


def _only_one_port() -> None:
    if not callable(app._port_is_bindable):
        raise TypeError("ministack.app._port_is_bindable is no function")
    app._port_is_bindable = lambda *_: False


def _queries() -> None:
    create_query, delete_query = athena._create_named_query, athena._delete_named_query

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, Any]]:
        _, _, body = create_query(properties)
        identifier = str(json.loads(body)["NamedQueryId"])
        return identifier, {"NamedQueryId": identifier}

    def delete(identifier: str, _properties: dict[str, Any]) -> None:
        delete_query({"NamedQueryId": identifier})

    provisioners._RESOURCE_HANDLERS["AWS::Athena::NamedQuery"] = {"create": create, "delete": delete}


def _poll(wake: threading.Event) -> None:
    while True:
        time.sleep(POLL_SECONDS)
        wake.set()
