"""Settings: which one wins, where it came from, and what every mistake is told."""

import json
from pathlib import Path

import pytest

from rmf import config_file, limits
from rmf.config import SETTINGS, Config, as_written, load
from rmf.errors import ConfigError

HOME = {"HOME": "/home/ada"}


def refusal(flags: dict[str, str | None], environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags, HOME | (environment or {}))
    return str(caught.value)


def written(folder: Path, text: str) -> str:
    path = folder / "rmf.toml"
    path.write_text(text)
    return str(path)


def test_without_a_word_it_is_one_durable_node_on_loopback() -> None:
    config = load({}, HOME)
    assert (config.node, config.listen, config.line) == ("n1", ("127.0.0.1", 7410), None)
    assert config.data == Path("/home/ada/.local/state/rmf/n1")
    assert (config.http, config.glovebox, config.peers) == (("127.0.0.1", 7480), "process", ())
    assert (config.tick_period_ns, config.ingest_depth) == (100_000, 65_536)
    assert (config.demo, config.insecure, config.notices) == (False, False, ())
    assert set(config.origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("state", "data"),
    [
        ("/var/state", "/var/state/rmf/n7"),
        ("relative/counts/as/unset", "/home/ada/.local/state/rmf/n7"),
        ("", "/home/ada/.local/state/rmf/n7"),
    ],
)
def test_the_data_directory_follows_the_xdg_rules_and_the_node(state: str, data: str) -> None:
    config = load({"node": "n7"}, HOME | {"XDG_STATE_HOME": state})
    assert config.data == Path(data)


def test_a_data_directory_of_ones_own_is_made_absolute() -> None:
    assert load({"data": "here"}, HOME).data == Path.cwd() / "here"


def test_without_a_home_the_data_directory_must_be_named() -> None:
    with pytest.raises(ConfigError, match="set --data"):
        load({}, {})


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = written(tmp_path, 'node = "f"\nlisten = "127.0.0.1:1"\ntick = "1ms"\n')
    environment = HOME | {"RMF_LISTEN": "127.0.0.1:2", "RMF_TICK": "2ms"}
    config = load({"tick": "3ms", "config": file}, environment)
    assert (config.node, config.listen, config.tick_period_ns) == ("f", ("127.0.0.1", 2), 3_000_000)
    assert config.origins["tick"] == "flag --tick"
    assert config.origins["listen"] == "environment RMF_LISTEN"
    assert config.origins["node"] == f"file {file}"
    assert config.origins["ingest_depth"] == "default"


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    file = written(tmp_path, 'node = "f"\n')
    assert load({}, HOME | {"RMF_CONFIG": file}).node == "f"


def test_a_flag_can_switch_off_what_the_file_switches_on(tmp_path: Path) -> None:
    file = written(tmp_path, "demo = true\n")
    assert load({"config": file}, HOME).demo
    assert not load({"config": file, "demo": "off"}, HOME).demo


def test_every_setting_can_stand_in_a_file_and_in_the_environment(tmp_path: Path) -> None:
    values = as_written(load({"advertise": "10.0.0.1:7410", "restore": "/plant.tar"}, HOME))
    # What JSON writes for text, numbers and booleans is TOML, too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    from_file = load({"config": written(tmp_path, "\n".join(lines))}, HOME)
    environment = {f"RMF_{key.upper()}": str(value) for key, value in values.items()}
    environment |= {"RMF_DEMO": "off", "RMF_INSECURE": "off", "RMF_AUDIT": "off"}
    from_environment = load({}, HOME | environment)
    assert as_written(from_file) == values
    assert as_written(from_environment) == values
    assert set(from_file.origins) == {setting.key for setting in SETTINGS}
    assert "default" not in {*from_file.origins.values(), *from_environment.origins.values()}


def test_a_dash_in_the_file_is_taken_for_an_underscore(tmp_path: Path) -> None:
    assert load({"config": written(tmp_path, "ingest-depth = 7\n")}, HOME).ingest_depth == 7


def test_variables_that_others_read_are_not_ours() -> None:
    others = {"RMF_CONNECT": "elsewhere:1", "RMF_PURE": "1"}
    assert load({}, HOME | others).listen == ("127.0.0.1", 7410)


def test_an_unknown_key_names_the_nearest_and_where_it_stands(tmp_path: Path) -> None:
    file = written(tmp_path, "ingest_dept = 7\n")
    text = refusal({"config": file}, {"RMF_LISTN": "x:1"})
    assert "RMF_LISTN: unknown setting (environment); did you mean RMF_LISTEN?" in text
    assert f"ingest_dept: unknown setting (file {file}); did you mean ingest_depth?" in text


