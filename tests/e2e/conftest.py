"""A store of objects for the tests: an S3 server of their own, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


class Bucket:
    """An S3 server with one bucket, which can go away and come back with what it holds."""

    def __init__(self, server_kind: Any) -> None:
        self._kind = server_kind
        self._server = server_kind(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.url = "s3://models/night"
        host, self._port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{self._port}"

    def go_away(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server = self._kind(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    reason = "the S3 server of the tests is not installed: pip install '.[dev]'"
    pytest.importorskip("s3fs", reason=reason)
    server = pytest.importorskip("moto.server", reason=reason)
    boto3 = pytest.importorskip("boto3", reason=reason)
    with pytest.MonkeyPatch.context() as patch:
        own = Bucket(server.ThreadedMotoServer)
        for name, value in {
            "AWS_ENDPOINT_URL": own.endpoint, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }.items():  # fmt: skip
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="models")
        yield own
        own.go_away()
