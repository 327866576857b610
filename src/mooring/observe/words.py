"""What the labels say."""

from typing import Literal

Result = Literal["success", "failure"]
RESULTS: tuple[Result, ...] = ("success", "failure")
Access = Literal["authenticated", "shared"]
Granted = Literal["success", "denied"]
TokenStatus = Literal["valid", "invalid", "expired"]
# What became of a file that a worker took up. `retry`: nothing yet.
Outcome = Literal["success", "failure", "rejected", "retry"]
Service = Literal["object_storage", "cdn", "log_service"]
SERVICES: tuple[Service, ...] = ("object_storage", "cdn", "log_service")
# What became of an upload's bytes. `incomplete`: its URL lapsed and nothing had come.
Arrival = Literal["arrived", "rejected", "incomplete"]
ARRIVALS: tuple[Arrival, ...] = ("arrived", "rejected", "incomplete")
