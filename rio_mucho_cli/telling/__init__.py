"""Reports of runs: what is recorded, what is said of it, and how it looks.

events ─▶ Recorder ─▶ document ─▶ JSON, or a page
                         └── advice
"""

from rio_mucho_cli.telling.document import SCHEMA, document
from rio_mucho_cli.telling.file import recorded, write
from rio_mucho_cli.telling.recorder import Recorder

__all__ = ["SCHEMA", "Recorder", "document", "recorded", "write"]
