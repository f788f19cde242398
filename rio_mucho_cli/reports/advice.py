"""Advice on faster runs, by rules over the metrics of a report.

See `docs/explanation/advice.md` for the measurements behind the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rio_mucho_cli.text import MB, format_bytes, format_count, option


class Metrics:
    """Figures of a report that several rules use.

    Parameters
    ----------
    document : Mapping
        The report of a run that had a plan.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.plan: Mapping[str, Any] = document["plan"]
        self.inputs: list[Mapping[str, Any]] = self.plan["inputs"]
        self.jobs: int = self.plan["jobs"]
        self.executor: str = self.plan["executor"]
        self.windows: int = sum(worker["windows"] for worker in document["workers"])
        self.working: float = document["phases"]["working_seconds"]
        self.starting: float = document["phases"]["starting_seconds"]
        self.seconds: float = document["seconds"]

    def wall(self, *names: str) -> float:
        """Return the wall time of some stages, summed over all workers."""
        return self._sum("seconds", names)

    def cpu(self, *names: str) -> float:
        """Return the CPU time of some stages, summed over all workers."""
        return self._sum("cpu_seconds", names)

    @property
    def busy(self) -> float:
        """Seconds that workers were busy, summed over all of them."""
        return self.wall("read", "function", "encode", "write")

    @property
    def idle_share(self) -> float:
        """Idle share of the workers' time between the first and the last window."""
        available = self.jobs * self.working
        return 0.0 if available <= 0 else max(0.0, 1 - self.busy / available)

    @property
    def per_window(self) -> float:
        """Average seconds per window."""
        return self.busy / max(1, self.windows)

    def _sum(self, clock: str, names: Iterable[str]) -> float:
        workers = self.document["workers"]
        return float(sum(worker["stages"][name][clock] for worker in workers for name in names))


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence of advice, and the name of the rule that gave it."""

    rule: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return the advice as a JSON object."""
        return {"rule": self.rule, "text": self.text}


Rule: TypeAlias = Callable[[Metrics], str | None]


def starting_takes_longest(metrics: Metrics) -> str | None:
    """Return advice against processes if starting them takes most of the run."""
    if metrics.executor != "processes" or metrics.document["outcome"] != "done":
        return None
    if metrics.starting < max(_WORTH_STARTING, 0.5 * metrics.seconds):
        return None
    without_processes = max(0.0, metrics.starting - _START_OF_PROCESSES) + metrics.busy
    if without_processes > 0.8 * metrics.seconds:
        return None
    return (
        f"Starting workers took {metrics.starting:.2f} of {metrics.seconds:.2f} s. For runs this "
        f"short, use {option('jobs', 1)} or {option('executor', 'threads')}."
    )


_START_OF_PROCESSES = 0.4
"""Seconds to start worker processes."""
_WORTH_STARTING = 0.2
"""Seconds of starting that are worth advice."""


def reads_wait(metrics: Metrics) -> str | None:
    """Return advice if workers wait for a disk or a server."""
    wall, cpu = metrics.wall("read"), metrics.cpu("read")
    if wall < 0.3 * metrics.busy or wall < 2 * cpu or _is_crowded(metrics):
        return None
    if (wall - cpu) / metrics.jobs < _WORTH_WAITING:
        return None
    share = f"{100 * (wall - cpu) / metrics.busy:.0f} % of their busy time"
    if any(source.get("on_network") for source in metrics.inputs):
        return (
            f"Workers spent {share} waiting for servers: use more jobs than CPUs "
            f"({option('jobs', 2 * metrics.jobs)} or more), to request several windows at once."
        )
    return (
        f"Workers spent {share} waiting for the disk, not for CPUs: a faster disk or compressed "
        "inputs help more than more jobs."
    )


_WORTH_WAITING = 5.0
"""Seconds of waiting, per worker, that are worth advice."""


