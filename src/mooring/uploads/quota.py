"""What a plan allows. The amounts live in one row per user (`quotas`); reserving, settling and releasing are part of
the statements that issue, advance, lapse and remove, so that they can't be forgotten or half done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    max_bytes: int
    max_in_flight: int