def test_a_key_like_no_other_lists_them_all(tmp_path: Path) -> None:
    assert "there are node, data, listen" in refusal({"config": written(tmp_path, "zzz = 1\n")})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('ingest_depth = "many"', "ingest_depth: found 'many' (file {}), expected a whole number"),
        ("listen = 7410", "listen: found 7410 (file {}), expected text"),
        ('demo = "yes"', "demo: found 'yes' (file {}), expected true or false"),
        ("ingest_depth = true", "ingest_depth: found True (file {}), expected a whole number"),
        ("node = []", "node: found [] (file {}), expected text"),
        ('data = "a\\u0000b"', "data: found 'a\\x00b' (file {}), expected the path of a directory"),
        ("a.b = 1", "a: unknown setting (file {})"),
        (
            "ingest-depth = 1\ningest_depth = 2",
            "ingest_depth: set twice (file {}), with a dash and with an underscore",
        ),
    ],
)
def test_a_wrong_value_in_a_file_is_reported_with_key_value_expectation_and_origin(
    tmp_path: Path, line: str, complaint: str
) -> None:
    file = written(tmp_path, line)
    assert complaint.format(file) in refusal({"config": file})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("node", "a/b", "1 to 63 letters"),
        ("data", "", "the path of a directory"),
        ("listen", "7410", "HOST:PORT"),
        ("http", "x", "off or HOST:PORT"),
        ("line", "greenhouse.py", "board, FILE.py:NAME or package.module:NAME"),
        ("line", "greenhouse.py:not a name", "board, FILE.py:NAME"),
        ("glovebox", "docker", "process or inline"),
        ("audit", "2", "on, off or a share from 0 to 1"),
        ("advertise", "here:0", "a port from 1 to 65535"),
        ("tick", "1us", "a duration from 10us to 10s"),
        ("tick", "5", "a duration with its unit"),
        ("handler_time", "1ms", "a duration from 10ms to 1h"),
        ("handler_time", "2h", "a duration from 10ms to"),
        ("handler_time", "1", "a duration with its unit"),
        ("handler_memory", "15MiB", "a size from 16MiB to 1024GiB"),
        ("handler_memory", "2000GiB", "a size from 16MiB to"),
        ("handler_memory", "lots", "a size, as 512MiB"),
        ("ingest_depth", "0", "a whole number, 1 or more"),
        ("ingest_depth", "99999999999", "a number of packets from 1 to"),
        ("log_format", "xml", "auto, text or json"),
        ("peers", "n1", "NAME=HOST:PORT"),
        ("peers", "n1=a:1,n2=a:1", "an address of its own for each peer"),
        ("peers", ",".join(f"n{i}=a:{i}" for i in range(1, 11)), "at most 9 peers"),
    ],
)
def test_a_wrong_value_is_reported_with_key_value_expectation_and_origin(
    key: str, value: str, expected: str
) -> None:
    flag = f"--{key.replace('_', '-')}"
    assert f"{key}: found {value!r} (flag {flag}), expected {expected}" in refusal({key: value})
    variable = f"RMF_{key.upper()}"
    assert f"(environment {variable}), expected {expected}" in refusal({}, {variable: value})


def test_all_mistakes_are_reported_at_once() -> None:
    text = refusal({"tick": "1h", "node": "", "http": "10.0.0.1:7480"}, {"RMF_X": ""})
    beginnings = [line.partition(":")[0] for line in text.splitlines()]
    assert beginnings == ["RMF_X", "node", "tick", "http"]


def test_what_a_packet_may_take_is_a_time_and_a_size() -> None:
    config = load({}, HOME)
    assert config.handler_time_ns == limits.HANDLER_NS
    assert config.handler_memory_bytes == limits.BOX_MEMORY_BYTES
    config = load({"handler_time": "0.25s", "handler_memory": "65536KiB"}, HOME)
    assert (config.handler_time_ns, config.handler_memory_bytes) == (250_000_000, 64 << 20)
    values = as_written(config)
    assert (values["handler_time"], values["handler_memory"]) == ("250ms", "64MiB")


def test_http_can_be_elsewhere_on_any_free_port_or_off() -> None:
    assert load({"http": "[::1]:0"}, HOME).http == ("::1", 0)
    assert load({"http": "off"}, HOME).http is None


THREE = "n1=127.0.0.1:7511,n2=127.0.0.1:7512,n3=127.0.0.1:7513"


def test_a_node_among_peers_listens_where_they_reach_it() -> None:
    config = load({"node": "n2", "peers": THREE}, HOME)
    assert [name for name, _ in config.peers] == ["n1", "n2", "n3"]
    assert config.peer_listen == ("127.0.0.1", 7512)
    assert config.origins["peer_listen"] == "this node's own address in peers (flag --peers)"
    assert config.notices == ()


