# SPDX-License-Identifier: Apache-2.0
"""No message shows a password, a token or a signature of a URL."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bbcodec.cli import app
from bbcodec.integrations.files import compress_file
from bbcodec.storage import Storage
from bbcodec.storage.display import redacted, shows_secret, without


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:pass@host/a.png", "https://ann:***@host/a.png"),
        ("s3://KEY:SEC/RET@bucket/a.png", "s3://KEY:***@bucket/a.png"),
        ("https://ghp_123@host/a.png", "https://***@host/a.png"),
        ("https://h/a?x=1&X-Amz-Signature=0f&y=2", "https://h/a?x=1&X-Amz-Signature=***&y=2"),
        ("https://h/a?X-Amz-Credential=A%2FB&X-Amz-Security-Token=q", None),
        ("az://c/a?sv=1&sig=z%3D", "az://c/a?sv=1&sig=***"),
        ("https://h/a#access_token=q", "https://h/a#access_token=***"),
        (
            "404, message='no', url='https://h/a?token=q&x=1'",
            "404, message='no', url='https://h/a?token=***&x=1'",
        ),
        ("https://h/a?sig=q: not found", "https://h/a?sig=***: not found"),
        ("simplecache::https://u:pass@h/a and ftp://u:1234@h", None),
    ],
)
def test_secrets_are_hidden(text: str, shown: str | None) -> None:
    found = redacted(text)
    assert shown is None or found == shown
    assert not any(word in found for word in ("pass", "SEC", "ghp", "=0f", "A%2FB", "=q", "=z", "1234"))
    assert redacted(found) == found


@pytest.mark.parametrize(
    "text",
    [
        "photo?sig=3.png",
        "https://host:80/a@2x.png?size=3",
        "sftp://ann@host/a.png",
        "memory://a/b.png",
        "a:b@c",
        "https://host:8080?mail=a@b",
    ],
)
def test_other_names_stay(text: str) -> None:
    assert redacted(text) == text


def test_secrets_are_hidden_where_they_stand_alone() -> None:
    url, options = "https://u:p%40ss@h/a?sig=a%2Fb%3D", {"s3": {"secret": "topsecret", "anon": True}}
    text = "denied: p@ss, p%40ss, a/b=, a%2Fb%3D, topsecret"
    assert without(text, url, options) == "denied: ***, ***, ***, ***, ***"


def test_a_cause_that_shows_a_secret_is_found() -> None:
    inner = ValueError("https://h/a?sig=q")
    outer = OSError("hidden")
    outer.__cause__ = inner
    assert shows_secret(outer)
    assert not shows_secret(OSError(2, "no such file", "a.png"))


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL that every access fails for, with an error of fsspec that shows all of it."""
    memory = pytest.importorskip("fsspec.implementations.memory", reason="the extra remote is not installed")
    url = "memory://user:password@bucket/a.png?X-Amz-Signature=0123456789"

    def tell(*_: object, **__: object) -> Any:
        raise RuntimeError(f"403 for {url}: password does not fit 0123456789")

    for name in ("open", "exists", "isdir", "pipe_file", "_open", "info"):
        monkeypatch.setattr(memory.MemoryFileSystem, name, tell)
    return url


SECRETS = ("password@", "password does", "0123456789")


def test_errors_of_the_api_show_no_secret(telling: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="403 for") as caught:
        Storage().read(telling)
    told = "".join(traceback.format_exception(caught.value))
    assert not any(word in told for word in SECRETS)
    assert "user:***@bucket" in told
    result = compress_file(telling, tmp_path / "a.bb", raise_errors=False)
    assert result.error is not None
    assert not any(word in result.error for word in SECRETS)


def test_errors_of_commands_show_no_secret(
    telling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bb = telling.replace("a.png", "a.bb")
    for words in (
        ["compress", telling, "-o", "x.bb"],
        ["compress", telling, "-vv", "-o", "x.bb"],
        ["compress", telling, "--output-dir", "x"],
        ["decompress", bb, "-o", "x.png"],
        ["decompress", bb, "--dask", "local", "--region", "1,1,1,1"],
        ["info", bb],
        ["test", bb],
        ["list", bb],
        ["get", bb, "x"],
        ["unpack", bb],
        ["compare", telling],
        ["pack", telling, "-o", "y.bb"],
        ["pack", telling, "-o", bb],
        ["append", bb, telling],
        [telling],
        [bb, "x.png"],
        ["models", "info", telling],
        ["compress", "x.png", "--model", telling],
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code in (1, 2), words
        assert result.stderr, words
        assert not any(word in result.stderr for word in SECRETS), (words, result.stderr)


def test_records_name_the_inputs_but_their_messages_hide(telling: str) -> None:
    import json

    (record,) = json.loads(CliRunner().invoke(app, ["compress", telling, "-o", "x", "--json"]).stdout)
    assert record["input"] == telling
    assert not any(word in record["error"]["message"] for word in SECRETS)
