"""Does the server show runs to whoever has the token, and nothing to anybody else?"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from peakmark.errors import MachineError
from peakmark.live import server
from peakmark.live.finding import key_of
from peakmark.live.server import address_of, application, listen, new_token

testclient = pytest.importorskip("starlette.testclient", reason="the extra is missing: pip install '.[watch]'")
TOKEN = "the-token"


@pytest.fixture
def made(make_run) -> Any:
    return make_run("tra <in>")


@pytest.fixture
def client(made) -> Any:
    return testclient.TestClient(application([made.run.path.parent], TOKEN))


def test_the_list_has_every_run_and_its_state(client, make_run):
    make_run("other").end("finished")
    page = client.get(f"/{TOKEN}/")
    assert page.status_code == 200
    assert "tra &lt;in&gt;" in page.text
    assert "ended" in client.get(f"/{TOKEN}/state.json").json()["rows"]


def test_a_run_at_rest_is_listed_from_memory_until_its_files_change(client, make_run):
    other = make_run("other")
    other.end("interrupted")
    rows = client.get(f"/{TOKEN}/state.json").json()["rows"]
    assert rows == client.get(f"/{TOKEN}/state.json").json()["rows"]
    other.start()
    assert client.get(f"/{TOKEN}/state.json").json()["rows"].count("state.running") == 2


def test_the_page_of_a_run_is_its_report_with_a_part_that_lives(client, made):
    page = client.get(f"/{TOKEN}/runs/{key_of(made.run.path)}/").text
    assert '<section id="facts">' in page
    assert '<div id="live"' in page
    assert "a &lt;notice&gt;" in page
    assert "&lt;i&gt;beats&lt;/i&gt;" in page
    assert "<i>beats" not in page


def test_what_has_changed_is_sent_once(client, made):
    address = f"/{TOKEN}/runs/{key_of(made.run.path)}/state.json"
    first = client.get(address).json()
    assert first["data"]["curves"]["epochs"] == [1, 2, 3]
    seen = client.get(address, params={"seen": first["version"]}).json()
    assert seen.keys() == {"version", "live"}
    made.epoch()
    later = client.get(address, params={"seen": first["version"]}).json()
    assert later["data"]["curves"]["epochs"] == [1, 2, 3, 4]
    assert "All epochs (4)" in later["html"]["epochs"]


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/wrong/", "/wrong/state.json", "/wrong/runs/{key}/", "/wrong/runs/{key}/state.json",
     f"/{TOKEN}x/", f"/{TOKEN}/runs/unknown/", f"/{TOKEN}/runs/..%2f..%2fetc/"],
)  # fmt: skip
def test_without_the_token_or_the_key_there_is_nothing(client, made, path):
    answer = client.get(path.replace("{key}", key_of(made.run.path)))
    assert (answer.status_code, answer.text) == (404, "There is nothing here.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_sent(client, method):
    assert client.request(method, f"/{TOKEN}/").status_code == 404


def test_no_other_page_may_keep_frame_or_learn_the_address(client):
    headers = client.get(f"/{TOKEN}/").headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


def test_a_damaged_run_is_told_and_hides_no_other(client, made, make_run):
    make_run("other")
    made.end("finished")
    made.run.summary.write_text("{")
    rows = client.get(f"/{TOKEN}/state.json").json()["rows"]
    assert "summary.json is damaged" in rows
    assert "other" in rows
    assert client.get(f"/{TOKEN}/runs/{key_of(made.run.path)}/").status_code == 500


def test_it_listens_to_this_machine_at_a_port_of_its_own_and_says_where(monkeypatch):
    with listen("127.0.0.1", 0) as own:
        address = address_of(own, TOKEN)
        assert address == f"http://127.0.0.1:{own.getsockname()[1]}/{TOKEN}/"
        with pytest.raises(MachineError, match="port=0"):
            listen("127.0.0.1", own.getsockname()[1])
    assert len({new_token() for _ in range(9)}) == 9
    assert all(len(new_token()) >= 24 for _ in range(9))


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "starlette.applications", None)
    with pytest.raises(MachineError, match=r"peakmark\[watch\]"):
        application([tmp_path], TOKEN)
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(MachineError, match=r"peakmark\[watch\]"):
        server.server_of([tmp_path], TOKEN)


def test_an_ipv6_address_stands_in_brackets():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        own = listen("::1", 0)
    except MachineError:
        pytest.skip("this machine has no IPv6 loopback")
    with own:
        assert address_of(own, "t").startswith("http://[::1]:")
