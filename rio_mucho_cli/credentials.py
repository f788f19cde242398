"""Which of GDAL's options are secrets, and which are in environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

# GDAL's pages on configuration options and on network file systems name them.
_SECRETS = re.compile(
    "SECRET|TOKEN|PASS|PWD|CREDENTIAL|ACCESS_KEY|_KEY$|_SAS|BEARER|COOKIE|HEADER|CONNECTION_STRING"
)
# In an address, with a scheme or without: user:password@host.
_PASSWORD = re.compile("://[^/]*@|^[^/@]*:[^/@]*@")
# The same within a text; what follows a path's question mark; and fields of connection strings.
_SAID = (
    (re.compile(r"(?<=://)[^/@\s]*@|^[^/@\s]*:[^/@\s]*@"), "***@"),
    (re.compile(r"((?:\w+://|/vsi)[^\s?'\"]*\?)[^\s'\"]+"), r"\1***"),
    (
        re.compile(
            r"(?i)\b(\w*(?:password|passwd|pwd|secret|token|_key|apikey)\w*\s*[=:]\s*)"
            r"(?:'[^']*'|\"[^\"]*\"|[^\s,;&'\"]+)"
        ),
        r"\1***",
    ),
)
_FOR_SERVERS = re.compile("(GDAL_HTTP|CPL_VSIL|VSI|AWS|GS|AZURE|OSS|SWIFT)_|GDAL_DISABLE_READDIR")
# Of this machine, and of no other: what they name are its files and what runs on it.
_OF_MACHINE = re.compile("_FILE|_PROFILE$|AWS_CONTAINER_|AWS_(EXECUTION_ENV|LAMBDA)|_DIR$|_PATH$")


def in_variables() -> dict[str, str]:
    """Return GDAL's options about servers that are environment variables here."""
    return {
        name: value
        for name, value in os.environ.items()
        if _FOR_SERVERS.match(name) and not _OF_MACHINE.search(name)
    }


def secrets_among(options: Mapping[str, Any]) -> list[str]:
    """Return the names of options that must not be read by others, sorted.

    A proxy or a URL with a password is one, too.
    """
    return sorted(
        name
        for name, value in options.items()
        if _SECRETS.search(name.upper()) or _PASSWORD.search(str(value))
    )


def without_secrets(text: str) -> str:
    """Return a text in which stars stand for passwords, and for what signs an address."""
    for pattern, instead in _SAID:
        text = pattern.sub(instead, text)
    return text


def options_without_secrets(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as text, with stars for the values of those that are secrets."""
    secrets = secrets_among(options)
    return {str(key): "***" if key in secrets else str(options[key]) for key in options}
