"""Serve the built site on this machine only, and open it in a browser."""

import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).resolve().parents[1] / "build" / "site"


def main() -> None:
    """Serve until interrupted."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=SITE))
    address = f"http://127.0.0.1:{server.server_port}/"
    print(f"The site is at {address}; Ctrl+C ends it.", flush=True)
    webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
