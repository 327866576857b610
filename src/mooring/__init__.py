"""Mooring: temporary upload URLs, and a ledger that knows what became of every one."""

from importlib.metadata import version

__version__ = version("mooring")
