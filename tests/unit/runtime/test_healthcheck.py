"""The command line of the health check, read as Go reads it."""

import pytest

from runtime import healthcheck
from runtime.healthcheck import Options, UsageError, duration, parse, spell


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("250ms", 0.25), ("1m30s", 90), ("1.5h", 5400), ("0", 0), (".5s", 0.5), ("-2s", -2), ("3us", 3e-6)],
)
def test_a_duration_is_read(text, seconds):
    assert duration("rpc-timeout", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1", "", "s", "1 s", "1s2", "one"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match=f'invalid value "{text}" for flag -rpc-timeout: parse error'):
        duration("rpc-timeout", text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1s"), (0.25, "250ms"), (90, "1m30s"), (5400, "1h30m0s"), (0, "0s"), (-1, "-1s")]
)
def test_a_duration_is_written_as_go_writes_it(seconds, text):
    assert spell(seconds) == text


@pytest.mark.parametrize("arguments", [["-addr", ":1"], ["-addr=:1"], ["--addr=:1"], ["--addr", ":1"]])
def test_flags_have_one_dash_or_two(arguments):
    assert parse(arguments) == Options(addr=":1")


def test_the_first_other_word_ends_the_flags():
    assert parse(["-addr=:1", "word", "-tls"]) == Options(addr=":1")


def test_a_repeated_header_is_kept_and_a_repeated_flag_replaced():
    given = parse(["-rpc-header", "a: 1", "-rpc-header", "b: 2", "-service", "x", "-service", "y"])
    assert given == Options(rpc_header=("a: 1", "b: 2"), service="y")


def test_a_boolean_can_be_said():
    assert parse(["-tls=false", "-gzip=T"]) == Options(tls=False, gzip=True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "error: -addr not specified"),
        (["-h"], "Usage of pulsegate healthcheck:"),
        (["-x"], "flag provided but not defined: -x"),
        (["-spiffe", "-addr=:1"], "flag provided but not defined: -spiffe"),
        (["-addr"], "flag needs an argument: -addr"),
        (["-addr=:1", "-connect-timeout=0s"], "error: -connect-timeout must be greater than zero (specified: 0s)"),
        (["-addr=:1", "-rpc-timeout=-1s"], "error: -rpc-timeout must be greater than zero (specified: -1s)"),
        (["-addr=:1", "-tls=maybe"], 'invalid boolean value "maybe" for -tls: parse error'),
        (["-addr=:1", "-tls-ca-cert=ca.pem"], "error: specified -tls-ca-cert without specifying -tls"),
        (["-addr=:1", "-tls", "-tls-client-key=a"], "error: -tls-client-cert and -tls-client-key must be specified"),
        (["-addr=:1", "-tls", "-tls-ca-cert=/none/ca.pem"], "failed to initialize tls credentials. error="),
        (["-addr=:1", "-rpc-header=word"], "error: invalid RPC header"),
    ],
)
def test_what_cannot_be_asked_is_exit_1(capsys, arguments, text):
    assert healthcheck.main(arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith(text)
    assert not said.out


def test_the_version_goes_to_stdout(capsys):
    assert healthcheck.main(["-version"]) == 0
    assert capsys.readouterr().out.count(".") == 2
