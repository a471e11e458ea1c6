"""Answers that say no: LSP errors whose message tells what is wrong and what to do."""

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams


def refuse(message: str) -> JsonRpcException:
    """`RequestFailed`: the request was fine, but it cannot be done now (LSP §3.17 error codes)."""
    return JsonRpcException(message, int(types.LSPErrorCodes.RequestFailed))


def bad_argument(message: str) -> JsonRpcException:
    """`InvalidParams`: the caller must send something else."""
    return JsonRpcInvalidParams(message)
