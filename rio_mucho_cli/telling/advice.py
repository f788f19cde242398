"""What could make the next run faster, where the figures of a report say so.

Each rule is a function that gets `Figures` and returns a sentence or None. The
thresholds were measured on a virtual machine with two cores, with Landsat
scenes (uint16), an index (float32), an RGB image and an elevation model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Said: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence, and the rule that it follows from."""

    rule: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {"rule": self.rule, "text": self.text}


class Figures:
    """Those figures of a report that several rules look at.

    Parameters
    ----------
    said : Mapping
        What `document` says; the plan must be known.
    """

    def __init__(self, said: Said) -> None:
        self.said = said
        self.plan: Said = said["plan"]
        self.inputs: list[Said] = said["job"]["inputs"]
        self.jobs: int = self.plan["jobs"]
        self.executor: str = self.plan["executor"]
        self.windows: int = sum(worker["windows"] for worker in said["workers"])
        self.working: float = said["phases"]["working_seconds"]
        self.starting: float = said["phases"]["starting_seconds"]
        self.seconds: float = said["seconds"]

    def wall(self, *names: str) -> float:
        """Return the wall time of some stages, of all workers."""
        return self._sum("seconds", names)

    def cpu(self, *names: str) -> float:
        """Return the CPU time of some stages, of all workers."""
        return self._sum("cpu_seconds", names)

    @property
    def busy(self) -> float:
        """How long workers were busy, together."""
        return self.wall("read", "function", "encode", "write")

    @property
    def idle_share(self) -> float:
        """How much of the workers' time between first and last window they were idle."""
        there = self.jobs * self.working
        return 0.0 if there <= 0 else max(0.0, 1 - self.busy / there)

    def _sum(self, which: str, names: Iterable[str]) -> float:
        workers = self.said["workers"]
        return float(sum(worker["stages"][name][which] for worker in workers for name in names))


Rule: TypeAlias = Callable[[Figures], str | None]


def starting_takes_longest(figures: Figures) -> str | None:
    """Say that workers are not worth their start, where the run is over so soon.

    Measured: two worker processes are ready after 0.35 s (threads: 0.03 s). An
    index of 1558 x 1582 pixels takes 0.30 s of work, and 0.59 s with two
    processes, but 0.37 s in the calling process.
    """
    alone = figures.starting - _START_OF_PROCESSES + figures.busy
    if figures.executor != "processes" or figures.starting < 0.5 * figures.seconds:
        return None
    if alone > 0.9 * figures.seconds:
        return None
    return (
        f"Starting took {figures.starting:.2f} s of {figures.seconds:.2f} s, and all the work "
        f"{figures.busy:.2f} s: -j 1 does it in the calling process, without starting workers, "
        "and --executor threads starts them sooner."
    )


_START_OF_PROCESSES = 0.3


def reads_wait(figures: Figures) -> str | None:
    """Say that workers wait for what they read.

    Measured: local files that the system has in its memory are read in 1.0 to
    1.15 times the CPU time, with as many jobs as CPUs. From a server that takes
    50 ms to answer, it is 6 times, and four jobs for each CPU are 3.4 times as
    fast as one.
    """
    wall, cpu = figures.wall("read"), figures.cpu("read")
    if wall < 0.3 * figures.busy or wall < 2 * cpu or _is_crowded(figures):
        return None
    share = f"{100 * (wall - cpu) / figures.busy:.0f} % of their busy time"
    if any(each.get("on_network") for each in figures.inputs):
        return (
            f"Workers waited {share} for servers: more jobs than CPUs (-j {4 * figures.jobs}) ask "
            "for several windows at once."
        )
    return (
        f"Workers waited {share} for the disk, or for other programs: a copy of the inputs on a "
        "faster disk helps, and inputs that are compressed have less to read."
    )


def blocks_are_read_again(figures: Figures) -> str | None:
    """Say that blocks of inputs are decoded for several windows.

    Measured on deflated tiles of 256 x 256: windows of 100 x 100, which touch
    every tile 4.3 times by count of pixels, take 3.4 times the CPU time for
    reading that windows of 256 x 256 take; with strips of a whole row and
    windows of 256 x 256 of 3072 columns, it is 9 times.
    """
    if figures.wall("read") < 0.3 * figures.busy:
        return None
    again = max(figures.inputs, key=lambda each: each.get("block_reads") or 0.0, default={})
    times = again.get("block_reads") or 0.0
    if times < 1.5 or figures.said["job"]["overlap"]:
        return None
    width, height = figures.plan["window_size"]
    said = (
        f"Each pixel of {again['path']} was decoded {times:.1f} times, because its blocks are "
        f"{again['block'][0]} x {again['block'][1]} pixels and windows {width} x {height}: "
    )
    if again.get("striped"):
        return f"{said}leave out --windows, or convert it with --co tiled=yes first."
    better = "x".join(
        str(side * max(1, round(length / side)))
        for side, length in zip(again["block"], (width, height), strict=True)
    )
    return f"{said}--windows {better} would read each block once."


