"""`python -m dpr_tiny_retriever` and `dpr-tiny`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is being imported ends it in silence too."""
    try:
        from dpr_tiny_retriever.commands.cli import app
    except KeyboardInterrupt:
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
