"""Encryption at rest and in transit, in both modes."""

from __future__ import annotations

from tests.infra.synth import App


def key_arn(app: App) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [app.ingestion.one("AWS::KMS::Key", "Encryption")[0], "Arn"]}


def test_by_default_sqs_encrypts_with_its_own_keys_and_no_key_is_paid_for(dev: App) -> None:
    for queue in dev.ingestion.of_type("AWS::SQS::Queue").values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert "KmsMasterKeyId" not in queue["Properties"]
    assert "AWS::KMS::Key" not in {resource["Type"] for resource in dev.ingestion.template["Resources"].values()}


def test_the_customer_key_rotates_and_outlives_the_stack_that_keeps_data(prod: App) -> None:
    (key,) = prod.ingestion.of_type("AWS::KMS::Key").values()
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "Retain"


def test_with_a_customer_key_every_queue_uses_it_and_reuses_its_data_keys_for_a_day(prod: App) -> None:
    for queue in prod.ingestion.of_type("AWS::SQS::Queue").values():
        assert queue["Properties"]["KmsMasterKeyId"] == key_arn(prod)
        assert queue["Properties"]["KmsDataKeyReusePeriodSeconds"] == 86_400


def test_with_a_customer_key_lake_tables_alarms_and_query_results_use_it(prod: App) -> None:
    _, bucket = prod.ingestion.one("AWS::S3::Bucket", "Lake")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn(prod)}
    for table in prod.ingestion.of_type("AWS::DynamoDB::Table").values():
        wanted = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key_arn(prod)}
        assert table["Properties"]["SSESpecification"] == wanted
    _, topic = prod.ingestion.one("AWS::SNS::Topic", "Alarms")
    assert topic["KmsMasterKeyId"] == key_arn(prod)
    _, workgroup = prod.ingestion.one("AWS::Athena::WorkGroup", "Lake")
    results = workgroup["WorkGroupConfiguration"]["ResultConfiguration"]["EncryptionConfiguration"]
    assert results == {"EncryptionOption": "SSE_KMS", "KmsKey": key_arn(prod)}


def test_cloudwatch_may_publish_alarms_under_the_customer_key_and_from_this_account_only(prod: App) -> None:
    (key,) = prod.ingestion.of_type("AWS::KMS::Key").values()
    services = [statement for statement in key["Properties"]["KeyPolicy"]["Statement"] if "Service" in statement["Principal"]]
    assert [statement["Principal"]["Service"] for statement in services] == ["cloudwatch.amazonaws.com"]
    assert services[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_lake_is_private_encrypted_and_refuses_plain_http(app: App) -> None:
    bucket_id, bucket = app.ingestion.one("AWS::S3::Bucket", "Lake")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    _, policy = app.ingestion.one("AWS::S3::BucketPolicy", "Lake")
    assert policy["Bucket"] == {"Ref": bucket_id}
    (refusal,) = policy["PolicyDocument"]["Statement"]
    assert (refusal["Effect"], refusal["Action"]) == ("Deny", "s3:*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
