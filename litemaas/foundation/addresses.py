"""The only place that knows from where a request comes, and which addresses are one and the same asker."""

import ipaddress
import re
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

# What a column for addresses holds; a header may claim anything.
LONGEST_ADDRESS: Final = 64
# Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
WITH_PORT: Final = re.compile(r"\[(?P<six>[^\]]+)\](?::\d+)?|(?P<four>\d{1,3}(?:\.\d{1,3}){3}):\d+")
# Whoever has one address of IPv6 has 2^64 of them (RFC 6177).
ONE_ASKER: Final = 64


def client_address(request: HttpRequest | Request) -> str:
    """The asker's address; X-Forwarded-For counts only behind as many proxies as the settings name."""
    hops: int = settings.TRUSTED_PROXY_COUNT
    header = str(request.headers.get("X-Forwarded-For", ""))
    forwarded = [part.strip() for part in header.split(",") if part.strip()]
    if hops and len(forwarded) >= hops:
        return _without_port(forwarded[-hops])[:LONGEST_ADDRESS]
    return str(request.META.get("REMOTE_ADDR", ""))


def _without_port(text: str) -> str:
    found = WITH_PORT.fullmatch(text)
    return (found["six"] or found["four"]) if found else text


def network(address: str) -> str:
    """Whom an address stands for when things are counted: itself, of IPv6 its /64."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:LONGEST_ADDRESS]
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, ONE_ASKER), strict=False))
