"""Values between a learner's process and the one that judges: plain, as text, and compared."""

import base64
import math

import numpy as np

RELATIVE, ABSOLUTE = 1e-3, 1e-5  # what two ways to the same answer may differ by, in 32 bits


def plain(value: object) -> object:
    """The value in JSON's types and NumPy arrays.

    Raises:
        TypeError: a value that has no plain form.

    >>> plain((np.float32(0.5), {"day": np.arange(2)}))
    [0.5, {'day': array([0, 1])}]
    """
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biufU":
        return np.asarray(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(part) for key, part in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"found a {type(value).__name__}, expected numbers, arrays or tensors")


def encode(value: object) -> object:
    """A plain value in JSON's types alone."""
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"array": data, "type": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, list):
        return [encode(part) for part in value]
    if isinstance(value, dict):
        return {"items": {key: encode(part) for key, part in value.items()}}
    return value


def decode(value: object) -> object:
    """Undo `encode`; whoever wrote the text, nothing in it is run.

    Raises:
        ValueError, KeyError, TypeError: the text is no encoded value.
    """
    if isinstance(value, list):
        return [decode(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "items" in value:
        return {key: decode(part) for key, part in value["items"].items()}
    kind = np.dtype(value["type"])
    if kind.kind not in "biufU":
        raise ValueError(f"found an array of type {kind}, expected numbers or texts")
    data = base64.b64decode(value["array"], validate=True)
    return np.frombuffer(data, dtype=kind).reshape(value["shape"])


def same(expected: object, found: object) -> bool:
    """Whether two plain values are equal, up to rounding.

    >>> same([0.1, np.arange(2)], [0.1 + 1e-9, [0, 1]])
    True
    """
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(same(part, found[key]) for key, part in expected.items())
        )
    if isinstance(expected, (np.ndarray, list)):
        return _same_sequences(expected, found)
    if isinstance(expected, (bool, str)) or expected is None:
        return type(found) is type(expected) and found == expected
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return is_number and math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _same_sequences(expected: np.ndarray | list, found: object) -> bool:
    if not isinstance(found, (np.ndarray, list)) or len(found) != len(expected):
        return False
    if isinstance(expected, np.ndarray) and isinstance(found, np.ndarray):
        kinds = {expected.dtype.kind, found.dtype.kind}
        if expected.shape != found.shape or (len(kinds) > 1 and kinds & set("bU")):
            return False
        if kinds <= set("iuf"):
            return np.allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE)
        return np.array_equal(found, expected)
    pairs = zip(plain(list(expected)), plain(list(found)), strict=True)
    return all(same(one, other) for one, other in pairs)


def brief(value: object) -> str:
    """The value in one short line, for people.

    >>> brief({"loss": 0.123456})
    'loss 0.1235'
    """
    if isinstance(value, dict):
        text = ", ".join(f"{key} {brief(part)}" for key, part in value.items())
    elif isinstance(value, np.ndarray):
        text = " ".join(np.array2string(value, precision=4, threshold=12, edgeitems=2).split())
    elif isinstance(value, list):
        text = f"[{', '.join(brief(part) for part in value)}]"
    else:
        text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
