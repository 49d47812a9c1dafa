"""The lint of this repository: line length, trailing blanks, tabs, unused imports, missing docstrings."""

import ast
import pathlib
import sys


def problems(path):
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > 100:
            yield f"{path}:{number}: line is longer than 100 characters"
        if line != line.rstrip():
            yield f"{path}:{number}: trailing blanks"
        if "\t" in line:
            yield f"{path}:{number}: tab"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield f"{path}: must end in exactly one line end"
    yield from tree_problems(path, ast.parse(text))


def tree_problems(path, tree):
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = (alias.asname or alias.name).split(".")[0]
                if name not in used:
                    yield f"{path}:{node.lineno}: {name} is imported and not used"
        public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if public and "tests" not in path.parts and not ast.get_docstring(node):
            yield f"{path}:{node.lineno}: {node.name} has no docstring"


def main():
    files = sorted([*pathlib.Path("shop").glob("*.py"), *pathlib.Path("tests").glob("*.py")])
    found = [problem for path in files for problem in problems(path)]
    print("\n".join(found) or f"{len(files)} files are clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
