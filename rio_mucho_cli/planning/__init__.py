"""From a Job to a Plan: grid, windows, formats, memory, earlier runs. Writes nothing."""
