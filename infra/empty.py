"""Command: `python -m infra.empty` deletes what is in the lake of a stage that does not keep its data, so that `cdk destroy` can end.

CloudFormation refuses to delete a bucket with objects in it. The CDK's own answer is a function that lives in the stack and may delete
everything; here it is a command that somebody types, with their own rights, and that a stage which keeps its data refuses.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.stages import STAGES


def empty(*, stage: str, cloudformation: Any, s3: Any) -> tuple[str, int]:
    """Delete every object of the stage's lake; return the bucket's name and how many there were.

    Raises:
        ValueError: the stage keeps its data.
        ClientError: there is no such stack, or the caller may not do this.
    """
    if STAGES[stage].keep_data:
        raise ValueError(f"stage {stage} keeps its data; delete the bucket by hand if that is really wanted")
    (stack,) = cloudformation.describe_stacks(StackName=f"device-agent-{stage}-ingestion")["Stacks"]
    bucket = next(output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "LakeBucket")
    count = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            count += len(keys)
    return bucket, count


def main() -> int:
    """Parse the command line and run; 0 done, 1 AWS refused, 2 wrong usage or a stage that keeps its data."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.empty",
        description="Delete all readings in the lake of a stage, before `cdk destroy`.",
        epilog="example: python -m infra.empty --stage dev",
    )
    parser.add_argument("--stage", default="dev", choices=sorted(STAGES), help="default: dev")
    stage = parser.parse_args().stage
    cloudformation: Any = boto3.client("cloudformation")
    s3: Any = boto3.client("s3")
    try:
        bucket, count = empty(stage=stage, cloudformation=cloudformation, s3=s3)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(f"the lake of stage {stage} was not emptied: {error}", file=sys.stderr)
        return 1
    print(f"{count} objects deleted from {bucket}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
