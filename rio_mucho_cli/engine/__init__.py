"""Run a Plan: submit windows, append results in order, publish outputs, report."""
