"""From a Plan to outputs: hand windows out, append results in order, publish, report."""
