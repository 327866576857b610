from flow.conftest import unreachable, world

__all__ = ["unreachable", "world"]
