from servers.serving import mooring

__all__ = ["mooring"]
