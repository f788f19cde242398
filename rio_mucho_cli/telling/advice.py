"""What could make the next run faster, where the figures of a report say so.

Each rule is a function that gets `Figures` and returns a sentence or None. The
thresholds were measured on a virtual machine with two cores, with Landsat
scenes (uint16), an index (float32), an RGB image and an elevation model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rio_mucho_cli.memory import MB
from rio_mucho_cli.quantities import format_bytes
from rio_mucho_cli.spelling import option
from rio_mucho_cli.telling.figures import Figures, Said


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence, and the rule that it follows from."""

    rule: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {"rule": self.rule, "text": self.text}


Rule: TypeAlias = Callable[[Figures], str | None]


def starting_takes_longest(figures: Figures) -> str | None:
    """Say that workers are not worth their start, where the run is over so soon.

    Measured: an index of 1558 x 1582 pixels takes 0.65 s with two processes,
    whose first window begins after 0.48 to 0.50 s; 0.20 s in the calling process
    (0.03 s), and 0.16 s with two threads (0.05 s).
    """
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


def reads_wait(figures: Figures) -> str | None:
    """Say that workers wait for what they read.

    Measured: local files that the system has in its memory are read in 1.0 to
    1.15 times the CPU time, and in 2.2 times where other programs want the same
    CPUs; then the function and encoding have to wait, too (2.1 to 2.3 times). From
    a server that takes 50 ms to answer, it is 14 to 17 times with two jobs; with
    eight, on two CPUs, the work is done 1.3 to 1.6 times as fast, but workers
    take 1 to 2 s longer to start.
    """
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


def blocks_are_read_again(figures: Figures) -> str | None:
    """Say that blocks of inputs are decoded for several windows.

    Measured on deflated tiles of 256 x 256, and on strips of one row of 6144
    pixels: the CPU time of reading, beside that with whole blocks, for windows
    that touch so many times their own pixels. GDAL's cache has some of them.

    =====================  =======  ========
    windows                touched  CPU time
    =====================  =======  ========
    384 x 384, tiles           1.8       1.1
    500 x 500, tiles           2.3       1.4
    112 x 112, tiles           9.8       2.6
    100 x 100, tiles          12.4       2.7
    256 x 256, strips         24.0       2.8
    =====================  =======  ========
    """
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


def function_holds_the_gil(figures: Figures) -> str | None:
    """Say that threads wait for Python's lock.

    Measured with two threads: a loop in plain Python has 1.7 to 1.8 times the
    wall time of its CPU time, and both threads use 1.0 CPUs together (two
    processes: 1.0 times, 1.9 CPUs, and 0.7 of the time); an index in numpy has
    1.1 times, and 1.6 CPUs. Where a function waits for something else than the
    lock, its threads use less than one CPU.
    """
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


def libraries_have_threads(figures: Figures) -> str | None:
    """Say that threads of numeric libraries and jobs want more CPUs than there are.

    Measured: products of matrices in two worker processes, on two CPUs, take 1.7
    to 2.6 times as long with OMP_NUM_THREADS=2 as with one thread each, which
    is what they have if nobody sets it. (CPU time is no sign of it: where all
    CPUs are busy, it is no more than wall time.)
    """
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
"""So many times the CPU time of zstd at level 1, at least and at most."""


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
    and the sizes are within 3 %. Windows of less than 2 ms spend it otherwise.
    """
    cpu = figures.cpu("encode")
    whole = figures.cpu("read", "function", "encode")
    output = figures.plan["outputs"][0]
    codec = str((output["file"] or {}).get("compress") or "").lower()
    options = {name.upper(): text for name, text in output["creation_options"].items()}
    level = options.get("LEVEL") or options.get("ZSTD_LEVEL")
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


def windows_are_too_few(figures: Figures) -> str | None:
    """Say that workers are idle because windows, or parts, are few.

    Measured with two jobs and windows of one size: of 3 windows, workers are idle
    for 23 to 24 % of the time, of 5 for 16 to 21 %, of 8 for 9 to 14 %, of 16
    for 6 %.
    """
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


def caller_is_the_bottleneck(figures: Figures) -> str | None:
    """Say that workers wait for the calling process, which compresses and writes.

    Measured with an index, deflated: with windows of 500 x 500, which are no
    whole blocks, the calling process writes for 90 % of the time from the first
    window on, and two workers are idle for 67 to 70 % of theirs; where workers
    encode, it writes for less than 12 %, and they are idle for 9 to 11 %. An index
    that is not compressed makes it write for 30 to 50 %, and them idle for 20 %.
    """
    writing = figures.said["stages"]["write"]["seconds"]
    there = figures.working + figures.said["phases"]["finishing_seconds"]
    if figures.executor == "serial" or figures.plan["parts"] or writing < 1:
        return None
    if writing < 0.6 * there or figures.idle_share < 0.3:
        return None
    share = f"{100 * min(1.0, writing / there):.0f} % of the time"
    if all(each["written"]["by"] == "workers" for each in figures.plan["outputs"]):
        return (
            f"The calling process was busy with writing for {share}, and workers waited for it: "
            "a faster disk for the output, or compression, helps more than jobs do."
        )
    return (
        f"The calling process was busy with compressing and writing for {share}, and workers "
        f"waited for it: leave out {option('windows')}, or give whole blocks of a GeoTIFF, and "
        "workers compress."
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
        f"The peaks of all processes are {format_bytes(taken)} together, and there are "
        f"{format_bytes(there)}: {option('mem_limit', int(0.6 * there / MB))} makes windows "
        "smaller, or jobs fewer."
    )


def windows_are_too_small(figures: Figures) -> str | None:
    """Say that windows cost more than the work on them.

    Measured, an index of 1558 x 1582 pixels in LZW: the workers' CPU time beside
    that with the windows that are chosen, and the time of one window.

    =========  ====  =======
    windows
    =========  ====  =======
    16 x 16    60    1.2 ms
    32 x 32    16    1.2 ms
    64 x 64     5    1.5 ms
    128 x 128   2.2  2.3 ms
    256 x 256   1.3  4.7 ms
    512 x 512   1.1   12 ms
    =========  ====  =======
    """
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
    return wall > 0.1 * figures.busy and wall > 1.5 * cpu
