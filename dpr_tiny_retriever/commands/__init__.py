"""The command `dpr-tiny`, a module for each subcommand."""
