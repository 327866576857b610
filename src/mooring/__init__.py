"""Mooring: temporary upload URLs, and a ledger that knows what became of every one."""


def __getattr__(name: str) -> str:
    """Finding out takes longer than a child process needs for everything else, and children never ask."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("mooring")
