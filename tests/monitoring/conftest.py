from flow.conftest import world
from servers.serving import mooring

__all__ = ["mooring", "world"]
