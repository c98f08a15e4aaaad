"""Query: SQL over the lake by the ordinary Athena API, so that the same call works against AWS and the local cloud.

Differences that a query must live with: the local engine is DuckDB, which reads every object under the table's location, so
partition projection is not tried out there, and it has no `json_extract_scalar`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.cloud import LocalCloud

POLL_SECONDS = 0.2


class QueryError(RuntimeError):
    """Athena refused or failed the query; the text holds its reason and the query."""


def query(cloud: LocalCloud, sql: str, *, deadline: float = 60.0) -> tuple[list[str], list[list[str | None]]]:
    """Run `sql` in the deployed database and workgroup; return column names and rows, each value as text or None.

    Raises:
        QueryError: it failed, or took longer than `deadline` seconds.
    """
    outputs = cloud.outputs
    return run(cloud.client("athena"), sql, database=outputs.glue_database, workgroup=outputs.athena_workgroup, deadline=deadline)


def run(
    client: Any,
    sql: str,
    *,
    database: str,
    workgroup: str,
    deadline: float = 60.0,
) -> tuple[list[str], list[list[str | None]]]:
    """The same with any boto3 Athena client."""
    started = client.start_query_execution(QueryString=sql, QueryExecutionContext={"Database": database}, WorkGroup=workgroup)
    execution = started["QueryExecutionId"]
    _wait(client, execution, sql=sql, deadline=deadline)
    columns: list[str] = []
    rows: list[list[str | None]] = []
    for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=execution):
        found = [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
        if not columns:
            columns = [column["Name"] for column in page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
            if found and found[0] == columns:
                del found[0]  # the first row of the first page repeats the names
        rows += found
    return columns, rows


def _wait(client: Any, execution: str, *, sql: str, deadline: float) -> None:
    until = time.monotonic() + deadline
    while True:
        status = client.get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            return
        if status["State"] in {"FAILED", "CANCELLED"}:
            raise QueryError(f"{status.get('StateChangeReason', status['State'])}\nin: {sql}")
        if time.monotonic() > until:
            client.stop_query_execution(QueryExecutionId=execution)
            raise QueryError(f"no answer within {deadline:.0f} s\nto: {sql}")
        time.sleep(POLL_SECONDS)
