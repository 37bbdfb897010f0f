import sys

from deploy import debian

DESCRIPTION = """Package: python3-zeroc-ice
Version: 3.7.8-2.1+b1
Depends: libzeroc-ice3.7 (= 3.7.8-2.1+b1), python3 (<< 3.12), python3 (>= 3.11~), python3:any, libc6 (>= 2.34)
"""


def test_the_python_of_a_compiled_module_is_read_from_its_dependencies():
    assert debian.python_of(DESCRIPTION) == (3, 11)


def test_a_package_nobody_knows_is_for_no_python():
    assert debian.python_of("") is None


def test_modules_for_another_python_do_not_count(tmp_path):
    (tmp_path / "IcePy.cpython-27-x86_64-linux-gnu.so").touch()
    assert debian.ice_modules(tmp_path) == []


def test_only_what_import_ice_needs_is_named(tmp_path):
    extension = tmp_path / f"IcePy.{sys.implementation.cache_tag}-x86_64-linux-gnu.so"
    extension.touch()
    (tmp_path / "IceGrid").mkdir()
    assert debian.ice_modules(tmp_path) == [tmp_path / "Ice", extension]
