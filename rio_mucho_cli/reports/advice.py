"""Advice on faster runs, by rules over the figures of a report.

See `docs/explanation/advice.md` for the measurements behind the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rio_mucho_cli.text import MB, format_bytes, option

Said: TypeAlias = Mapping[str, Any]


class Metrics:
    """Figures of a report that several rules use.

    Parameters
    ----------
    said : Mapping
        A report as `document` returns it, with a plan.
    """

    def __init__(self, said: Said) -> None:
        self.said = said
        self.plan: Said = said["plan"]
        self.inputs: list[Said] = self.plan["inputs"]
        self.jobs: int = self.plan["jobs"]
        self.executor: str = self.plan["executor"]
        self.windows: int = sum(worker["windows"] for worker in said["workers"])
        self.working: float = said["phases"]["working_seconds"]
        self.starting: float = said["phases"]["starting_seconds"]
        self.seconds: float = said["seconds"]

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
        there = self.jobs * self.working
        return 0.0 if there <= 0 else max(0.0, 1 - self.busy / there)

    @property
    def each(self) -> float:
        """Average seconds per window."""
        return self.busy / max(1, self.windows)

    def _sum(self, which: str, names: Iterable[str]) -> float:
        workers = self.said["workers"]
        return float(sum(worker["stages"][name][which] for worker in workers for name in names))


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence of advice, and the name of the rule that gave it."""

    rule: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return the advice as a JSON object."""
        return {"rule": self.rule, "text": self.text}


Rule: TypeAlias = Callable[[Metrics], str | None]


def starting_takes_longest(figures: Metrics) -> str | None:
    """Return advice against processes if starting them takes most of the run."""
    if figures.executor != "processes" or figures.said["outcome"] != "done":
        return None
    if figures.starting < 0.5 * figures.seconds:
        return None
    alone = max(0.0, figures.starting - _START_OF_PROCESSES) + figures.busy
    if alone > 0.8 * figures.seconds:
        return None
    return (
        f"Starting took {figures.starting:.2f} s of {figures.seconds:.2f} s, and all the work "
        f"{figures.busy:.2f} s of the workers' time: with {option('jobs', 1)} nothing is "
        f"started, and with {option('executor', 'threads')} much less."
    )


_START_OF_PROCESSES = 0.4


def reads_wait(figures: Metrics) -> str | None:
    """Return advice if workers wait for a disk or a server."""
    wall, cpu = figures.wall("read"), figures.cpu("read")
    if wall < 0.3 * figures.busy or wall < 2 * cpu or _is_crowded(figures):
        return None
    if (wall - cpu) / figures.jobs < _WORTH_WAITING:
        return None
    share = f"{100 * (wall - cpu) / figures.busy:.0f} % of their busy time"
    if any(each.get("on_network") for each in figures.inputs):
        return (
            f"Workers waited {share} for servers: more jobs than CPUs (-j {2 * figures.jobs} or "
            "more) ask for several windows at once."
        )
    return (
        f"Workers waited {share} for the disk, and not for CPUs: inputs on a faster disk, or "
        "compressed ones, which have less to read, help more than jobs do."
    )


_WORTH_WAITING = 5.0


def blocks_are_read_again(figures: Metrics) -> str | None:
    """Return advice if several windows decode the same blocks of an input."""
    if figures.wall("read") < 0.3 * figures.busy or figures.busy < 1:
        return None
    again = max(figures.inputs, key=lambda each: each.get("block_reads") or 0.0, default={})
    times = again.get("block_reads") or 0.0
    if times < 2 or figures.plan["windows"]["overlap"]:
        return None
    width, height = figures.plan["windows"]["size"]
    said = (
        f"Blocks of {again['path']} are {again['block'][0]} x {again['block'][1]} pixels, and "
        f"windows of {width} x {height} touch {times:.1f} times as many pixels as they have, so "
        "that several workers decode the same block: "
    )
    if again.get("striped"):
        return (
            f"{said}leave out {option('windows')}, or convert it first "
            "(rio convert --co tiled=yes)."
        )
    better = "x".join(
        str(side * max(1, round(length / side)))
        for side, length in zip(again["block"], (width, height), strict=True)
    )
    return f"{said}{option('windows', better)} has whole blocks."


def function_holds_the_gil(figures: Metrics) -> str | None:
    """Return advice against threads if they wait for Python's lock."""
    wall, cpu = figures.wall("function"), figures.cpu("function")
    if figures.executor != "threads" or figures.jobs < 2 or wall < 0.5 * figures.busy:
        return None
    used = figures.cpu("read", "function", "encode") / max(figures.working, 1e-9)
    if wall < 1.5 * cpu or not 0.75 <= used <= 1.25:
        return None
    return (
        f"The function waited {100 * (1 - cpu / wall):.0f} % of its time, while {figures.jobs} "
        f"threads used {used:.1f} CPUs together: it seems to hold Python's lock. With "
        f"{option('executor', 'processes')} each worker has its own."
    )


def libraries_have_threads(figures: Metrics) -> str | None:
    """Return advice if jobs times threads of numeric libraries exceed the CPUs."""
    set_to = figures.said["job"]["thread_variables"].values()
    threads = max((int(text) for text in set_to if text.isdecimal()), default=1)
    cpus = figures.said["machine"]["usable_cpus"]
    if figures.executor not in {"processes", "threads"} or figures.jobs < 2 or threads < 2:
        return None
    if figures.wall("function") < 0.5 * figures.busy or threads * figures.jobs <= cpus:
        return None
    return (
        f"{figures.jobs} jobs with {threads} threads each, as the environment says, are more than "
        f"{cpus} CPUs: unset OMP_NUM_THREADS and its like, and each worker has one."
    )


