"""Measure this package beside its peers, in one run in which they take turns.

    python benchmarks/run.py                                     everything
    python benchmarks/run.py --only queries --models L-2         a part
    python benchmarks/run.py --only backends --python before=OTHER/bin/python    beside another installed version

Writes bench.json, bench.md and bench.png. A missed target and a peer that cannot run are reported; neither is an error.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from context import Context, save
from models import LAYERS, REPOSITORY
from peers import BEFORE, KINDS, PeerError, Peers
from plot import plot
from report import markdown
from sections import adapters, backends, index, memory, passages, queries, starts

SECTIONS = {section.SECTION: section for section in (passages, queries, backends, starts, memory, index, adapters)}
PEERS = ["bfloat16", "card", "sentence-transformers", "onnxruntime", "farm-haystack"]

# The choices of the options, and the defaults.
Section = Enum("Section", {name: name for name in SECTIONS}, type=str)
ModelName = Enum("ModelName", {name: name for name in LAYERS}, type=str)
PeerName = Enum("PeerName", {name: name for name in PEERS}, type=str)
ALL_SECTIONS, ALL_MODELS, ALL_PEERS = list(Section), list(ModelName), list(PeerName)
NO_PYTHONS: list[str] = []


def main(
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = REPOSITORY / "bench-results",
    only: Annotated[list[Section], typer.Option(help="A section to run; may be repeated.")] = ALL_SECTIONS,
    models: Annotated[list[ModelName], typer.Option(help="A pair to measure; may be repeated.")] = ALL_MODELS,
    peers: Annotated[list[PeerName], typer.Option(help="A peer to measure; may be repeated.")] = ALL_PEERS,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds whose medians are reported.")] = 5,
    number: Annotated[int, typer.Option("--passages", min=1, help="Passages of each round.")] = 2048,
    questions: Annotated[int, typer.Option(min=50, max=1000, help="Questions that each peer is asked.")] = 1000,
    largest: Annotated[int, typer.Option(min=100, help="Passages of the largest stream.")] = 1_000_000,
    cores: Annotated[int, typer.Option(min=1, help="Processors that each peer may use.")] = 2,
    environments: Annotated[Path, typer.Option(help="Folder of the peers' environments.")] = REPOSITORY / ".nox",
    python: Annotated[
        list[str],
        typer.Option(
            help="NAME=PATH: the interpreter of an environment; before=PATH adds another version of this package."
        ),
    ] = NO_PYTHONS,
) -> None:
    """Measure, and write the report."""
    output.mkdir(parents=True, exist_ok=True)
    work = output / "work"
    work.mkdir(exist_ok=True)
    pythons = {name: Path(path) for name, _, path in (item.partition("=") for item in python)}
    unknown = pythons.keys() - {kind.environment for kind in KINDS.values()}
    if unknown:
        raise typer.BadParameter(f"no environment has the name {', '.join(sorted(unknown))}")
    measured = {}
    with Peers(environments, pythons, cores, work) as running:
        context = Context(
            running,
            work,
            rounds=rounds,
            passages=number,
            questions=questions,
            largest=largest,
            model_names=[name.value for name in models],
            peer_names=[*([BEFORE] if BEFORE in pythons else []), *(name.value for name in peers)],
            about={
                "Python": platform.python_version(),
                "processors": f"{cores} of {os.cpu_count()}",
                "load before": _load(),
            },
        )
        context.write_texts()
        for name, section in SECTIONS.items():
            if name in [chosen.value for chosen in only]:
                try:
                    measured[name] = section.measure(context)
                except PeerError as error:
                    context.missing.append(f"{name}: {error}")
    rows = [row for name, record in measured.items() for row in SECTIONS[name].rows(record)]
    report = markdown(rows, context.about, context.missing)
    record = {"about": context.about, "missing": context.missing, "measured": measured}
    save(output / "bench.json", record | {"rows": [asdict(row) for row in rows]})
    (output / "bench.md").write_text(report, encoding="utf-8")
    plot(rows, measured, output / "bench.png")
    typer.echo(report)


def _load() -> str:
    """Return the load average of the last minute: figures of a busy machine mean little."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    typer.run(main)
