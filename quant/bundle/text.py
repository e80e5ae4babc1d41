# SPDX-License-Identifier: Apache-2.0
"""The text of ``graph.json``: deterministic, one node and one tensor per line, self-checked."""

import hashlib
import json
from typing import Any

from quant.errors import BundleError

Json = dict[str, Any]

CHECKSUM_KEY = "checksum"


def canonical_text(body: Json) -> str:
    """Return the canonical form: sorted keys, no spaces, ASCII, no NaN or infinity.

    Raises:
        BundleError: A number is not finite or a value is no JSON value.
    """
    return _dump(body, sort_keys=True, separators=(",", ":"))


def checksum_of(body: Json) -> str:
    """Return the hex sha256 of the canonical form of ``body`` without its checksum."""
    rest = {k: v for k, v in body.items() if k != CHECKSUM_KEY}
    return hashlib.sha256(canonical_text(rest).encode()).hexdigest()


def render(body: Json) -> str:
    """Return the text of the file: the body with its checksum, laid out for reading.

    Every node, tensor, layer and other entry of a part gets a line.

    Raises:
        BundleError: A number is not finite or a value is no JSON value.
    """
    # Through JSON once, so that the checksum is of what a reader will find.
    plain = parse(_dump(body))
    full = {**plain, CHECKSUM_KEY: checksum_of(plain)}
    return _block(full, 0) + "\n"


def parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of ``text``.

    Raises:
        ValueError: The text is not strict JSON (NaN and infinities are not JSON).
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


# Objects spread over lines: the file and its parts. Lists: nodes and layers inside a part.
_OBJECT_LEVELS = 2
_LIST_LEVELS = 3


def _block(value: Any, level: int) -> str:  # noqa: ANN401
    margin = " " * (level + 1)
    end = "\n" + " " * level
    if level < _OBJECT_LEVELS and isinstance(value, dict) and value and _has_parts(value):
        rows = [f"{margin}{_dump(k)}: {_block(v, level + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + end + "}"
    if level < _LIST_LEVELS and isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(margin + _dump(v) for v in value) + end + "]"
    return _dump(value)


def _has_parts(value: Json) -> bool:
    return any(isinstance(v, dict | list) for v in value.values())


def _dump(value: Any, **options: Any) -> str:  # noqa: ANN401
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        raise BundleError(
            "a number to be stored is NaN or infinite; "
            "store null where a measurement has no finite value"
        ) from None
    except TypeError as error:
        raise BundleError(
            f"a value to be stored is no JSON value ({error}); use numbers, text, lists, objects"
        ) from None
