"""Plan value outputs: how values are merged, and what workers make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rio_mucho_cli.job import Job, Output
from rio_mucho_cli.workers.context import ValueSpec
from rio_mucho_cli.workers.functions import name_of
from rio_mucho_cli.workers.merging import Merging, find_mergings


@dataclass(frozen=True, slots=True)
class ValuePlan:
    """Plan of a value output.

    Attributes
    ----------
    output : Output
    spec : ValueSpec
        What workers produce.
    merging : Merging
    """

    output: Output
    spec: ValueSpec
    merging: Merging

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object: path, name, format, merge, and streamed."""
        merge = self.output.merge
        if merge is None:
            merge = "list" if self.merging.merge is None else "the function's own"
        return {
            "path": self.output.shown_path,
            "name": self.output.name,
            "format": self.spec.format,
            "merge": merge if isinstance(merge, str) else name_of(merge),
            "streamed": self.spec.is_streamed,
        }


def plan_values(job: Job) -> tuple[ValuePlan, ...]:
    """Return the plans of a job's value outputs; see `find_mergings` for its errors."""
    merges = tuple(output.merge for output in job.values)
    mergings = find_mergings(job.function, job.global_args, merges)
    return tuple(
        ValuePlan(output, _spec(output, merging), merging)
        for output, merging in zip(job.values, mergings, strict=True)
    )


def _spec(output: Output, merging: Merging) -> ValueSpec:
    form = output.value_format
    assert form is not None
    is_streamed = form != "json" and merging == Merging()
    return ValueSpec(output.name, form, is_streamed, output.merge)
