import sys

import pytest

from deploy import ice_build, ice_runtime


def test_a_wheel_serves_only_the_python_it_was_built_for(tmp_path):
    (tmp_path / f"zeroc_ice-{ice_build.release()}-cp27-cp27-linux_x86_64.whl").touch()
    assert ice_runtime.cached(tmp_path) is None


def test_a_wheel_of_another_release_is_not_used(tmp_path):
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    (tmp_path / f"zeroc_ice-3.6.0-{tag}-{tag}-linux_x86_64.whl").touch()
    assert ice_runtime.cached(tmp_path) is None


def test_a_wheel_compiled_before_is_found_again(tmp_path):
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheel = tmp_path / f"zeroc_ice-{ice_build.release()}-{tag}-{tag}-linux_x86_64.whl"
    wheel.touch()
    assert ice_runtime.cached(tmp_path) == wheel


def test_linking_twice_leaves_one_link_to_each_module(tmp_path):
    module, site_packages = tmp_path / "Ice", tmp_path / "site-packages"
    module.mkdir()
    site_packages.mkdir()
    ice_runtime.link([module], site_packages)
    ice_runtime.link([module], site_packages)
    assert (site_packages / "Ice").resolve() == module


def test_a_missing_header_is_noticed_before_anything_is_compiled():
    assert not ice_build.compiles("#include <no/such/header.h>\n")


def test_the_unchecked_text_of_the_release_is_checked(tmp_path):
    file = tmp_path / "dist/ice/python/modules/IcePy/Types.cpp"
    file.parent.mkdir(parents=True)
    file.write_text(f"string val;\n{ice_build.UNCHECKED}\n")
    ice_build.repair(tmp_path)
    assert file.read_text() == f"string val;\n{ice_build.CHECKED}\n"


def test_a_release_that_reads_otherwise_is_not_repaired_blindly(tmp_path):
    file = tmp_path / "dist/ice/python/modules/IcePy/Types.cpp"
    file.parent.mkdir(parents=True)
    file.write_text("")
    with pytest.raises(SystemExit, match="look again"):
        ice_build.repair(tmp_path)


def test_files_are_compiled_side_by_side_and_named_in_their_order(tmp_path, monkeypatch):
    from distutils import ccompiler

    monkeypatch.chdir(tmp_path)
    said = []
    monkeypatch.setattr(ice_build, "say", said.append)
    names = [f"part{number}" for number in range(12)]
    for name in names:
        (tmp_path / f"{name}.c").write_text(f"int {name}(void) {{ return 0; }}\n")
    with ice_build.compiling_in_parallel(2):
        objects = ccompiler.new_compiler().compile([f"{name}.c" for name in names], output_dir="built")
    assert objects == [f"built/{name}.o" for name in names]
    assert all((tmp_path / one).exists() for one in objects)
    assert said[-1] == "compiled 12 of 12 files"
