"""Foreign: whether an answer is AWS's at all. Captive portals, proxies and load balancers answer too, with any status and any page.

An answer is AWS's if it is shaped as AWS's: a request id, a content type that the protocols use, and an error code where it is an error.
(AWS JSON 1.0 and AWS Query protocols of the Smithy specification; the credentials provider of AWS IoT answers JSON with the same headers.)
A good answer of an emulator without request ids is known by what only it can say.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse

from device_agent.uplink.verdicts import Cause, NotSent

_TYPES: Final = ("application/x-amz-json", "application/json", "text/xml", "application/xml")
_REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id")
_CODES: Final = ("x-amzn-errortype", "x-amzn-query-error")
#: Statuses that only something in between gives: a proxy and a captive portal that want a login (RFC 9110, RFC 6585).
_NEVER: Final = frozenset({407, 511})
#: An error code of AWS's, with or without its namespace; `x-amzn-errortype` may go on after a colon.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9.#_/:-]*", re.ASCII)
_XML_CODE: Final = re.compile(rb"<Code>([^<]*)</Code>")
#: What good answers to the agent's requests have, and a portal's would not.
_LISTS: Final = ("Successful", "Failed")
_TABLES: Final = {"Attributes": "MaximumMessageSize", "credentials": "secretAccessKey"}
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<(script|style)\b.*?</\1[^>]*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
#: Characters of a page that are shown at most.
_SHOWN: Final = 100


def check(answer: AWSResponse) -> None:
    """Let pass what AWS says.

    Raises:
        NotSent: something else answers; with a bare 413 it may let smaller requests through.
    """
    if not _is_aws(answer):
        cause = Cause.PASSAGE if answer.status_code == 413 else Cause.FOREIGN
        raise NotSent(cause, f"something between here and AWS answers: {_first_line(answer)}")


def _is_aws(answer: AWSResponse) -> bool:
    if answer.status_code in _NEVER:
        return False
    kind = str(answer.headers.get("Content-Type", "")).lower()
    said = _members(answer.content)
    good = answer.status_code == 200
    if good and said is not None and _says_enough(said):
        return True
    known = any(answer.headers.get(name) for name in _REQUEST_IDS) or b"<RequestId>" in answer.content
    if not known or not kind.startswith(_TYPES):
        return False
    if "json" in kind:
        whole, codes = said is not None, [(said or {}).get(name) for name in ("__type", "code", "Code")]
    else:
        whole, codes = b"Response" in answer.content, [one.decode("utf-8", "replace") for one in _XML_CODE.findall(answer.content)]
    codes += [answer.headers.get(name, "").partition(";")[0] for name in _CODES]
    return whole and (good or any(isinstance(code, str) and _NAME.fullmatch(code) for code in codes))


def _says_enough(said: dict[str, Any]) -> bool:
    """Whether a good answer needs no request id to be believed."""
    if any(isinstance(said.get(name), list) for name in _LISTS):
        return True
    tables = ((said.get(name), member) for name, member in _TABLES.items())
    return any(isinstance(table, dict) and member in table for table, member in tables)


def _members(content: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _first_line(answer: AWSResponse) -> str:
    """Status, where a redirect leads, and the beginning of the text, on one line, without tags and control characters."""
    text = answer.content.decode("utf-8", "replace")
    title = _TITLE.search(text)
    text = html.unescape(_TAG.sub(" ", title[1] if title else text))
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    place = _host(str(answer.headers.get("Location", "")))
    return " ".join(part for part in (f"HTTP {answer.status_code}", place and f"to {place}", text) if part)


def _host(location: str) -> str:
    """Name of the host of a redirect; the rest may hold secrets."""
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""
