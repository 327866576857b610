"""What every section of the bench is given."""

from dataclasses import dataclass

from database import Cluster


@dataclass(frozen=True)
class Asked:
    cluster: Cluster
    rounds: int  # of each contender
    seconds: int  # of a round
    rows: int  # in the ledger
