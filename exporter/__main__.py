"""`python -m exporter`, and the command `cognito-auth-exporter`."""

import os
import signal
import sys


def main() -> None:
    """Run the command; a signal that comes while it is still being loaded ends it as later ones do, without a traceback.

    `check` that is interrupted has not found the configuration good, and `events` has not printed any: they die of the signal,
    at once, whatever AWS does.
    """
    dies = sys.argv[1:2] in (["check"], ["events"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL if dies else lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from exporter import cli  # noqa: PLC0415 - it takes a second, and signals may come

    cli.main()


if __name__ == "__main__":
    main()
