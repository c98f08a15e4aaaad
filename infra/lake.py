"""Construct: the lake: a bucket of NDJSON objects, a Glue table over it, an Athena workgroup that asks it.

Promises: private, encrypted, TLS only. The table needs no crawler and no `ADD PARTITION`: partitions are projected from
the key layout `readings/stream=<s>/dt=<yyyy-MM-dd>/`, which the landing functions write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.queries import QUERIES
from infra.review import accept

if TYPE_CHECKING:
    from infra.encryption import Encryption
    from infra.settings import Settings

READINGS = "readings/"
RESULTS = "athena-results/"
TABLE = "readings"

COLUMNS = (
    ("device", "string", "the sender's configured id"),
    ("epoch", "string", "life of the device's log; sequence numbers start again with a new one"),
    ("seq", "bigint", "sequence number of the reading in its stream and epoch, from 1"),
    ("received", "string", "when the board took it, ISO 8601 UTC with microseconds"),
    ("clock", "string", "synced or unsynced: whether the board trusted its clock then"),
    ("arrived", "string", "when SQS took it, ISO 8601 UTC"),
    ("client", "string", "authenticated CURVE key of the program that sent it, where there is one"),
    ("topic", "string", "topic of the reading, where there is one"),
    ("data", "string", "the payload, where it is text"),
    ("data_base64", "string", "the payload, where it is not text"),
    ("frames", "array<string>", "base64 of each frame, where the message had several"),
)
"""Name, Hive type, meaning. `stream` and `dt` are partition keys and stand in no object."""


class Lake(Construct):
    """Bucket, database, table and workgroup."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, encryption: Encryption) -> None:  # noqa: A002
        super().__init__(scope, id)
        self.bucket = self._bucket(settings=settings, encryption=encryption)
        self.database_name = settings.sql_name
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Stack.of(self).account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=self.database_name, description="Readings of all devices"),
        )
        self._table().add_resource_dependency(database)
        self.workgroup_name = settings.name
        self._save_queries(self._workgroup(settings=settings, encryption=encryption))

    def _bucket(self, *, settings: Settings, encryption: Encryption) -> s3.Bucket:
        keep = settings.stage.keep_data
        bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS if encryption.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=encryption.key,
            bucket_key_enabled=True if encryption.key else None,
            enforce_ssl=True,
            # Objects are created once and never overwritten (every put says If-None-Match: *), so versions would hold nothing.
            versioned=False,
            removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
            lifecycle_rules=[
                s3.LifecycleRule(id="unfinished-uploads", abort_incomplete_multipart_upload_after=Duration.days(7)),
                s3.LifecycleRule(id="query-results", prefix=RESULTS, expiration=Duration.days(7)),
            ],
        )
        accept(
            bucket,
            "AwsSolutions-S1",
            "Only two functions write here, and each object names its run; an access log would cost more than the lake. "
            "CloudTrail data events can be switched on when an audit asks for reads.",
        )
        return bucket

    def _table(self) -> glue.CfnTable:
        location = f"s3://{self.bucket.bucket_name}/{READINGS}"
        return glue.CfnTable(
            self,
            "Table",
            catalog_id=Stack.of(self).account,
            database_name=self.database_name,
            table_input=glue.CfnTable.TableInputProperty(
                name=TABLE,
                description="One row a reading; say which stream, and better which days",
                table_type="EXTERNAL_TABLE",
                partition_keys=[
                    glue.CfnTable.ColumnProperty(name="stream", type="string"),
                    glue.CfnTable.ColumnProperty(name="dt", type="string", comment="UTC day of arrival, yyyy-MM-dd"),
                ],
                parameters={
                    "EXTERNAL": "TRUE",
                    "classification": "json",
                    "compressionType": "gzip",
                    "projection.enabled": "true",
                    "projection.stream.type": "injected",
                    "projection.dt.type": "date",
                    "projection.dt.format": "yyyy-MM-dd",
                    "projection.dt.range": "2026-01-01,NOW",
                    "projection.dt.interval": "1",
                    "projection.dt.interval.unit": "DAYS",
                    "storage.location.template": f"{location}stream=${{stream}}/dt=${{dt}}/",
                },
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=location,
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.openx.data.jsonserde.JsonSerDe",
                        parameters={"serialization.format": "1"},
                    ),
                    columns=[glue.CfnTable.ColumnProperty(name=name, type=kind, comment=meaning) for name, kind, meaning in COLUMNS],
                ),
            ),
        )

    def _workgroup(self, *, settings: Settings, encryption: Encryption) -> athena.CfnWorkGroup:
        results = athena.CfnWorkGroup.EncryptionConfigurationProperty(
            encryption_option="SSE_KMS" if encryption.key else "SSE_S3",
            kms_key=encryption.key.key_arn if encryption.key else None,
        )
        return athena.CfnWorkGroup(
            self,
            "Workgroup",
            name=self.workgroup_name,
            description="Queries over the readings, with a limit on what one may cost",
            recursive_delete_option=not settings.stage.keep_data,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                bytes_scanned_cutoff_per_query=settings.stage.query_scan_bytes,
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{self.bucket.bucket_name}/{RESULTS}",
                    encryption_configuration=results,
                ),
            ),
        )

    def _save_queries(self, workgroup: athena.CfnWorkGroup) -> None:
        for query in QUERIES:
            saved = athena.CfnNamedQuery(
                self,
                "".join(word.capitalize() for word in query.name.split()),
                database=self.database_name,
                work_group=self.workgroup_name,
                name=query.name,
                description=query.meaning,
                query_string=query.sql,
            )
            saved.add_resource_dependency(workgroup)
