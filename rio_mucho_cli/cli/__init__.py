"""The command line: options become a Job, its end becomes the exit status.

`rio` imports `mucho` at every start, whatever its command: what is not needed
to show an option is imported within functions. Nothing but this package
imports click or cligj.
"""

from rio_mucho_cli.cli.command import mucho

__all__ = ["mucho"]
