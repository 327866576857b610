"""Writes the YAML that Prometheus, Alertmanager and Grafana read: mappings, lists, text, numbers."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

COMMENT = "#"  # this key of a mapping is written before it, as a comment


def document(tree: Mapping[str, Any], *head: str) -> str:
    comments = [f"# {line}".rstrip() for line in head]
    return "\n".join([*comments, *_mapping(tree)]) + "\n"


def _mapping(tree: Mapping[str, Any]) -> list[str]:
    lines = [f"# {line}" for line in textwrap.wrap(tree.get(COMMENT, ""), 110)]
    for key, value in tree.items():
        if key != COMMENT:
            lines += _entry(key, value)
    return lines


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [f"{key}:", *_indented(_mapping(value))]
    if isinstance(value, str) and any(sign in value for sign in '\n"'):  # readable, rather than full of backslashes
        return [f"{key}: |-", *_indented(value.split("\n"))]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [f"{key}:", *(line for item in value for line in _item(item))]
    return [f"{key}: {_scalar(value)}"]


def _item(item: Any) -> list[str]:
    if not isinstance(item, Mapping):
        return [f"  - {_scalar(item)}"]
    lines = _mapping(item)
    comments = [line for line in lines if line.startswith("#")]
    first, *rest = lines[len(comments) :]
    return [*_indented(comments), f"  - {first}", *_indented(rest, "    ")]


def _scalar(value: Any) -> str:
    """JSON's scalars are YAML's; what has quotes in it reads better between the other ones."""
    if isinstance(value, str) and '"' in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def _indented(lines: Sequence[str], by: str = "  ") -> list[str]:
    return [by + line for line in lines]
