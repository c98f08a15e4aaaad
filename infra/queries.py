"""Data: the saved queries of the workgroup, in words that Athena (Trino) and the local cloud (DuckDB) both know.

Each names its stream, since Athena's projected partition wants it, and reads today and yesterday (UTC): change both where they stand. The
day is text cut to ten characters, because the difference of a date and an interval is a date to one engine and a timestamp to the other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One saved query."""

    name: str
    meaning: str
    sql: str


LATEST = Query(
    name="latest per device",
    meaning="The newest reading of each topic of each device: of the epoch that arrived last, the highest sequence number",
    sql="""\
WITH newest AS (
  SELECT device, max_by(epoch, arrived) AS epoch
  FROM readings
  WHERE stream = 'telemetry' AND dt >= substr(cast(current_date - interval '1' day as varchar), 1, 10)
  GROUP BY device
)
SELECT readings.device, topic, max(seq) AS seq, max_by(received, seq) AS received, max_by(coalesce(data, data_base64), seq) AS value
FROM readings
JOIN newest ON readings.device = newest.device AND readings.epoch = newest.epoch
WHERE stream = 'telemetry' AND dt >= substr(cast(current_date - interval '1' day as varchar), 1, 10)
GROUP BY readings.device, topic
ORDER BY readings.device, topic
""",
)
RATE = Query(
    name="rate per minute",
    meaning="Readings of each device in each minute, by the board's clock",
    sql="""\
SELECT device, substr(received, 1, 16) AS minute, count(*) AS readings
FROM readings
WHERE stream = 'telemetry' AND dt >= substr(cast(current_date - interval '1' day as varchar), 1, 10)
GROUP BY device, substr(received, 1, 16)
ORDER BY device, minute
""",
)
GAPS = Query(
    name="gaps",
    meaning="Sequence numbers that are missing between two that are there. Why they are missing, and what is only late: device-agent audit",
    sql="""\
SELECT device, epoch, before + 1 AS first_missing, seq - 1 AS last_missing, seq - before - 1 AS missing
FROM (
  SELECT device, epoch, seq, lag(seq) OVER (PARTITION BY device, epoch ORDER BY seq) AS before
  FROM readings
  WHERE stream = 'telemetry' AND dt >= substr(cast(current_date - interval '1' day as varchar), 1, 10)
) AS numbered
WHERE seq > before + 1
ORDER BY device, epoch, first_missing
""",
)
QUERIES = (LATEST, RATE, GAPS)
