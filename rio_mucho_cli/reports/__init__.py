"""Reports of runs: what is recorded, what is said of it, and how it looks.

events ─▶ Recorder ─▶ document ─▶ JSON, or a page
                         └── advice
"""

from rio_mucho_cli.reports.document import SCHEMA, document
from rio_mucho_cli.reports.file import recorded, write_report
from rio_mucho_cli.reports.recorder import Recorder

__all__ = ["SCHEMA", "Recorder", "document", "recorded", "write_report"]
