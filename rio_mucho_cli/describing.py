"""What a job and its plan come to, as what JSON can say; secrets are cut out of it."""

from __future__ import annotations

from typing import Any

from rio_mucho_cli.describing_inputs import describe_input
from rio_mucho_cli.describing_outputs import Form, describe_output, size_of
from rio_mucho_cli.job import Job
from rio_mucho_cli.planning.memory import largest
from rio_mucho_cli.planning.plan import Plan
from rio_mucho_cli.planning.windows import say_why
from rio_mucho_cli.workers.executor import executor_name
from rio_mucho_cli.workers.functions import FunctionRef


def describe_plan(job: Job, plan: Plan, forms: tuple[Form | None, ...] = ()) -> dict[str, Any]:
    """Say what a run does, without a look at any file.

    Parameters
    ----------
    job : Job
    plan : Plan
    forms : tuple of (count, dtype, masked) or None
        Of the results for each output; empty if nothing is known of them yet.

    Returns
    -------
    dict
        What JSON can say; numbers that it cannot (NaN, infinity) are text.

        function : str
        mode : str
        inputs : list
            See `describe_input`.
        outputs : list
            See `describe_output`.
        size : list
            Width and height of what the windows divide.
        windows : dict
            number, size (of the largest), reasons (keys of
            `window_plan.REASONS`), why (the same as text), overlap.
        parts : int or None
            Of a mosaic.
        executor : str
        jobs, in_flight : int
        memory : dict
            estimate and limit, in bytes, and whether the limit was asked_for.
        resume, on_error, retries
            As the job has them.
    """
    first = plan.outputs[0].size
    return {
        "function": function_name(job),
        "mode": job.mode,
        "inputs": [
            describe_input(source, each, plan)
            for source, each in zip(plan.sources, plan.reading.inputs, strict=True)
        ],
        "outputs": [
            describe_output(plan, index, forms[index] if index < len(forms) else None)
            for index in range(len(plan.outputs))
        ],
        "size": size_of(first),
        "windows": {
            "number": len(plan.windows),
            "size": size_of(largest(plan.windows, *first)),
            "reasons": list(plan.reasons),
            "why": say_why(plan.reasons),
            "overlap": job.overlap,
        },
        "parts": len(plan.parts) or None,
        "executor": executor_name(plan.executor),
        "jobs": plan.jobs,
        "in_flight": plan.in_flight,
        "memory": {
            "estimate": plan.memory,
            "limit": plan.limit,
            "asked_for": job.mem_limit is not None,
        },
        "resume": job.resume,
        "on_error": job.on_error,
        "retries": job.retries,
    }


def function_name(job: Job) -> str:
    """Return what a job's function is called, with its module or file."""
    function = job.function
    if isinstance(function, FunctionRef):
        return function.name
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}:{name}"
