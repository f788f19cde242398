"""Turn a Job into a Plan: grid, windows, formats, memory, earlier runs. Writes nothing."""