_TIMES = {"lzw": (3, 6), "deflate": (4, 7), "zstd": (3, 7), "lzma": (60, 120)}
"""CPU time relative to zstd at level 1: lowest and highest."""


def compression_takes_longest(figures: Metrics) -> str | None:
    """Return advice for a faster compression if compressing takes longest."""
    cpu = figures.cpu("encode")
    whole = figures.cpu("read", "function", "encode")
    output = figures.plan["outputs"][0]
    codec = str((output["file"] or {}).get("compress") or "").lower()
    options = output["creation_options"]
    level = options.get("level") or options.get("zstd_level")
    if cpu < 1 or cpu < 0.4 * whole or codec not in _TIMES:
        return None
    if figures.wall("encode") < 0.4 * figures.busy or figures.each < _SMALL:
        return None
    if codec == "zstd" and level == "1":
        return None
    least, most = _TIMES[codec]
    level_option = ("LEVEL" if output["cog"] else "ZSTD_LEVEL", 1)
    fast = " and ".join(
        option("creation_options", pair) for pair in (("COMPRESS", "ZSTD"), level_option)
    )
    return (
        f"Compression with {codec} took {100 * cpu / whole:.0f} % of the workers' CPU time: "
        f"{fast} is {least:g} to {most:g} times as fast on "
        "the rasters that this was measured on, for files of about the same size."
    )


def windows_are_too_few(figures: Metrics) -> str | None:
    """Return advice if workers are idle because there are few windows or parts."""
    tasks = figures.plan["parts"] or figures.plan["windows"]["number"]
    if figures.jobs < 2 or figures.idle_share < 0.2 or tasks >= 4 * figures.jobs:
        return None
    if figures.busy < 1:
        return None
    what, size = ("parts", "part_size") if figures.plan["parts"] else ("windows", "windows")
    return (
        f"Workers had nothing to do for {100 * figures.idle_share:.0f} % of the time, because "
        f"{tasks} {what} do not divide evenly among {figures.jobs} jobs: a smaller "
        f"{option(size)} helps."
    )


def caller_is_the_bottleneck(figures: Metrics) -> str | None:
    """Return advice if workers wait for the main process to compress and write."""
    writing = figures.said["stages"]["write"]["seconds"]
    there = figures.working + figures.said["phases"]["finishing_seconds"]
    if figures.executor == "serial" or figures.plan["parts"] or writing < 1:
        return None
    if writing < 0.6 * there or figures.idle_share < 0.3:
        return None
    share = f"{100 * min(1.0, writing / there):.0f} % of the time"
    if all(each["written"]["by"] == "workers" for each in figures.plan["outputs"]):
        return (
            f"The main process was busy with writing for {share}, and workers waited for it: "
            "a faster disk for the output, or compression, helps more than jobs do."
        )
    return (
        f"The main process was busy with compressing and writing for {share}, and workers "
        f"waited for it: leave out {option('windows')}, or give whole blocks of a GeoTIFF, and "
        "workers compress."
    )


def memory_is_short(figures: Metrics) -> str | None:
    """Return advice if processes take nearly all memory."""
    memory = figures.said["memory"]
    there = figures.said["machine"]["memory_bytes"]
    taken = memory["caller_peak_bytes"] + memory["workers_peak_bytes"]
    if figures.executor == "dask" or taken < 0.9 * there:
        return None
    return (
        f"The peaks of all processes are {format_bytes(taken)} together, and there are "
        f"{format_bytes(there)}: {option('mem_limit', int(0.6 * there / MB))} makes windows "
        "smaller, or jobs fewer."
    )


def windows_are_too_small(figures: Metrics) -> str | None:
    """Return advice if the overhead of windows exceeds the work on them."""
    width, height = figures.plan["windows"]["size"]
    if figures.windows < 1000 or figures.each > _SMALL or width * height >= 256 * 256:
        return None
    return (
        f"Windows of {width} x {height} pixels took {1000 * figures.each:.1f} ms each, most of "
        f"which windows cost by themselves: leave out {option('windows')}, or give 512 or more."
    )


_SMALL = 0.002


RULES: tuple[Rule, ...] = (
    starting_takes_longest,
    windows_are_too_few,
    windows_are_too_small,
    caller_is_the_bottleneck,
    reads_wait,
    blocks_are_read_again,
    function_holds_the_gil,
    libraries_have_threads,
    compression_takes_longest,
    memory_is_short,
)


def advise(said: Said) -> list[Advice]:
    """Return the advice for a run, often none.

    Parameters
    ----------
    said : Mapping
        A report as `document` returns it, with a plan.
    """
    figures = Metrics(said)
    if not figures.windows:
        return []
    given = ((rule.__name__, rule(figures)) for rule in RULES)
    return [Advice(name, text) for name, text in given if text is not None]


def _is_crowded(figures: Metrics) -> bool:
    """Return whether the other stages wait for CPUs, too."""
    wall, cpu = figures.wall("function", "encode"), figures.cpu("function", "encode")
    return wall > 0.1 * figures.busy and wall > 1.5 * cpu
