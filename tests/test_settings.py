"""Settings: the file, the environment, and every mistake at once."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from scimhub import settings
from scimhub.settings import Settings, SettingsError

SECRET = "a" * 20


def problems_of(environ: dict[str, str], config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load(config, environ)
    return caught.value.problems


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_file_and_environment_everything_has_a_default():
    loaded = settings.load(environ={})
    assert (loaded.database, loaded.host, loaded.port) == ("data/scimhub.db", "127.0.0.1", 8080)
    assert loaded.socket_path == Path("data/scimhub.sock")
    assert loaded.base_url == "http://127.0.0.1:8080"


def test_the_environment_wins_over_the_file(tmp_path: Path):
    (tmp_path / "scimhub.toml").write_text('port = 9000\nhost = "localhost"\n')
    loaded = settings.load(environ={"SCIMHUB_PORT": "9001"})
    assert (loaded.host, loaded.port) == ("localhost", 9001)


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_settings_file_can_be_named(tmp_path: Path, how: str):
    file = tmp_path / "hub.toml"
    file.write_text("page_size = 7\n")
    loaded = settings.load(file, {}) if how == "argument" else settings.load(environ={"SCIMHUB_CONFIG": str(file)})
    assert loaded.page_size == 7


VALUES = [
    ("SCIMHUB_TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    ("SCIMHUB_DISCOVERY_PUBLIC", "false", "discovery_public", False),
    ("SCIMHUB_LOG_LEVEL", "WARNING", "log_level", "warning"),
    ("SCIMHUB_PUBLIC_URL", "https://scim.example.com/hub/", "public_url", "https://scim.example.com/hub"),
    ("SCIMHUB_SHUTDOWN_GRACE", "0.5", "shutdown_grace", 0.5),
    # A compose file writes an unset variable as an empty one.
    ("SCIMHUB_ADMIN_TOKEN", "", "admin_token", None),
    ("scimhub_port", "1", "port", 1),
]


@pytest.mark.parametrize("variable, text, name, value", VALUES)
def test_a_variable_is_read_as_the_type_of_its_setting(variable: str, text: str, name: str, value: object):
    assert getattr(settings.load(environ={variable: text}), name) == value


def test_a_list_in_the_file_is_a_toml_array(tmp_path: Path):
    (tmp_path / "scimhub.toml").write_text('trusted_proxies = ["10.0.0.0/8"]\nhost = "0.0.0.0"\n')
    assert settings.load(environ={}).trusted_proxies == (ip_network("10.0.0.0/8"),)


MISTAKES = [
    ({"SCIMHUB_PORT": "x"}, "port is 'x' (SCIMHUB_PORT); it must be a whole number from 0 to 65535."),
    ({"SCIMHUB_PORT": "65536"}, "port is '65536' (SCIMHUB_PORT); it must be a whole number from 0 to 65535."),
    ({"SCIMHUB_PROT": "1"}, "The environment has SCIMHUB_PROT, which is no setting; perhaps SCIMHUB_PORT is meant."),
    (
        {"SCIMHUB_ADMIN_TOKEN": "short"},
        "admin_token is not usable (SCIMHUB_ADMIN_TOKEN); it must be 20 or more of the characters A-Z a-z 0-9 - . _ ~ + /.",
    ),
    (
        {"SCIMHUB_BOOTSTRAP_TOKEN": "twenty characters but blanks"},
        "bootstrap_token is not usable (SCIMHUB_BOOTSTRAP_TOKEN); "
        "it must be 20 or more of the characters A-Z a-z 0-9 - . _ ~ + /.",
    ),
    (
        {"SCIMHUB_TRUSTED_PROXIES": "10.0.0.1/8"},
        "trusted_proxies is '10.0.0.1/8' (SCIMHUB_TRUSTED_PROXIES); it must be networks such as 10.0.0.0/8.",
    ),
    (
        {"SCIMHUB_PAGE_SIZE": "2000"},
        "page_size is 2000 (SCIMHUB_PAGE_SIZE); at most page_size_max, 1000, is right.",
    ),
    (
        {"SCIMHUB_HOST": "0.0.0.0"},
        "host is '0.0.0.0' (SCIMHUB_HOST), where plain HTTP could be overheard; give tls_certificate and tls_key, or name "
        "the reverse proxies in trusted_proxies (SCIMHUB_TRUSTED_PROXIES), or listen on 127.0.0.1.",
    ),
    *(
        (
            {"SCIMHUB_SHUTDOWN_GRACE": text},
            f"shutdown_grace is '{text}' (SCIMHUB_SHUTDOWN_GRACE); it must be a number of seconds from 0.",
        )
        for text in ("inf", "nan", "-1")
    ),
    ({"SCIMHUB_CONFIG": "absent.toml"}, "The settings file absent.toml is not there."),
    (
        {"SCIMHUB_TLS_KEY": "absent.pem"},
        "tls_key is 'absent.pem' (SCIMHUB_TLS_KEY); it must be the path of a readable PEM file.",
    ),
]


@pytest.mark.parametrize("environ, sentence", MISTAKES, ids=[sentence[:30] for _, sentence in MISTAKES])
def test_a_mistake_is_told_with_where_it_was_made_and_what_is_right(environ: dict[str, str], sentence: str):
    assert problems_of(environ) == [sentence]


URLS = [
    *("ftp://x.example", "https://", "x.example", "https://x.example:99999", "https://x.example/a b"),
    *("https://u:p@x.example", "https://x.example?a=1", "https://x.example/#a"),
]


@pytest.mark.parametrize("url", URLS)
def test_a_public_url_is_a_plain_http_url(url: str):
    (problem,) = problems_of({"SCIMHUB_PUBLIC_URL": url})
    assert problem.startswith(f"public_url is {url!r} (SCIMHUB_PUBLIC_URL); it must be an http or https URL without")


def test_half_a_tls_pair_is_a_mistake(tmp_path: Path):
    (tmp_path / "cert.pem").write_text("x")
    (problem,) = problems_of({"SCIMHUB_TLS_CERTIFICATE": "cert.pem"})
    assert problem.startswith("tls_certificate and tls_key go together")


def test_all_mistakes_are_told_together(tmp_path: Path):
    (tmp_path / "scimhub.toml").write_text('page_sze = 3\nbody_limit = 1\nlog_format = "xml"\n')
    found = problems_of({"SCIMHUB_PORT": "-1", "SCIMHUB_NONSENSE": "1", "SCIMHUB_HOST": "::", "SCIMHUB_CURSOR_LIFETIME": "0"})
    assert [problem.split(" ")[0] for problem in found] == [
        *("The", "The", "body_limit", "log_format", "port", "cursor_lifetime", "host")
    ]
    assert found[0] == "The settings file has page_sze, which is no setting; perhaps page_size is meant."


def test_a_file_that_is_not_toml_is_a_mistake_beside_the_others(tmp_path: Path):
    (tmp_path / "scimhub.toml").write_text("port = = 1")
    first, second = problems_of({"SCIMHUB_PORT": "x"})
    assert first.startswith("The settings file scimhub.toml is not TOML: ")
    assert second.startswith("port is 'x'")


def test_secrets_are_in_no_text():
    loaded = settings.load(environ={"SCIMHUB_ADMIN_TOKEN": SECRET})
    assert SECRET not in repr(loaded) + str(loaded)
    secret = "b" * 30 + " "
    assert secret not in " ".join(problems_of({"SCIMHUB_ADMIN_TOKEN": secret}))


@pytest.mark.parametrize(
    "host, is_loopback", [("localhost", True), ("127.0.0.9", True), ("::1", True), ("10.1.1.1", False), ("hub.example", False)]
)
def test_loopback_is_what_only_this_machine_reaches(host: str, is_loopback: bool):
    assert Settings(host=host).is_loopback is is_loopback


def test_a_directory_with_a_long_path_leaves_no_room_for_the_socket():
    (problem,) = problems_of({"SCIMHUB_DATABASE": f"/{'d' * 100}/hub.db"})
    assert "must have a shorter path" in problem


@pytest.mark.parametrize(
    "url, path",
    [
        ("sqlite:///data/hub.db", Path("data/hub.db")),
        ("sqlite:////var/lib/hub%20one.db", Path("/var/lib/hub one.db")),
        ("data/hub.db", Path("data/hub.db")),
        ("postgresql://hub:secret@db.example:5433/scimhub", None),
    ],
)
def test_a_database_is_a_file_or_a_server(url: str, path: Path | None):
    assert settings.load(environ={"SCIMHUB_DATABASE": url}).database_file == path


def test_with_a_server_the_other_files_lie_in_data():
    loaded = settings.load(environ={"SCIMHUB_DATABASE": "postgresql://hub@db.example/scimhub"})
    assert loaded.data_directory == Path("data")
    given = settings.load(environ={"SCIMHUB_DATABASE": "postgresql://hub@db.example/scimhub", "SCIMHUB_DATA": "/srv/hub"})
    assert given.socket_path == Path("/srv/hub/scimhub.sock")


def test_where_only_the_data_directory_is_set_the_database_is_in_it():
    loaded = settings.load(environ={"SCIMHUB_DATA": "/srv/hub"})
    assert loaded.database_file == Path("/srv/hub/scimhub.db")
    apart = settings.load(environ={"SCIMHUB_DATA": "/srv/hub", "SCIMHUB_DATABASE": "/fast/hub.db"})
    assert (apart.database_file, apart.data_directory) == (Path("/fast/hub.db"), Path("/srv/hub"))


@pytest.mark.parametrize("url", ["mysql://hub@db.example/scimhub", "sqlite://x/y", "sqlite:///", "postgresql://db.example"])
def test_any_other_database_is_refused_without_showing_what_may_be_a_password(url: str):
    with pytest.raises(SettingsError, match=r"database is not usable \(SCIMHUB_DATABASE\); it must be a path such as"):
        settings.load(environ={"SCIMHUB_DATABASE": url})


def test_a_database_is_shown_without_its_password():
    loaded = settings.load(environ={"SCIMHUB_DATABASE": "postgresql://hub:hunter2@db.example:5433/scimhub"})
    assert loaded.database_shown == "postgresql://db.example:5433/scimhub"
    assert "hunter2" not in repr(loaded)


@pytest.mark.parametrize(
    "url", ["postgresql://u:pa@ss@h/db", "postgresql://u:sec/ret@h/db", "postgresql://h/db?user=u&password=secret"]
)
def test_no_odd_password_is_shown(url: str):
    assert settings.load(environ={"SCIMHUB_DATABASE": url}).database_shown == "postgresql://h/db"


# --------------------------------------------------------------------------- keys of secrets

KEY = f"2026-11-26-a1b2c3:{'A' * 43}="


def test_keys_of_secrets_are_a_list_and_never_shown():
    loaded = settings.load(environ={"SCIMHUB_SECRET_KEYS": f"{KEY}, older:{'B' * 43}="})
    assert [key.get_secret_value()[:8] for key in loaded.secret_keys] == ["2026-11-", "older:BB"]
    assert "AAAA" not in repr(loaded)
    assert loaded.own_keys_file is None


@pytest.mark.parametrize("written", ["x", "x:AAAA", f"{KEY},{KEY}", f"{KEY}x", f":{'A' * 43}="])
def test_what_are_no_keys_is_told_without_showing_them(written: str):
    (problem,) = problems_of({"SCIMHUB_SECRET_KEYS": written})
    assert problem == (
        "secret_keys is not usable (SCIMHUB_SECRET_KEYS); it must be a list of id:base64, each of 32 random bytes; "
        "make one with: scimhub secrets new-key."
    )


def test_keys_are_given_in_one_place(tmp_path: Path):
    (tmp_path / "keys").write_text(KEY)
    (problem,) = problems_of({"SCIMHUB_SECRET_KEYS": KEY, "SCIMHUB_SECRET_KEYS_FILE": str(tmp_path / "keys")})
    assert problem.startswith("Both secret_keys and secret_keys_file are set")


def test_with_a_file_the_hub_keeps_its_keys_beside_it_and_with_a_server_it_has_none():
    assert settings.load(environ={"SCIMHUB_DATABASE": "d/hub.db"}).own_keys_file == Path("d/secret.keys")
    assert settings.load(environ={"SCIMHUB_DATABASE": "postgresql://hub@db.example/scimhub"}).own_keys_file is None
