"""What FastAPI makes of the functions of routes, made once for all applications of this process.

Most tests start a whole application, whose 200 routes FastAPI would read anew each time: that took
longer than the tests. An application's functions are closures of its own, but their parameters are
those of the same source, so they are read once and given to the functions of the next one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cache
from types import CodeType, FunctionType, MethodType
from typing import Any, get_args

from fastapi import params, routing
from fastapi._compat import v2
from fastapi.dependencies import utils
from fastapi.dependencies.models import Dependant
from fastapi.utils import create_model_field
from pydantic import TypeAdapter
from starlette.routing import compile_path

_adapters: dict[tuple[Any, str], TypeAdapter[Any]] = {}
_returned: dict[CodeType, Any] = {}
_dependants: dict[tuple[Hashable, str], Dependant] = {}
_read = utils.get_dependant
_read_return = utils.get_typed_return_annotation


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


def _returns(call: Callable[..., Any]) -> Any:
    """What a function says that it returns, read once of its source."""
    function = _function(call)
    if function is None or not isinstance(function.__annotations__.get("return"), str):
        return _read_return(call)
    if function.__code__ not in _returned:
        _returned[function.__code__] = _read_return(call)
    return _returned[function.__code__]


def _shape(call: Callable[..., Any] | None) -> Hashable | None:
    """The same for functions that are read alike; None: it has to be read."""
    function = _function(call)
    if function is None or hasattr(call, "__wrapped__"):
        return None
    if not all(isinstance(each, str) for each in function.__annotations__.values()):
        return None  # one that is no text may hold a function of this application
    told: list[Hashable] = [function.__code__]
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


def _function(call: Callable[..., Any] | None) -> FunctionType | None:
    """What is run when it is called: of an object, its class's method; None: not of Python."""
    found = inspect.unwrap(call) if call is not None else None
    if not isinstance(found, FunctionType | MethodType):
        found = vars(type(found)).get("__call__")
    found = getattr(found, "__func__", found)
    return found if isinstance(found, FunctionType) else None


def _defaults(call: Callable[..., Any]) -> dict[str, Any]:
    function = _function(call)
    if function is None:
        return {}
    code, positional = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][-len(positional) :] if positional else ()
    return dict(zip(names, positional, strict=True)) | (function.__kwdefaults__ or {})


def install() -> None:
    """Have FastAPI read so, from now on."""
    assert v2.TypeAdapter in (TypeAdapter, _adapter)
    v2.TypeAdapter = _adapter  # type: ignore[assignment,misc]
    utils.get_dependant = _dependant
    routing.get_dependant = _dependant  # type: ignore[attr-defined]
    routing.get_typed_return_annotation = _returns  # type: ignore[attr-defined]
    # Both tell of their arguments alone, and nothing is done to what they tell.
    routing.compile_path = cache(compile_path)  # type: ignore[attr-defined]
    routing.create_model_field = cache(create_model_field)  # type: ignore[attr-defined]
