"""Section 5 of the monitoring guide: the machines, as node_exporter sees them."""

from mooring.observe.monitoring.pace import MINUTE
from mooring.observe.monitoring.signals import Level, Written
from mooring.observe.monitoring.thresholds import Measure, critical, warning

REAL = 'fstype!~"tmpfs|ramfs|squashfs|iso9660|nsfs"'
REAL_FILES = f"{{{REAL}}}"
REAL_LINES = '{device!~"lo|veth.+|docker.+|br-.+"}'
OF_THE_MACHINE = ["instance"]
OF_THE_DISK = ["instance", "mountpoint"]


def against_the_usual(counter: str) -> Written:
    rates = f"sum by (instance) (rate({counter}{REAL_LINES}[10m]))"
    return Written(
        f"{rates} / sum by (instance) (rate({counter}{REAL_LINES}[1d] offset 10m)) * 100",
        f"{rates} >= 1e6 and count by (instance) ({counter}{REAL_LINES} offset 1d) > 0",
    )


NETWORK = "From 1 MB/s on, and with a day of history: against nothing everything is a surge."

RESOURCES = (
    Measure(
        "CPUUsage", "resources", "guide 002 §5.1", "CPU in use",
        Written('100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100'),
        [warning(80, 10 * MINUTE), critical(95, 5 * MINUTE, "HighCPUUsage")], "%", by=OF_THE_MACHINE,
        why="Each machine by itself: the guide's rule averages over all, and nine idle ones hide one that burns.",
    ),
    Measure(
        "MemoryUsage", "resources", "guide 002 §5.1", "Memory in use",
        Written("(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) * 100"),
        [warning(85, 10 * MINUTE), critical(95, 5 * MINUTE, "HighMemoryUsage")], "%", by=OF_THE_MACHINE,
    ),
    Measure(
        "AvailableMemory", "resources", "guide 002 §5.1", "Available memory", Level("node_memory_MemAvailable_bytes"),
        [critical(100e6, 5 * MINUTE)], "bytes", op="<", by=OF_THE_MACHINE, subject="MemoryUsage",
    ),
    Measure(
        "DiskUsage", "resources", "guide 002 §5.1", "Disk space in use",
        Written(f"(1 - node_filesystem_avail_bytes{REAL_FILES} / node_filesystem_size_bytes{REAL_FILES}) * 100"),
        [warning(80, 10 * MINUTE), critical(90, 5 * MINUTE, "LowDiskSpace")], "%", by=OF_THE_DISK,
        why="Every real file system: the guide's rule looks at / only, and the data folder is often on a disk of its "
        "own.",
    ),
    Measure(
        "AvailableDisk", "resources", "guide 002 §5.1", "Available disk space",
        Level(f'node_filesystem_avail_bytes{{{REAL},mountpoint!~"/boot.*"}}'),
        [critical(1e9, 5 * MINUTE)], "bytes", op="<", by=OF_THE_DISK, subject="DiskUsage",
        why="Not of /boot: it is smaller than that from the start.",
    ),
    Measure(
        "NetworkIn", "resources", "guide 002 §5.1", "Traffic in, against the average of the day before",
        against_the_usual("node_network_receive_bytes_total"),
        [warning(200, 10 * MINUTE), critical(500, 5 * MINUTE)], "%", op=">=", by=OF_THE_MACHINE, subject="Network",
        why=NETWORK,
    ),
    Measure(
        "NetworkOut", "resources", "guide 002 §5.1", "Traffic out, against the average of the day before",
        against_the_usual("node_network_transmit_bytes_total"),
        [warning(200, 10 * MINUTE), critical(500, 5 * MINUTE)], "%", op=">=", by=OF_THE_MACHINE, subject="Network",
        why=NETWORK,
    ),
    Measure(
        "MachineUnseen", "resources", "not in the guides", "A machine's exporter does not answer",
        Written('up{job="node"} == 0'), [warning(0, 5 * MINUTE, "MachineUnseen")], op="==", by=OF_THE_MACHINE,
        why="Without it every rule of this group is silent, as if all were well.",
    ),
)  # fmt: skip