def test_a_node_among_peers_may_listen_elsewhere() -> None:
    config = load({"peers": THREE, "peer_listen": "127.0.0.1:9"}, HOME)
    assert (config.peer_listen, config.notices) == (("127.0.0.1", 9), ())


def test_a_node_that_is_not_among_its_peers_is_answered_with_what_to_do() -> None:
    text = refusal({"node": "n4", "peers": THREE})
    assert text.startswith("peers: found 'n1=127.0.0.1:7511,")
    assert "expected this node, 'n4', among them: add n4=HOST:PORT" in text
    assert "--node" in text


def test_this_node_alone_may_stand_among_the_peers() -> None:
    config = load({"peers": "n1=127.0.0.1:7517"}, HOME)
    assert config.peers == (("n1", ("127.0.0.1", 7517)),)
    assert (config.peer_listen, config.notices) == (("127.0.0.1", 7517), ())


def test_peers_beyond_loopback_need_the_word_insecure() -> None:
    peers = "n1=10.0.0.1:7510,n2=10.0.0.2:7510"
    lines = refusal({"peers": peers}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["peer_listen", "peers"]
    assert "'10.0.0.1:7510' (this node's own address in peers (flag --peers))" in lines[0]
    config = load({"peers": peers, "insecure": "on"}, HOME)
    assert config.peer_listen == ("10.0.0.1", 7510)
    assert "10.0.0.1:7510 can pass for one of the peers" in config.notices[0]
    tunnel = {"peer_listen": "127.0.0.1:7510"}  # what goes out would still go out bare
    assert refusal({"peers": peers, **tunnel}).startswith("peers: ")


@pytest.mark.parametrize("key", ["listen", "peer_listen", "http"])
def test_beyond_loopback_needs_the_word_insecure(key: str) -> None:
    text = refusal({key: "0.0.0.0:7410"})
    assert text.startswith(f"{key}: found '0.0.0.0:7410'")
    assert "TLS" in text
    assert "--insecure" in text
    assert load({key: "0.0.0.0:7410", "insecure": "on"}, HOME).insecure


def test_what_insecure_means_is_said() -> None:
    flags: dict[str, str | None] = {"listen": "[::]:7410", "http": "0.0.0.0:7480"}
    notices = load({**flags, "insecure": "on"}, HOME).notices
    assert [notice.partition(":")[0] for notice in notices] == ["insecure", "insecure"]
    assert "[::]:7410 can read and send" in notices[0]
    assert "0.0.0.0:7480 can read this node's health" in notices[1]


def test_a_name_like_no_other_is_answered_with_all_there_are() -> None:
    assert config_file.nearest("zzz", ["node", "listen"]) == "; there are node, listen"


def test_settings_that_do_nothing_here_are_said() -> None:
    notices = load({"peer_listen": "127.0.0.1:1", "audit": "0.1"}, HOME).notices
    assert [notice.partition(":")[0] for notice in notices] == ["peer_listen", "audit"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'node = "n1"\nlisten = \n', "line 2, column 10: Invalid value"),
        (b'node = "n1"\n\nnode = "n2"\n', "line 3, column 12: Cannot overwrite a value"),
        (b"node = [1,\n", "line 1, the end of the file: Invalid value"),
        (b'node = "n1"\n# \xff\n', "line 2: not UTF-8"),
        (b"node = " + b"[" * 5000, "nested too deeply"),
        (b"#" * (limits.CONFIG_FILE_BYTES_MAX + 1), "is longer than"),
    ],
    ids=["value", "twice", "end", "utf-8", "depth", "length"],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, text: bytes, place: str) -> None:
    path = tmp_path / "rmf.toml"
    path.write_bytes(text)
    complaint = refusal({"config": str(path)})
    assert str(path) in complaint
    assert place in complaint
    assert "(flag --config)" in complaint


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    missing = refusal({}, {"RMF_CONFIG": str(tmp_path / "no.toml")})
    assert "no.toml' (environment RMF_CONFIG): No such file or directory" in missing
    assert "Is a directory" in refusal({"config": str(tmp_path)})
    assert "cannot read" in refusal({"config": "a\0b"})
    assert "longer than" in refusal({"config": "/dev/zero"})


def test_as_written_shows_what_a_user_would_type() -> None:
    config: Config = load({"listen": "[::1]:0", "peers": "n1=[::1]:5", "tick": "0.25ms"}, HOME)
    values = as_written(config)
    assert (values["listen"], values["peers"], values["tick"]) == ("[::1]:0", "n1=[::1]:5", "250us")
    http = "127.0.0.1:7480"
    assert (values["line"], values["http"], values["advertise"]) == ("board", http, None)
    assert values["peer_listen"] == "[::1]:5"
