"""A server on this machine, and small data sets on it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from downloads import Server, ade_files, offered, packed, sbd_files, voc_files

from plopkit.datasets.download import fetch as fetching
from plopkit.datasets.download import prepare
from plopkit.datasets.download.prepare import Release, ids_digest


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine that resumes, breaks off and refuses on request. No test waits before a retry."""
    monkeypatch.setattr(fetching, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            byte_range = self.headers.get("Range")
            state.requests.append((self.path, byte_range))
            status = state.status.pop(0) if state.status else 200
            content = state.files.get(self.path)
            if status != 200 or content is None:
                return self.send_error(status if status != 200 else 404)
            start = int(byte_range.removeprefix("bytes=").rstrip("-")) if byte_range and state.ranges else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return None
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if state.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + state.breaks.pop(0)] if state.breaks else content[start:])
            return None

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def small(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Release]:
    """Small releases on the server, which replace the real ones in `RELEASES`."""
    releases = {
        "voc": Release(
            {
                "voc": offered(server, packed(voc_files(), "a.tar"), "VOCtrainval_11-May-2012.tar"),
                "sbd": offered(server, packed(sbd_files(), "a.tgz"), "benchmark.tgz"),
            },
            train=4,
            val=2,
            train_ids=ids_digest("abef"),
        ),
        "ade": Release({"ade": offered(server, packed(ade_files(), "a.zip"), "ADEChallengeData2016.zip")}, 2, 1),
    }
    for dataset, release in releases.items():
        monkeypatch.setitem(prepare.RELEASES, dataset, release)
    return releases
