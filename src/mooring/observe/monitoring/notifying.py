"""Alertmanager's configuration: who is called, who may read it later, and what silences what."""

from typing import Any

from mooring.observe.monitoring.pace import DAY, HOUR, LIFE, MINUTE, SECOND, Pace
from mooring.observe.monitoring.places import Places

TITLE = "[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }} ({{ .CommonLabels.severity }})"
TEXT = (
    "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
    "{{ .Annotations.runbook_url }}\n{{ end }}"
)
# What a warning and its critical have in common. What neither has is the same too.
SAME = ["subject", "instance", "service", "client_id", "user_id", "mountpoint"]


def alertmanager(places: Places, pace: Pace = LIFE) -> dict[str, Any]:
    waits = {"group_wait": pace.span(30 * SECOND), "group_interval": pace.span(5 * MINUTE)}
    digest = {
        "#": "Warnings once more, by e-mail, as a summary.",
        "receiver": "digest",
        "matchers": ['severity = "warning"'],
        "group_by": ["severity"],
        "group_wait": pace.span(15 * MINUTE),
        "group_interval": pace.span(HOUR),
        "repeat_interval": pace.span(DAY),
        "continue": True,
    }
    return {
        "route": {
            "receiver": "team",
            "group_by": ["subject", "severity"],
            **waits,
            "repeat_interval": pace.span(4 * HOUR),
            "routes": [
                {"receiver": "on-call", "matchers": ['severity = "critical"'], "repeat_interval": pace.span(HOUR)},
                digest,
                {"receiver": "team", "matchers": ['severity = "warning"']},
            ],
        },
        "inhibit_rules": [
            {"source_matchers": ['severity = "critical"'], "target_matchers": ['severity = "warning"'], "equal": SAME}
        ],
        "receivers": [
            {"name": "on-call", **_pagerduty(places), **_slack(places, "danger"), **_webhook(places)},
            {"name": "team", **_slack(places, "warning"), **_webhook(places)},
            {"name": "digest", **_email(places)},
        ],
    }


def _slack(places: Places, color: str) -> dict[str, Any]:
    if places.slack_url_file is None:
        return {}
    colored = '{{ if eq .Status "firing" }}' + color + "{{ else }}good{{ end }}"
    message = {"title": TITLE, "text": TEXT, "color": colored, "send_resolved": True}
    return {"slack_configs": [{"api_url_file": places.slack_url_file, "channel": places.slack_channel, **message}]}


def _pagerduty(places: Places) -> dict[str, Any]:
    if places.pagerduty_key_file is None:
        return {}
    described = "{{ .CommonAnnotations.summary }}"
    return {
        "pagerduty_configs": [
            {"routing_key_file": places.pagerduty_key_file, "description": described, "severity": "critical"}
        ]
    }


def _email(places: Places) -> dict[str, Any]:
    if places.email_to is None:
        return {}
    mail: dict[str, Any] = {
        "to": places.email_to,
        "from": places.email_from,
        "smarthost": places.smtp_server,
        "headers": {"Subject": TITLE},
        "text": TEXT,
        "send_resolved": True,
    }
    if places.smtp_user is not None:
        mail["auth_username"] = places.smtp_user
    if places.smtp_password_file is not None:
        mail["auth_password_file"] = places.smtp_password_file
    return {"email_configs": [mail]}


def _webhook(places: Places) -> dict[str, Any]:
    return {"webhook_configs": [{"url": places.webhook_url, "send_resolved": True}]} if places.webhook_url else {}
