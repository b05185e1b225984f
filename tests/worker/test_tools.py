"""Which pg_dump and pg_restore are chosen."""

import pytest

from ops.errors import ToolError
from ops.worker import tools


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put programs of given versions in directories; only those are on PATH."""
    monkeypatch.setattr(tools, "_directories", lambda bin_dir: directories(bin_dir))
    made = []

    def directories(bin_dir):
        return ([tmp_path / bin_dir] if bin_dir else []) + made

    def put(directory, version, name="pg_dump"):
        (tmp_path / directory).mkdir(exist_ok=True)
        program = tmp_path / directory / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
        if tmp_path / directory not in made and not directory.startswith("named"):
            made.append(tmp_path / directory)
        return program

    return put


def test_the_servers_own_major_comes_first_then_the_next_newer(install):
    install("a", "18.1")
    own = install("b", "16.4 (Debian 16.4-1)")
    install("c", "17.2")
    assert tools.for_dump(16, None).path == own
    assert tools.for_dump(16, None).version == "16.4"
    own.unlink()
    assert tools.for_dump(16, None).version == "17.2"


def test_the_named_directory_wins_over_others_of_the_same_version(install):
    install("a", "17.2")
    named = install("named", "17.1")
    assert tools.for_dump(17, "named").path == named


def test_an_older_pg_dump_is_never_used_and_the_error_says_what_to_install(install):
    install("a", "15.18")
    with pytest.raises(ToolError, match=r"PostgreSQL 17 and no pg_dump 17 or newer.*15\.18.*postgresql-client-17"):
        tools.for_dump(17, None)


def test_a_restore_takes_the_targets_own_major_and_no_other(install):
    install("a", "18.0", "pg_restore")
    with pytest.raises(ToolError, match="no pg_restore 17 is installed"):
        tools.for_restore(17, None)
    own = install("b", "17.9", "pg_restore")
    assert tools.for_restore(17, None).path == own


def test_what_does_not_answer_like_postgresql_is_passed_over(install):
    install("a", "17.2").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ToolError):
        tools.for_dump(17, None)


def test_debians_wrapper_is_passed_over(install, tmp_path):
    wrapper = install("share", "99.0", "pg_wrapper")
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "pg_dump").symlink_to(wrapper)
    real = install("lib", "17.2")
    assert tools.for_dump(17, "usr").path == real


def test_the_embedded_one_is_found_and_has_zstd():
    tool = tools.for_dump(17, None)
    assert tool.major == 17
    assert tools.compression(tool) == "zstd:1"
    assert tools.compression_option(tool, "zstd:1") == "--compress=zstd:1"
    assert tools.compression_option(tools.Tool(tool.path, "15.1"), "gzip:1") == "--compress=1"
