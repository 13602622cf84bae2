"""Which boots of the bot are alive, told by a lock that the operating system drops when a process dies."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path


class BootLock:
    """Holds data_dir/boots/BOOT.lock from its making to `close`, or until the process is gone.

    It tells about processes of one machine, which share `data_dir`.
    """

    def __init__(self, data_dir: Path, boot_id: str) -> None:
        self.boot_id = boot_id
        self._folder = data_dir / "boots"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path(boot_id), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def alive(self, boot_id: str) -> bool:
        """Whether the process of that boot still runs; this one's own does."""
        try:
            file = os.open(self._path(boot_id), os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two who ask do not meet
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def close(self) -> None:
        """Let go, and leave no file behind."""
        if self._file >= 0:
            self._path(self.boot_id).unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def _path(self, boot_id: str) -> Path:
        if not re.fullmatch(r"[\w.-]{1,100}", boot_id):
            raise ValueError(f"{boot_id!r} is no name of a boot")
        return self._folder / f"{boot_id}.lock"