def function_holds_the_gil(figures: Figures) -> str | None:
    """Say that threads wait for Python's lock.

    Measured with two threads: a loop in plain Python has 2.0 times the wall
    time of its CPU time, and all threads together use 1.0 CPUs; an index in
    numpy has 1.1 times, and 1.8 CPUs. A function that waits for something else
    than the lock uses less than one CPU.
    """
    wall, cpu = figures.wall("function"), figures.cpu("function")
    if figures.executor != "threads" or figures.jobs < 2 or wall < 0.5 * figures.busy:
        return None
    used = figures.cpu("read", "function", "encode") / max(figures.working, 1e-9)
    if wall < 1.5 * cpu or not 0.75 <= used <= 1.25:
        return None
    return (
        f"The function waited {100 * (1 - cpu / wall):.0f} % of its time, while {figures.jobs} "
        f"threads used {used:.1f} CPUs together: it holds Python's lock. --executor processes "
        "lets it use all CPUs."
    )


def function_has_threads(figures: Figures) -> str | None:
    """Say that the function's own threads and the jobs want more CPUs than there are.

    Measured with OMP_NUM_THREADS=2 on two CPUs: matrix products in two workers
    take 1.2 to 1.9 times the CPU time of their wall time, and never more than
    1.05 times with one thread each.
    """
    wall, cpu = figures.wall("function"), figures.cpu("function")
    cpus = figures.said["machine"]["usable_cpus"]
    if figures.executor not in {"processes", "serial"} or wall < 0.3 * figures.busy:
        return None
    threads = cpu / max(wall, 1e-9)
    if threads < 1.2 or figures.jobs < 2 or 2 * figures.jobs <= cpus:
        return None
    return (
        f"The function used {threads:.1f} CPUs at once in each of {figures.jobs} workers, on "
        f"{cpus} CPUs: OMP_NUM_THREADS=1, or the setting of its own threads, leaves one for "
        "each worker; so do fewer jobs."
    )


_SECONDS_FOR = {"lzw": (3.5, 6.5), "deflate": (4, 7), "zstd": (3, 7), "lzma": (60, 120)}
"""What zstd at level 1 takes less CPU time: so many times, at least and at most."""


def compression_takes_longest(figures: Figures) -> str | None:
    """Say that another compression would be faster.

    Measured, in milliseconds of CPU time for a million values, and the size of
    what comes out of 1, for tiles of 256 x 256 (uint16 scene; float32 index;
    RGB; float32 elevation), without predictor:

    ============  ===========  ===========  ===========  ===========
    lzw           21   0.78    36   0.80    13   0.62    39   1.03
    deflate       21   0.61    42   0.62    19   0.52    58   0.82
    deflate, 9    62   0.60    120  0.62    61   0.51    144  0.82
    zstd          11   0.60    27   0.62    22   0.54    64   0.82
    zstd, 1       3.3  0.60    6.1  0.62    3.8  0.58    9.3  0.83
    lzma          350  0.65    803  0.70    240  0.49    1111 0.96
    ============  ===========  ===========  ===========  ===========

    With a predictor zstd at level 1 takes a fourth to a fifth of deflate's time,
    and the sizes are within 3 %.
    """
    cpu = figures.cpu("encode")
    whole = figures.cpu("read", "function", "encode")
    written: Said = next((each.get("written") or {} for each in figures.plan["outputs"]), {})
    codec = str(written.get("compress") or "").lower()
    options = {name.upper(): text for name, text in figures.plan["outputs"][0]["options"].items()}
    level = options.get("LEVEL") or options.get("ZSTD_LEVEL")
    if whole <= 0 or cpu < 0.4 * whole or codec not in _SECONDS_FOR:
        return None
    if codec == "zstd" and level == "1":
        return None
    least, most = _SECONDS_FOR[codec]
    option = "LEVEL=1" if figures.plan["outputs"][0]["cog"] else "ZSTD_LEVEL=1"
    return (
        f"Compression with {codec} took {100 * cpu / whole:.0f} % of the workers' CPU time: "
        f"--co COMPRESS=ZSTD --co {option} took {least:g} to {most:g} times less in our "
        "measurements, for files of about the same size."
    )


