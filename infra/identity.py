"""Stack: how a device with an X.509 certificate gets short-lived AWS credentials (AWS IoT credentials provider).

A device calls `https://<prefix>.credentials.iot.<region>.amazonaws.com/role-aliases/<alias>/credentials` with its
certificate; the certificate's IoT policy allows the role alias, the alias names the role, the role holds the device policy
of the ingestion stack. It is a stack of its own because it can change hands (a security team), and because fleets that have
credentials already do not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Duration, Stack, Tags
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot

if TYPE_CHECKING:
    from constructs import Construct

    from infra.settings import Settings

CREDENTIAL_LIFETIME = Duration.hours(1)
"""botocore refreshes early; with the minimum of 15 minutes it would fetch again at every signature."""


class IdentityStack(Stack):
    """Device role, role alias, IoT policy and thing type."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's own name
        *,
        settings: Settings,
        device_policy: iam.ManagedPolicy,
    ) -> None:
        super().__init__(scope, id, description=f"{settings.name}: identity of devices")
        Tags.of(self).add("application", "device-agent")
        Tags.of(self).add("stage", settings.stage.name)
        role = iam.Role(
            self,
            "DeviceRole",
            assumed_by=iam.ServicePrincipal("credentials.iot.amazonaws.com"),
            managed_policies=[device_policy],
            max_session_duration=CREDENTIAL_LIFETIME,
            description="Assumed by devices through their certificate: send to the queues, nothing else",
        )
        alias = iot.CfnRoleAlias(
            self,
            "Alias",
            role_alias=settings.name,
            role_arn=role.role_arn,
            credential_duration_seconds=int(CREDENTIAL_LIFETIME.to_seconds()),
        )
        policy = iot.CfnPolicy(
            self,
            "Certificates",
            policy_name=settings.name,
            policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "iot:AssumeRoleWithCertificate",
                        "Resource": alias.attr_role_alias_arn,
                    }
                ],
            },
        )
        thing_type = iot.CfnThingType(self, "Things", thing_type_name=settings.name)
        outputs = {
            "DeviceRoleArn": role.role_arn,
            "RoleAlias": alias.ref,
            "CertificatePolicy": policy.ref,
            "ThingType": thing_type.ref,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
