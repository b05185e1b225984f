"""Where secrets come from, and that they go nowhere else."""

import os
import subprocess

import pytest

from ops import S3, Postgres
from ops.errors import ConfigurationError, SecretMissing
from ops.secrets import Secret, hidden, revealed, secret


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ops.secrets._variables", {})
    for name in ("TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)


def test_the_variable_comes_first_then_the_file_then_env_then_the_command(tmp_path, monkeypatch):
    command = "echo from-command"
    assert secret("TOKEN", command=command).reveal() == "from-command"
    private(tmp_path / ".env", "OTHER=x\nTOKEN='from env'\n")
    assert secret("TOKEN", command=command).reveal() == "from env"
    private(tmp_path / "token", "from-file\n")
    monkeypatch.setenv("TOKEN_FILE", str(tmp_path / "token"))
    assert secret("TOKEN", command=command).reveal() == "from-file"
    monkeypatch.setenv("TOKEN", "from-variable")
    assert secret("TOKEN", command=command).reveal() == "from-variable"


def test_a_missing_secret_is_only_missed_when_it_is_needed_and_says_where_to_put_it():
    missing = secret("TOKEN")
    with pytest.raises(SecretMissing, match=r"the secret TOKEN is missing.*TOKEN_FILE.*\.env"):
        missing.reveal()


def test_children_do_not_inherit_a_declared_secret(monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2")
    declared = secret("TOKEN")
    assert "hunter2" not in subprocess.run(["env"], capture_output=True, text=True).stdout
    assert "TOKEN" not in os.environ
    assert declared.reveal() == "hunter2"


def test_a_file_of_secrets_that_others_can_read_is_refused(tmp_path):
    (tmp_path / ".env").write_text("TOKEN=x\n")
    (tmp_path / ".env").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"chmod 600 \.env"):
        secret("TOKEN").reveal()


@pytest.mark.parametrize("command", ["false", "/nonexistent/op read x"])
def test_a_command_that_fails_says_which_secret_it_was_for(command):
    with pytest.raises(SecretMissing, match="the secret TOKEN cannot be read"):
        secret("TOKEN", command=command).reveal()


def test_an_unreadable_file_is_named(monkeypatch):
    monkeypatch.setenv("TOKEN_FILE", "/nonexistent/token")
    with pytest.raises(SecretMissing, match="/nonexistent/token: No such file"):
        secret("TOKEN").reveal()


def test_no_print_shows_it():
    token = Secret("TOKEN", lambda: "hunter2")
    token.reveal()
    assert "hunter2" not in f"{token} {token!r} {[token]} {vars(token).keys()}"
    assert revealed(token) == "hunter2"


def test_one_secret_may_be_named_twice(monkeypatch):
    monkeypatch.setenv("TOKEN", "x")
    assert (secret("TOKEN").reveal(), secret("TOKEN").reveal()) == ("x", "x")


def test_what_a_text_quotes_of_secrets_that_were_looked_up_is_hidden_wherever_it_stands():
    url = Secret("URL", lambda: "postgresql://u:p%40ssword@db/shop")
    never = Secret("NEVER", lambda: pytest.fail("it was looked up"))
    part = Postgres(url=url), [S3(bucket="backups", access_key=never, secret_key="in the clear")]
    document = {"words": ["no postgresql://u:p%40ssword@db/shop", "as p@ssword, in the clear"], "seconds": 3.5}
    assert hidden(document, part) == document, "nothing was looked up, so nothing can be quoted"
    url.reveal()
    part[1][0].secret_key.reveal()
    assert hidden(document, part) == {"words": ["no ***", "as ***, ***"], "seconds": 3.5}


def test_a_secret_that_is_no_url_at_all_is_hidden_too():
    odd = Secret("ODD", lambda: "http://[odd")
    odd.reveal()
    assert hidden("it is http://[odd, and abc", [odd]) == "it is ***, and abc"
