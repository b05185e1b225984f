"""What an inventory may say, and what it is told when it says something else."""

import pytest

from ops import R2, S3, Directory, Drill, Environment, Postgres, Retention, secret
from ops.errors import ConfigurationError, SecretMissing

STORE = Directory(path="/var/backups")
POSTGRES = Postgres(host="127.0.0.1", database="shop")


def message(call) -> str:
    with pytest.raises(ConfigurationError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_wrong_field_is_one_line_that_names_file_line_field_and_what_is_allowed():
    text = message(lambda: Retention(dayly=7))
    assert __file__ in text
    assert "line" in text
    assert "Retention has no field 'dayly'" in text
    assert "newest, hourly, daily, weekly, monthly" in text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: Environment(name="Prod!", database=POSTGRES, store=STORE),
            ["Environment", "'name'", "lower-case letters"],
        ),
        (lambda: Environment(name="prod", store=STORE), ["needs the field 'database'"]),
        (lambda: Environment(name="prod", database=POSTGRES, store="s3://x"), ["Environment", "'store"]),
        (lambda: Directory("/var/backups"), ["Directory takes no value without a name", "path"]),
        (lambda: Environment(name="prod", database=POSTGRES, storre=STORE), ["no field 'storre'"]),
        (lambda: Retention(newest=0), ["'newest'", "greater than or equal to 1"]),
        (lambda: S3(bucket="b!", access_key="a", secret_key="b"), ["S3", "'bucket'"]),
        (lambda: S3(bucket="bucket", endpoint="no-url", access_key="a", secret_key="b"), ["'endpoint'"]),
        (lambda: R2(account="short", bucket="bucket", access_key="a", secret_key="b"), ["R2", "'account'"]),
        (lambda: Directory(path="relative"), ["'path'"]),
        (lambda: Postgres(host="h"), ["write url=secret(…), or host=…, database=…"]),
        (lambda: Postgres(url=secret("U"), host="h"), ["either url or parts"]),
        (lambda: Postgres(host="h", database="d", port=0), ["'port'"]),
        (lambda: Postgres(host="h", database="d", sslmode="yes"), ["'sslmode'", "verify-full"]),
        (lambda: S3(bucket="bucket", access_key=5, secret_key="b"), ["'access_key'", 'secret("NAME")']),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(call, words):
    text = message(call)
    for word in words:
        assert word in text


def test_a_mistake_does_not_print_the_values_beside_it():
    assert "hunter2" not in message(lambda: Postgres(host="h", database="d", password="hunter2", port="x"))


@pytest.mark.parametrize("host", ["ep-cool-123-pooler.eu-central-1.aws.neon.tech", "ep-x-pooler.neon.tech"])
def test_neons_pooler_is_refused_in_parts_and_in_urls(host):
    assert "pooler" in message(lambda: Postgres(host=host, database="shop"))
    url = Postgres(url=f"postgresql://u:hunter2@{host}/shop")
    text = message(url.parameters)
    assert host.replace("-pooler", "") in text
    assert "hunter2" not in text


def test_a_malformed_url_is_refused_without_being_quoted():
    text = message(Postgres(url="postgresql://u:hunter2@[host/shop").parameters)
    assert "hunter2" not in text
    assert "postgresql://user:password@host:port/database" in text


def test_a_url_without_a_database_is_refused():
    assert "database" in message(Postgres(url="postgresql://u@h").parameters)


def test_tls_is_verified_for_every_host_but_this_machine():
    far = Postgres(url="postgresql://u:p@db.example.com/shop").parameters()
    assert far["sslmode"] == "verify-full"
    assert far["sslrootcert"]
    for near in ("127.0.0.1", "localhost", "::1", "/run/postgresql"):
        assert "sslmode" not in Postgres(host=near, database="shop").parameters()
    said = Postgres(url="postgresql://u:p@db.example.com/shop?sslmode=require").parameters()
    assert said["sslmode"] == "require"


def test_the_databases_name_needs_no_secret_when_it_is_written_down():
    assert Postgres(url=secret("NOT_SET_ANYWHERE"), database="shop").name() == "shop"
    with pytest.raises(SecretMissing):
        Postgres(url=secret("NOT_SET_ANYWHERE")).name()


def test_no_print_of_an_environment_shows_a_secret():
    environment = Environment(
        name="prod",
        database=Postgres(url="postgresql://u:hunter2@h/shop"),
        store=S3(bucket="bucket", access_key="hunter2", secret_key="hunter2"),
    )
    assert (
        "hunter2"
        not in repr(environment) + str(environment) + str(environment.to_json()) + environment.model_dump_json()
    )


def test_r2_is_spelled_out_for_the_s3_client():
    r2 = R2(account="0" * 32, bucket="shop-backups", prefix="a", jurisdiction="eu", access_key="a", secret_key="b")
    s3 = r2.as_s3()
    assert s3.endpoint == f"https://{'0' * 32}.eu.r2.cloudflarestorage.com"
    assert (s3.region, s3.bucket, s3.prefix) == ("auto", "shop-backups", "a")


def test_drills_never_go_to_a_protected_server_by_themselves():
    scratch = Postgres(host="127.0.0.2", database="scratch")

    def environment(**more):
        return Environment(name="prod", database=POSTGRES, store=STORE, **more)

    assert environment().drill_server() is POSTGRES
    assert "protected" in message(environment(protected=True).drill_server)
    assert environment(protected=True, drill=Drill(on_protected=True)).drill_server() is POSTGRES
    same = Postgres(host="127.0.0.1", database="another", user="other")
    assert "itself" in message(environment(protected=True, drill=Drill(server=same)).drill_server)
    assert environment(protected=True, drill=Drill(server=scratch)).drill_server() is scratch
