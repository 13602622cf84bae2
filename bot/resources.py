"""Where the files lie that are no code: templates, runbooks, migrations, the example configuration."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(*parts: str) -> Path:
    """Return the path of a file or folder, named as in a checkout: resource("templates", "card.txt").

    A wheel keeps all of it under bot/_data, except what belongs to the package itself, such as
    resource("bot", "migrations"). Raises FileNotFoundError for what is in neither place.
    """
    data = _PACKAGE / "_data"
    installed = data.is_dir() and parts[:1] != (_PACKAGE.name,)
    path = (data if installed else _PACKAGE.parent).joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"this installation of Watchbell lacks {path}")
    return path
