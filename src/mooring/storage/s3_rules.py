"""Rules of a bucket: ours beside those of others."""

from base64 import b64encode
from hashlib import md5
from xml.etree.ElementTree import Element

from mooring.errors import StorageUnavailable
from mooring.storage import s3_xml as xml
from mooring.storage.s3_calls import ANY, Answer, Calls

RULE = "mooring"  # the ID of our rules: other people's stay as they are


async def put_rule(calls: Calls, what: str, root_tag: str, rule: Element) -> str | None:
    """Ours beside all others that are there. What is wrong, or None."""
    try:
        there = await calls.ask("GET", query={what: ""}, good=ANY)
        if there.status not in (200, 404):
            return said(there)
        others = list(xml.read(there.body)) if there.status == 200 else []
        kept = [other for other in others if not _is_ours(other, rule)]
        body = xml.write(xml.new(root_tag, *kept, rule))
        digest = b64encode(md5(body, usedforsecurity=False).digest()).decode()
        headers = {"Content-MD5": digest, "Content-Type": "application/xml"}
        answer = await calls.ask("PUT", query={what: ""}, headers=headers, body=body, good=ANY)
    except StorageUnavailable as problem:
        return problem.what
    return None if answer.status in (200, 204) else said(answer)


def _is_ours(other: Element, rule: Element) -> bool:
    """An element without a name is there once or not at all."""
    name = other.findtext("ID") or other.findtext("Id")
    return name == RULE or (other.tag == rule.tag and len(other) == len(rule) == 0)


def said(answer: Answer) -> str:
    return f"{answer.status} {answer.code}".rstrip()
