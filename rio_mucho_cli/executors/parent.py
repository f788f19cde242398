"""Processes that must not outlive the one that has started them."""

from __future__ import annotations

import os
import shutil
import threading
import time


def end_with(parent: int, folder: str | None = None) -> None:
    """End this process when its parent has ended, in whatever way.

    Parameters
    ----------
    parent : int
        The parent's process. If it has ended already, this one ends at once.
    folder : str or None
        Is removed then.
    """
    threading.Thread(target=_watch, args=(parent, folder), daemon=True).start()


def _watch(parent: int, folder: str | None) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
