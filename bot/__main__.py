"""`python -m bot`: the same as `watchbell`."""

from bot.cli import main

main()