def blocks_are_read_again(metrics: Metrics) -> str | None:
    """Return advice if several windows decode the same blocks of an input."""
    if metrics.wall("read") < 0.3 * metrics.busy or metrics.busy < 1:
        return None
    worst = max(metrics.inputs, key=lambda source: source.get("block_reads") or 0.0, default={})
    times = worst.get("block_reads") or 0.0
    if times < 2 or metrics.plan["windows"]["overlap"]:
        return None
    width, height = metrics.plan["windows"]["size"]
    block_width, block_height = worst["block"]
    reason = (
        f"Windows of {width} x {height} pixels are not whole blocks of {worst['path']} "
        f"({block_width} x {block_height}), so workers decode {times:.1f} times as many pixels as "
        "they need"
    )
    if worst.get("striped"):
        return (
            f"{reason}: leave out {option('windows')}, or tile the input first "
            "(rio convert --co tiled=yes)."
        )
    whole_blocks = "x".join(
        str(side * max(1, round(length / side)))
        for side, length in zip(worst["block"], (width, height), strict=True)
    )
    return f"{reason}: use {option('windows', whole_blocks)}."


def function_holds_the_gil(metrics: Metrics) -> str | None:
    """Return advice against threads if they wait for the GIL."""
    wall, cpu = metrics.wall("function"), metrics.cpu("function")
    if metrics.executor != "threads" or metrics.jobs < 2 or wall < 0.5 * metrics.busy:
        return None
    cpus_used = metrics.cpu("read", "function", "encode") / max(metrics.working, 1e-9)
    if wall < 1.5 * cpu or not 0.75 <= cpus_used <= 1.25:
        return None
    return (
        f"The function waited {100 * (1 - cpu / wall):.0f} % of its time, while {metrics.jobs} "
        f"threads used {cpus_used:.1f} CPUs in total: it probably holds the GIL. Use "
        f"{option('executor', 'processes')}."
    )


def function_waits(metrics: Metrics) -> str | None:
    """Return advice for more jobs if the function waits for something other than CPUs."""
    wall, cpu = metrics.wall("function"), metrics.cpu("function")
    if metrics.executor == "dask" or wall < 0.5 * metrics.busy:
        return None
    # Encoding needs nothing but CPUs: it shows how long other programs make work take.
    encoding, encoding_cpu = metrics.wall("encode"), metrics.cpu("encode")
    if wall < 3 * cpu * max(1.0, encoding / max(encoding_cpu, 1e-9) if encoding else 1.0):
        return None
    cpus_used = metrics.cpu("read", "function", "encode") / max(metrics.working, 1e-9)
    cpus = metrics.document["machine"]["usable_cpus"]
    if (wall - cpu) / metrics.jobs < _WORTH_WAITING or cpus_used > 0.5 * cpus:
        return None
    if metrics.windows < 4 * metrics.jobs:
        return None
    return (
        f"The function waited {100 * (1 - cpu / wall):.0f} % of its time, for a server, a device "
        f"or another program, and the workers used {cpus_used:.1f} of {format_count(cpus, 'CPU')}: "
        f"use more jobs ({option('jobs', 4 * metrics.jobs)}) if what it waits for can serve them."
    )


def libraries_have_threads(metrics: Metrics) -> str | None:
    """Return advice if jobs times threads of numeric libraries exceed the CPUs."""
    values = metrics.document["job"]["thread_variables"].values()
    threads = max((int(value) for value in values if value.isdecimal()), default=1)
    cpus = metrics.document["machine"]["usable_cpus"]
    if metrics.executor not in {"processes", "threads"} or metrics.jobs < 2 or threads < 2:
        return None
    if metrics.wall("function") < 0.5 * metrics.busy or threads * metrics.jobs <= cpus:
        return None
    return (
        f"{metrics.jobs} jobs with {threads} threads each, as set in the environment, exceed the "
        f"{cpus} CPUs: unset OMP_NUM_THREADS and similar variables, so that each worker uses one "
        "thread."
    )


_SPEEDUPS = {"lzw": (3, 6), "deflate": (4, 7), "zstd": (3, 7), "lzma": (60, 120)}
"""CPU time divided by that of zstd at level 1: lowest and highest."""


def compression_takes_longest(metrics: Metrics) -> str | None:
    """Return advice for a faster compression if compressing takes longest."""
    cpu = metrics.cpu("encode")
    total = metrics.cpu("read", "function", "encode")
    if not metrics.plan["outputs"]:
        return None
    output = metrics.plan["outputs"][0]
    codec = str((output["file"] or {}).get("compress") or "").lower()
    options = output["creation_options"]
    level = options.get("level") or options.get("zstd_level")
    if cpu < 1 or cpu < 0.4 * total or codec not in _SPEEDUPS:
        return None
    if metrics.wall("encode") < 0.4 * metrics.busy or metrics.per_window < _SMALL:
        return None
    if codec == "zstd" and level == "1":
        return None
    lowest, highest = _SPEEDUPS[codec]
    level_option = ("LEVEL" if output["cog"] else "ZSTD_LEVEL", 1)
    fast = " and ".join(
        option("creation_options", pair) for pair in (("COMPRESS", "ZSTD"), level_option)
    )
    return (
        f"Compression with {codec} took {100 * cpu / total:.0f} % of the workers' CPU time: use "
        f"{fast}, which is {lowest:g} to {highest:g} times as fast in benchmarks, with files of "
        "about the same size."
    )