def windows_are_too_few(figures: Figures) -> str | None:
    """Say that workers are idle because windows, or parts, are few.

    Measured with two jobs: of 3 equal windows, workers are idle for 22 to 27 %
    of the time, of 5 for 13 to 19 %, of 16 for less than 8 %.
    """
    tasks = figures.plan["parts"] or figures.plan["windows"]
    if figures.jobs < 2 or figures.idle_share < 0.2 or tasks >= 4 * figures.jobs:
        return None
    if figures.busy < 1:
        return None
    what = "parts" if figures.plan["parts"] else "windows"
    option = "--part-size" if figures.plan["parts"] else "--windows"
    return (
        f"Workers had nothing to do for {100 * figures.idle_share:.0f} % of the time, because "
        f"{tasks} {what} are few for {figures.jobs} jobs: a smaller {option} divides the work "
        "more evenly."
    )


def caller_is_the_bottleneck(figures: Figures) -> str | None:
    """Say that workers wait for the calling process, which compresses and writes.

    Measured: with windows of 500 x 500 and deflate, the calling process writes
    for 80 to 90 % of the time and two workers are idle for 70 %; where workers
    encode, it writes for less than 5 %.
    """
    writing = figures.said["stages"]["write"]["seconds"]
    waited = figures.said["waiting"]["caller_waited_seconds"]
    if figures.executor == "serial" or figures.plan["parts"]:
        return None
    if writing < 0.5 * figures.working or waited > 0.4 * figures.working:
        return None
    share = f"{100 * min(1.0, writing / figures.working):.0f} %"
    if all(each["encoded_by"] == "workers" for each in figures.plan["outputs"]):
        return (
            f"The calling process was busy with writing for {share} of the time: a faster disk "
            "for the output, or a compression, helps more than jobs do."
        )
    return (
        f"The calling process was busy with compressing and writing for {share} of the time, "
        "because GDAL writes there: leave out --windows, or make them whole blocks of a GeoTIFF, "
        "and workers compress."
    )


def memory_is_short(figures: Figures) -> str | None:
    """Say that memory nearly was not enough.

    Not measured, but defined: a tenth is left for the system and its file cache,
    and peaks of processes need not fall together.
    """
    memory = figures.said["memory"]
    there = figures.said["machine"]["memory_bytes"]
    taken = memory["caller_peak_bytes"] + memory["workers_peak_bytes"]
    if figures.executor == "dask" or taken < 0.9 * there:
        return None
    return (
        f"The peaks of all processes are {taken / 2**20:.0f} MB together, and there are "
        f"{there / 2**20:.0f} MB: --mem-limit {int(0.6 * there / 2**20)} makes windows smaller, "
        "or jobs fewer."
    )


def windows_are_too_small(figures: Figures) -> str | None:
    """Say that windows cost more than the work on them.

    Measured: with windows of 16 x 16 an index of 4674 x 4746 pixels takes 8
    times the CPU time for reading, the function and encoding that it takes with the
    windows that are chosen; with 64 x 64 it is 1.5 times, with 256 x 256 it is 1.05.
    Such windows take 0.4 ms, 0.6 ms and 5 ms.
    """
    if figures.windows < 1000 or figures.busy / figures.windows > 0.001:
        return None
    width, height = figures.plan["window_size"]
    return (
        f"Windows of {width} x {height} pixels took {1000 * figures.busy / figures.windows:.2f} ms "
        "each, most of which is not spent on pixels: leave out --windows, or give at least 256."
    )


RULES: tuple[Rule, ...] = (
    starting_takes_longest,
    windows_are_too_few,
    windows_are_too_small,
    caller_is_the_bottleneck,
    reads_wait,
    blocks_are_read_again,
    function_holds_the_gil,
    function_has_threads,
    compression_takes_longest,
    memory_is_short,
)


def advise(said: Said) -> list[Advice]:
    """Return what the figures of a report give reason for; often it is nothing.

    Parameters
    ----------
    said : Mapping
        What `document` says, whose plan is known.
    """
    figures = Figures(said)
    if not figures.windows:
        return []
    given = ((rule.__name__, rule(figures)) for rule in RULES)
    return [Advice(name, text) for name, text in given if text is not None]


def _is_crowded(figures: Figures) -> bool:
    """Whether the other stages have to wait for CPUs just as much."""
    wall, cpu = figures.wall("function", "encode"), figures.cpu("function", "encode")
    return wall > 0.1 * figures.busy and wall > 1.7 * cpu
