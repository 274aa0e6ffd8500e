"""Certificates for tests, made as docs/reference/http-api.md says."""

import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "http-api.md"


def make(directory, name="api", address="127.0.0.1"):
    """Paths of a certificate that vouches for itself, and of its key."""
    certificate, key = (directory / f"{name}.{end}" for end in ("crt", "key"))
    command = re.search(r"^openssl req (?:.*\\\n)*.*$", PAGE.read_text(), re.MULTILINE)[0]
    words = command.replace("IP:192.0.2.7,IP:127.0.0.1", f"IP:{address}").replace(
        "/etc/weave-ryu.crt", str(certificate)
    )
    script = f"umask 077; {words.replace('/etc/weave-ryu.key', str(key))}"
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)
    return certificate, key