def windows_are_too_few(metrics: Metrics) -> str | None:
    """Return advice if workers are idle because there are few windows or parts."""
    tasks = metrics.plan["parts"] or metrics.plan["windows"]["number"]
    if metrics.jobs < 2 or metrics.idle_share < 0.2 or tasks >= 4 * metrics.jobs:
        return None
    if metrics.busy < 1:
        return None
    things, size = ("parts", "part_size") if metrics.plan["parts"] else ("windows", "windows")
    return (
        f"Workers were idle for {100 * metrics.idle_share:.0f} % of the time, because {tasks} "
        f"{things} do not divide evenly among {metrics.jobs} jobs: use a smaller {option(size)}."
    )


def caller_is_the_bottleneck(metrics: Metrics) -> str | None:
    """Return advice if workers wait for the main process to compress and write."""
    writing = metrics.document["stages"]["write"]["seconds"]
    seconds = metrics.working + metrics.document["phases"]["finishing_seconds"]
    if metrics.executor == "serial" or metrics.plan["parts"] or writing < 1:
        return None
    if not metrics.plan["outputs"]:
        return None
    if writing < 0.6 * seconds or metrics.idle_share < 0.3:
        return None
    share = f"{100 * min(1.0, writing / seconds):.0f} % of the time"
    if all(output["written"]["by"] == "workers" for output in metrics.plan["outputs"]):
        return (
            f"The main process was busy writing for {share}, and workers waited for it: a faster "
            "disk for the output, or compression, helps more than more jobs."
        )
    return (
        f"The main process was busy compressing and writing for {share}, and workers waited for "
        f"it: leave out {option('windows')}, or use whole blocks of a GeoTIFF, so that workers "
        "compress."
    )


def memory_is_short(metrics: Metrics) -> str | None:
    """Return advice if processes take nearly all memory."""
    memory = metrics.document["memory"]
    available = metrics.document["machine"]["memory_bytes"]
    used = memory["caller_peak_bytes"] + memory["workers_peak_bytes"]
    if metrics.executor == "dask" or used < 0.9 * available:
        return None
    return (
        f"The peaks of all processes add up to {format_bytes(used)}, of {format_bytes(available)} "
        f"available: use {option('mem_limit', int(0.6 * available / MB))}, for smaller windows or "
        "fewer jobs."
    )


def windows_are_too_small(metrics: Metrics) -> str | None:
    """Return advice if the overhead of windows exceeds the work on them."""
    width, height = metrics.plan["windows"]["size"]
    if metrics.windows < 1000 or metrics.per_window > _SMALL or width * height >= 256 * 256:
        return None
    return (
        f"Windows of {width} x {height} pixels took {1000 * metrics.per_window:.1f} ms each, most "
        f"of it overhead: leave out {option('windows')}, or use 512 or more."
    )


_SMALL = 0.002
"""Seconds; windows that take less are mostly overhead."""


RULES: tuple[Rule, ...] = (
    starting_takes_longest,
    windows_are_too_few,
    windows_are_too_small,
    caller_is_the_bottleneck,
    reads_wait,
    blocks_are_read_again,
    function_holds_the_gil,
    function_waits,
    libraries_have_threads,
    compression_takes_longest,
    memory_is_short,
)


def advise(document: Mapping[str, Any]) -> list[Advice]:
    """Return the advice for a run, often none.

    Parameters
    ----------
    document : Mapping
        The report of a run that had a plan.
    """
    metrics = Metrics(document)
    if not metrics.windows:
        return []
    texts = ((rule.__name__, rule(metrics)) for rule in RULES)
    return [Advice(name, text) for name, text in texts if text is not None]


def _is_crowded(metrics: Metrics) -> bool:
    """Return whether the other stages wait for CPUs, too."""
    wall, cpu = metrics.wall("function", "encode"), metrics.cpu("function", "encode")
    return wall > 0.1 * metrics.busy and wall > 1.5 * cpu
