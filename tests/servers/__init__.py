"""What tests run against: real servers, and stand-ins that start with python -m tests.servers.NAME."""

import os
import shutil


def require(*programs: str) -> str:
    """Return the path of the first of these programs that is installed.

    Where none is, the test is skipped on a laptop; with CI=true it fails, so that none is lost unseen.
    """
    for program in programs:
        if path := shutil.which(program):
            return path
    import pytest  # only here: the stand-ins in this folder import this file and need no pytest

    reason = f"needs {' or '.join(programs)}, which is not installed"
    if os.environ.get("CI") == "true":
        raise pytest.fail.Exception(reason, pytrace=False)
    raise pytest.skip.Exception(reason, allow_module_level=True)
