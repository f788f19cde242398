"""The command line: options become a Job, and its outcome the exit status.

`rio` imports `mucho` at every start, for any command. Modules that are not
needed to show the options are therefore imported inside functions. Only this
package imports click and cligj.
"""

from rio_mucho_cli.cli.command import mucho

__all__ = ["mucho"]
