"""Two questions about statements of a test: for splitting tests into claims, and for making inputs of them."""

import ast


def binds(node: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case _:
            return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def calls(node: ast.AST) -> bool:
    """Whether anything is called in it."""
    return any(isinstance(part, ast.Call) for part in ast.walk(node))
