"""modules.json and router_config.json of sentence-transformers -> the modules that make one side's vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from dpr_tiny_retriever.checkpoints.json_files import read_json
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Side

MODULES_FILE = "modules.json"
ROUTER_FILE = "router_config.json"

#: The routes of a Router that encode each side, the first that is there.
ROUTES: dict[Side, tuple[str, ...]] = {"query": ("query",), "passage": ("document", "passage", "corpus")}


class Module(NamedTuple):
    """One step from text to vector: the name of its class and the folder of its files."""

    kind: str
    folder: Path


def read_modules(directory: Path, side: Side) -> list[Module]:
    """The modules of one side in their order, those of a Router's route in place of the Router.

    A folder without modules.json is one Transformer. Raises CheckpointError for a module outside of the folder.
    """
    path = directory / MODULES_FILE
    if not path.is_file():
        return [Module("Transformer", directory)]
    modules = []
    for record in read_json(path, list):
        if not isinstance(record, dict) or not {"type", "path"} <= record.keys():
            raise CheckpointError(f"{path}: found {record!r}; expected a record with type and path")
        modules.append(Module(_class_name(record["type"]), _inside(directory, str(record["path"]), path)))
    if modules and modules[0].kind == "Router":
        return [*_route(modules[0].folder, side), *modules[1:]]
    return modules


def _route(folder: Path, side: Side) -> list[Module]:
    path = folder / ROUTER_FILE
    record = read_json(path, dict)
    types, structure, parameters = (record.get(name) or {} for name in ("types", "structure", "parameters"))
    if not all(isinstance(part, dict) for part in (types, structure, parameters)):
        raise CheckpointError(f"{path}: expected the records types, structure and parameters")
    if parameters.get("route_mappings"):
        raise CheckpointError(
            f"{path}: found route_mappings; expected routes by side alone, such as 'query' and 'document'"
        )
    names = [*ROUTES[side], parameters.get("default_route")]
    route: Any = next((structure[name] for name in names if name in structure), None)
    if not isinstance(route, list) or not all(isinstance(name, str) and name in types for name in route):
        routes = ", ".join(map(str, structure)) or "none"
        raise CheckpointError(
            f"{path}: found the routes {routes}, and no modules of the side {side!r}; "
            f"expected a route named {' or '.join(map(repr, ROUTES[side]))}, or default_route"
        )
    return [Module(_class_name(types[name]), _inside(folder, name, path)) for name in route]


def _inside(directory: Path, name: str, source: Path) -> Path:
    """The path of that name in a folder; CheckpointError where it leads out of it, source being the file that names it.

    A folder reads nothing outside of itself, so that no error message shows what stands there.
    """
    path = directory / name
    try:
        contained = path.resolve().is_relative_to(directory.resolve())
    except (OSError, ValueError, RuntimeError):  # too long, with a null character, a cycle of links
        contained = False
    if not contained:
        raise CheckpointError(f"{source}: found the path {name!r}; expected one inside {directory}")
    return path


def _class_name(dotted: object) -> str:
    return str(dotted).rsplit(".", 1)[-1]
