"""What FastAPI makes of the functions of routes, made once for all applications of this process.

Most tests start a whole application, whose 200 routes FastAPI would read anew each time: that took
longer than the tests. An application's functions are closures of its own, but their parameters are
those of the same source, so they are read once and given to the functions of the next one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, get_args

from fastapi import params, routing
from fastapi._compat import v2
from fastapi.dependencies import utils
from fastapi.dependencies.models import Dependant
from pydantic import TypeAdapter

_adapters: dict[tuple[Any, str], TypeAdapter[Any]] = {}
_dependants: dict[tuple[Hashable, str], Dependant] = {}
_read = utils.get_dependant


def _adapter(annotation: Any, *, config: Any = None) -> TypeAdapter[Any]:
    """What pydantic makes of a parameter's type.

    The type is told by itself, for two may have one name; a function beside it by its address,
    which it keeps, for it is kept.
    """
    told = get_args(annotation)[0], repr((annotation, config))
    if told not in _adapters:
        _adapters[told] = TypeAdapter(annotation, config=config)
    return _adapters[told]


def _dependant(*, path: str, call: Callable[..., Any], **how: Any) -> Dependant:
    """What a function depends on, read once of its source and defaults."""
    shape = _shape(call)
    if shape is None:
        return _read(path=path, call=call, **how)
    key = shape, repr((path, how))
    if key not in _dependants:
        _dependants[key] = _read(path=path, call=call, **how)
    return _with(_dependants[key], call)


def _shape(call: Callable[..., Any] | None) -> Hashable | None:
    """The same for functions that are read alike; None: it has to be read."""
    code = getattr(call, "__code__", None)
    if call is None or code is None or hasattr(call, "__wrapped__"):
        return None
    if not all(isinstance(each, str) for each in inspect.unwrap(call).__annotations__.values()):
        return None  # one that is no text may hold a function of this application
    told: list[Hashable] = [code]
    for name, default in _defaults(call).items():
        if isinstance(default, params.Depends):
            below = _shape(default.dependency)
            if below is None:
                return None
            told.append((name, below, default.use_cache, default.scope))
        else:
            told.append((name, repr(default)))
    return tuple(told)


def _with(read: Dependant, call: Callable[..., Any]) -> Dependant:
    """The same of another function of the same source, and of those that it depends on."""
    defaults = _defaults(call)
    below = []
    for each in read.dependencies:
        default = defaults.get(each.name or "")
        its = default.dependency if isinstance(default, params.Depends) else each.call
        assert its is not None
        below.append(_with(each, its))
    # FastAPI adds to these lists.
    fields = {
        name: list(getattr(read, name))
        for name in ("path_params", "query_params", "header_params", "cookie_params", "body_params")
    }
    return replace(read, call=call, dependencies=below, **fields)


def _defaults(call: Callable[..., Any]) -> dict[str, Any]:
    function = inspect.unwrap(call)
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    positional = getattr(function, "__defaults__", None) or ()
    names = code.co_varnames[: code.co_argcount][-len(positional) :] if positional else ()
    return dict(zip(names, positional, strict=True)) | (
        getattr(function, "__kwdefaults__", None) or {}
    )


def install() -> None:
    """Have FastAPI read so, from now on."""
    assert v2.TypeAdapter in (TypeAdapter, _adapter)
    v2.TypeAdapter = _adapter  # type: ignore[assignment,misc]
    utils.get_dependant = _dependant
    routing.get_dependant = _dependant  # type: ignore[attr-defined]
