"""Records of settings that say what is wrong with a value, in code as in a YAML file or on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]
TextLength = Annotated[int, Meta(ge=3)]  # tokens, two of which are special

_Kind = TypeVar("_Kind", bound="Validated")


class Validated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record whose values are checked against their annotations. Raises ValueError that names the value."""

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            try:
                msgspec.convert(value, field.type)
            except msgspec.ValidationError as error:
                raise ValueError(f"{field.name} is {value!r:.80}; {_lowered(str(error))}") from None


def validated(kind: type[_Kind], record: object, where: Path | str) -> _Kind:
    """Make a record of plain values, as YAML or a command line give them; a number may be written as a text ("1e-3").

    Raises ValueError that names the place in the record, what was found and what was expected.
    """
    try:
        return msgspec.convert(record, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        names = [name for name in path.rstrip("`").split(".") if name]
        raise ValueError(f"{where}: {_explained(kind, record, names, message)}") from None


def _explained(kind: Any, record: Any, names: list[str], message: str) -> str:
    """The library's message with the value that it is about, or the names that are known there."""
    for name in names:
        record = record[name]
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        kind = next((part for part in (fields[name], *get_args(fields[name])) if _is_record(part)), None)
    place = ".".join(names)
    if message.startswith("Object contains unknown field") and kind is not None:
        known = [field.name for field in msgspec.structs.fields(kind)]
        unknown = [str(name) for name in record if name not in known]
        return f"{f'{place}: ' if place else ''}found {', '.join(unknown)}; expected some of {', '.join(known)}"
    if not message.startswith(("Expected", "Invalid")):
        return f"{f'{place}: ' if place else ''}{_lowered(message)}"
    return f"{f'{place} is' if place else 'found'} {record!r:.80}; {_lowered(message)}"


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
