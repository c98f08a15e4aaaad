"""Lake, Glue table, ledger and state table: what the functions and SQL rely on."""

from __future__ import annotations

import json

from tests.infra.synth import App


def test_the_columns_of_the_lake_are_the_ones_that_landing_writes(app: App) -> None:
    _, table = app.ingestion.one("AWS::Glue::Table", "Lake")
    columns = {column["Name"]: column["Type"] for column in table["TableInput"]["StorageDescriptor"]["Columns"]}
    assert columns == {
        "device": "string",
        "epoch": "string",
        "seq": "bigint",
        "received": "string",
        "clock": "string",
        "arrived": "string",
        "client": "string",
        "topic": "string",
        "data": "string",
        "data_base64": "string",
        "frames": "array<string>",
    }


def test_partitions_are_projected_from_the_key_layout_so_nothing_has_to_add_them(app: App) -> None:
    bucket_id, _ = app.ingestion.one("AWS::S3::Bucket", "Lake")
    _, table = app.ingestion.one("AWS::Glue::Table", "Lake")
    settings = table["TableInput"]["Parameters"]
    assert [key["Name"] for key in table["TableInput"]["PartitionKeys"]] == ["stream", "dt"]
    assert settings["projection.enabled"] == "true"
    assert settings["projection.stream.type"] == "injected"
    assert (settings["projection.dt.type"], settings["projection.dt.format"]) == ("date", "yyyy-MM-dd")
    assert settings["projection.dt.range"].endswith(",NOW")
    before, bucket, after = settings["storage.location.template"]["Fn::Join"][1]
    assert (before, bucket, after) == ("s3://", {"Ref": bucket_id}, "/readings/stream=${stream}/dt=${dt}/")


def test_a_query_cannot_cost_more_than_its_limit(app: App) -> None:
    _, workgroup = app.ingestion.one("AWS::Athena::WorkGroup", "Lake")
    settings = workgroup["WorkGroupConfiguration"]
    assert settings["EnforceWorkGroupConfiguration"] is True
    assert settings["BytesScannedCutoffPerQuery"] == (100 if app.keeps_data else 10) * 10**9


def test_tables_are_on_demand_with_two_text_keys(app: App) -> None:
    for table in app.ingestion.of_type("AWS::DynamoDB::Table").values():
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert [(key["AttributeName"], key["KeyType"]) for key in properties["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
        assert {one["AttributeType"] for one in properties["AttributeDefinitions"]} == {"S"}


def test_claims_expire_and_states_do_not(app: App) -> None:
    _, ledger = app.ingestion.one("AWS::DynamoDB::Table", "TablesLedger")
    _, state = app.ingestion.one("AWS::DynamoDB::Table", "TablesState")
    assert ledger["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert "TimeToLiveSpecification" not in state


def test_production_data_survives_the_stack_and_development_leaves_nothing(app: App) -> None:
    policies = {
        resource["DeletionPolicy"]
        for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup")
        for resource in app.ingestion.of_type(kind).values()
    }
    assert policies == {"Retain" if app.keeps_data else "Delete"}
    for table in app.ingestion.of_type("AWS::DynamoDB::Table").values():
        properties = table["Properties"]
        assert properties["DeletionProtectionEnabled"] is app.keeps_data
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is app.keeps_data


def test_the_outputs_are_the_ones_that_the_local_cloud_and_the_agents_config_need(app: App) -> None:
    from localcloud.deploy import Outputs

    values = dict.fromkeys(app.ingestion.template["Outputs"], "somewhere")
    assert Outputs.from_stack(values).telemetry_queue_url == "somewhere"
    assert {"DeviceRoleArn", "RoleAlias", "CertificatePolicy", "ThingType"} <= app.identity.template["Outputs"].keys()


def test_only_a_stage_that_does_not_keep_its_data_has_a_function_that_may_delete_it(dev: App, prod: App) -> None:
    assert "s3:DeleteObject" not in json.dumps(prod.ingestion.template)
    assert "Custom::LakeContents" not in json.dumps(prod.ingestion.template)
    _, contents = dev.ingestion.one("Custom::LakeContents", "Emptied")
    assert contents["Bucket"] == {"Ref": dev.ingestion.one("AWS::S3::Bucket", "Lake")[0]}
    # What writes is removed first: the mappings depend on the emptied lake.
    emptied, _ = dev.ingestion.one("Custom::LakeContents", "Emptied")
    for mapping in dev.ingestion.of_type("AWS::Lambda::EventSourceMapping").values():
        assert emptied in mapping["DependsOn"]


def test_saved_queries_stand_in_the_workgroup_with_the_limit(app: App) -> None:
    names = {query["Properties"]["Name"] for query in app.ingestion.of_type("AWS::Athena::NamedQuery").values()}
    assert names == {"latest per device", "rate per minute", "gaps"}
    for query in app.ingestion.of_type("AWS::Athena::NamedQuery").values():
        assert query["Properties"]["WorkGroup"] == app.name
