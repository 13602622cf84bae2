"""One process at a time has a device's keys: two would each go on from them, and neither could read the other's."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bot.chat import DeliveryError

NAME = "lock"


class KeyLock:
    """Holds the folder of the keys from `take` to `release`, or until the process is gone; None holds nothing."""

    def __init__(self, store: Path | None) -> None:
        self._store = store
        self._file = -1

    def take(self) -> None:
        """Hold the folder, which is made where it is not there; DeliveryError where another process holds it."""
        if self._store is None or self._file >= 0:
            return
        self._store.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._store / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise DeliveryError(
                f"another Watchbell runs with the keys in {self._store}: a device belongs to one process"
            ) from error
        self._file = file

    def release(self) -> None:
        """Let go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
