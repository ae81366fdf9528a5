"""Two small servers that tests start: a strict OpenID provider that can also cheat, and an OpenShift look-alike.

The provider package that the other tests use checks neither PKCE nor client secrets and cannot forge; this one refuses
what RFC 6749, RFC 7636 and OIDC Core say is to be refused, and signs whatever a test wants to see refused.
"""

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "litemaas", "the-client-secret-of-a-test"
Reply = tuple[int, dict[str, Any]]


def new_key(name: str) -> RSAKey:
    """A key pair with a name."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"}, private=True)


@dataclass
class Grant:
    """What an authorization request asked for, kept under its code."""

    redirect_uri: str
    challenge: str
    nonce: str
    subject: str


@dataclass
class Server:
    """What both servers share: codes that are good once, for one redirect address, one verifier and one client."""

    url: str = ""
    grants: dict[str, Grant] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    # Path -> (status, body) instead of what is usually answered.
    instead: dict[str, Reply] = field(default_factory=dict)

    visitor: str = "s-1"

    def authorize(self, url: str, subject: str = "s-1") -> str:
        """What the provider would send the browser back to, once somebody has signed in there."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT)
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(12)
        challenge, nonce = query["code_challenge"], query.get("nonce", "")
        self.grants[code] = Grant(query["redirect_uri"], challenge, nonce, subject)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def redeem(self, form: dict[str, str]) -> Grant | None:
        """The grant of a code, once."""
        grant = self.grants.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_good = grant and (grant.redirect_uri, grant.challenge) == (form.get("redirect_uri"), challenge)
        return grant if is_good else None

    def answer(self, path: str, form: dict[str, str], token: str) -> Reply:
        """What a path answers."""
        raise NotImplementedError

    def token(self, form: dict[str, str], make: Callable[[Grant], dict[str, Any]]) -> Reply:
        """The token endpoint."""
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        grant = self.redeem(form)
        return (200, make(grant)) if grant else (400, {"error": "invalid_grant"})


@dataclass
class OpenIdServer(Server):
    """A strict OpenID provider. ``claims`` change the ID token (None takes one away), ``sign`` signs it otherwise."""

    key: RSAKey = field(default_factory=lambda: new_key("first"))
    published: list[dict[str, Any]] | None = None
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    described: dict[str, Any] = field(default_factory=dict)

    def answer(self, path: str, form: dict[str, str], token: str) -> Reply:
        """The four endpoints."""
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata()
        if path == "/jwks":
            return 200, {"keys": self.published or [self.key.as_dict(private=False)]}
        if path == "/token":
            return self.token(form, self._tokens)
        if path == "/userinfo" and token in self.people:
            return 200, {"sub": token} | self.people[token]
        return 404, {}

    def metadata(self) -> dict[str, Any]:
        """What the provider publishes."""
        paths = {"authorization": "authorize", "token": "token", "userinfo": "userinfo", "end_session": "logout"}
        endpoints = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in paths.items()}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | endpoints | self.described

    def _tokens(self, grant: Grant) -> dict[str, Any]:
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": grant.subject,
            "nonce": grant.nonce,
            "iat": now,
            "exp": now + 300,
        }
        token = {name: value for name, value in (usual | self.claims).items() if value is not None}
        sign = self.sign or self.signed_with(self.key)
        return {"access_token": grant.subject, "token_type": "Bearer", "expires_in": 300, "id_token": sign(token)}

    @staticmethod
    def signed_with(key: RSAKey, *, alg: str = "RS256") -> Callable[[dict[str, Any]], str]:
        """A signature by ``key``."""
        return lambda claims: jwt.encode({"alg": alg, "kid": key.kid}, claims, key, algorithms=[alg])


@dataclass
class OpenShiftServer(Server):
    """OpenShift's OAuth server and API server in one, as documented for 4.x."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, path: str, form: dict[str, str], token: str) -> Reply:
        """Discovery (RFC 8414), token, and the user of a token."""
        if path == "/.well-known/oauth-authorization-server":
            return 200, self.metadata()
        if path == "/oauth/token":
            return self.token(form, self._tokens)
        if path == "/apis/user.openshift.io/v1/users/~":
            subject = token.removeprefix("sha256~")
            if subject not in self.users:
                return 401, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 401}
            return 200, self.user(subject)
        return 404, {}

    def metadata(self) -> dict[str, Any]:
        """As a cluster answers; its issuer is the OAuth route, not the API server."""
        return {
            "issuer": "https://oauth-openshift.apps.cluster.test",
            "authorization_endpoint": f"{self.url}/oauth/authorize",
            "token_endpoint": f"{self.url}/oauth/token",
            "scopes_supported": ["user:check-access", "user:full", "user:info", "user:list-projects"],
            "response_types_supported": ["code", "token"],
            "grant_types_supported": ["authorization_code", "implicit"],
            "code_challenge_methods_supported": ["plain", "S256"],
        }

    def user(self, subject: str) -> dict[str, Any]:
        """``GET …/users/~``."""
        about = self.users[subject]
        return {
            "kind": "User",
            "apiVersion": "user.openshift.io/v1",
            "metadata": {"name": about["name"], "uid": subject, "resourceVersion": "42"},
            "fullName": about.get("fullName", ""),
            "identities": [f"ldap:{about['name']}"],
            "groups": [*about.get("groups", []), "system:authenticated", "system:authenticated:oauth"],
        }

    def _tokens(self, grant: Grant) -> dict[str, Any]:
        token = f"sha256~{grant.subject}"
        return {"access_token": token, "expires_in": 86400, "scope": "user:info", "token_type": "Bearer"}


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._reply({name: values[0] for name, values in parse_qs(body).items()})

        def _reply(self, form: dict[str, str]) -> None:
            path = urlsplit(self.path).path
            server.asked.append(path)
            if path.endswith("/authorize"):  # somebody is signed in there and has agreed before
                self.send_response(302)
                self.send_header("Location", server.authorize(self.path, server.visitor))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, found = server.instead.get(path) or server.answer(path, form, token)
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler


def self_signed(path: Path) -> Path:
    """Write a certificate for 127.0.0.1 that nobody but its owner vouches for, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a company's own authority")])
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    made = made.not_valid_after(now + timedelta(days=1)).add_extension(address, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return path


@contextmanager
def running(server: Server, certificate: Path | None = None) -> Iterator[Server]:
    """The server on a port of its own, until the block ends; over TLS with a certificate."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"{'https' if certificate else 'http'}://127.0.0.1:{http.server_address[1]}"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(10)
