"""`python -m dpr_tiny_retriever` and `dpr-tiny`."""

from __future__ import annotations

from dpr_tiny_retriever.commands.interruption import end_at_once_when_interrupted


def main() -> None:
    """Run the command line; Ctrl-C while it is being imported ends it in silence too."""
    end_at_once_when_interrupted()
    from dpr_tiny_retriever.commands.cli import app

    app()


if __name__ == "__main__":
    main()
