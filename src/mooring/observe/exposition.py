"""What is counted, as Prometheus reads it; and that of several processes as if it were one's.

prometheus_client's own writer names every counter `…_total`; a guide's name is what it is."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.registry import Collector

Labels = tuple[tuple[str, str], ...]


@dataclass
class Family:
    """A metric with all its samples. Plain words and numbers: it travels between processes as JSON."""

    name: str
    type: str
    documentation: str
    samples: dict[tuple[str, Labels], float]  # by their own name (`…_bucket`) and labels


def families_of(collector: Collector) -> list[Family]:
    """Of a registry, or of one that it holds."""
    found = []
    for metric in collector.collect():
        samples = {(one.name, tuple(one.labels.items())): one.value for one in metric.samples}
        if not samples:
            continue
        name = metric.name
        if metric.type == "counter" and not any(own == name for own, _ in samples):
            name = f"{name}_total"
        found.append(Family(name, metric.type, metric.documentation, samples))
    return found


def joined(
    processes: Sequence[Iterable[Family]], *, summed: Collection[str] = (), least: Collection[str] = ()
) -> list[Family]:
    """Counters and histograms are summed, and the gauges that `summed` names; of those in `least` the lowest counts, of
    the others the highest."""
    result: dict[str, Family] = {}
    for families in processes:
        for family in families:
            into = result.setdefault(family.name, Family(family.name, family.type, family.documentation, {}))
            is_sum = family.type != "gauge" or family.name in summed
            choose = min if family.name in least else max
            for sample, number in family.samples.items():
                before = into.samples.get(sample)
                if before is None:
                    into.samples[sample] = number
                else:
                    into.samples[sample] = before + number if is_sum else choose(before, number)
    return list(result.values())


def text_of(families: Iterable[Family]) -> bytes:
    lines = []
    for family in families:
        documentation = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        lines.append(f"# HELP {family.name} {documentation}\n# TYPE {family.name} {family.type}\n")
        for (name, labels), number in family.samples.items():
            lines.append(f"{name}{_written(labels)} {float(number)!r}\n")
    return "".join(lines).encode()


def _written(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels)
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
