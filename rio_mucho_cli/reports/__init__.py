"""Reports of runs, as JSON or as an HTML page.

events ─▶ Recorder ─▶ document ─▶ JSON or page
                         └── advice
"""

from rio_mucho_cli.reports.document import SCHEMA, document
from rio_mucho_cli.reports.file import recorded, write_report
from rio_mucho_cli.reports.recorder import Recorder

__all__ = ["SCHEMA", "Recorder", "document", "recorded", "write_report"]
