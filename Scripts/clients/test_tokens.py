"""Bearer tokens of an OpenID Connect issuer, which PyJWT signs and OpenAI's client sends."""

import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest

import jwt
import openai
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from server import HEARTH, MODEL, Server

MAKERS = {"RS256": (RSAAlgorithm, lambda: rsa.generate_private_key(65537, 2048)),
          "ES256": (ECAlgorithm, lambda: ec.generate_private_key(ec.SECP256R1())),
          "EdDSA": (OKPAlgorithm, ed25519.Ed25519PrivateKey.generate)}


class Issuer:
    """An issuer with a key of each kind, which it tells at a port of loopback."""

    def __init__(self):
        self.keys = {}
        for algorithm in MAKERS:
            self.add(algorithm, algorithm.lower())
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                document = {"/.well-known/openid-configuration": {"issuer": issuer.address, "jwks_uri": issuer.address + "/keys"},
                            "/keys": issuer.key_set()}.get(self.path)
                body = json.dumps(document).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, algorithm, kid):
        self.keys[kid] = (algorithm, MAKERS[algorithm][1]())

    def key_set(self):
        return {"keys": [{**json.loads(MAKERS[algorithm][0].to_jwk(key.public_key())), "kid": kid, "use": "sig"}
                         for kid, (algorithm, key) in self.keys.items()]}

    def token(self, kid="rs256", **changes):
        algorithm, key = self.keys[kid]
        now = int(time.time())
        claims = {"iss": self.address, "aud": "hearth", "sub": "alice", "iat": now, "exp": now + 600, "scope": "openid chat", **changes}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})

    def end(self):
        self.server.shutdown()
        self.server.server_close()


class TokenTests(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()

    def tearDown(self):
        self.issuer.end()

    def models(self, server, token):
        with openai.OpenAI(base_url=server.address + "/v1", api_key=token, max_retries=0) as client:
            return [model.id for model in client.models.list().data]

    def check(self, server):
        for kid in self.issuer.keys:
            self.assertEqual(self.models(server, self.issuer.token(kid)), [MODEL])
        now = int(time.time())
        secret = self.issuer.keys["rs256"][1]
        wrong = [self.issuer.token(exp=now - 100), self.issuer.token(aud="others"), self.issuer.token(iss="https://other.example.org"),
                 jwt.encode({"sub": "alice"}, None, algorithm="none"),
                 jwt.encode({"iss": self.issuer.address, "aud": "hearth", "sub": "alice", "exp": now + 600}, secret, algorithm="RS512",
                            headers={"kid": "rs256"}),
                 self.issuer.token()[:-4] + "AAAA"]
        for token in wrong:
            with self.assertRaises(openai.AuthenticationError):
                self.models(server, token)
        with self.assertRaises(openai.PermissionDeniedError):
            self.models(server, self.issuer.token(scope="openid profile"))

    def test_discovery_and_new_keys(self):
        server = Server("--oidc-issuer", self.issuer.address, "--oidc-audience", "hearth")
        try:
            self.check(server)
            # A key that is younger than what the server has fetched.
            self.issuer.add("ES256", "young")
            self.assertEqual(self.models(server, self.issuer.token("young")), [MODEL])
        finally:
            self.assertEqual(server.end()[0], 0)

    def test_keys_in_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "keys.json")
            with open(path, "w") as file:
                json.dump(self.issuer.key_set(), file)
            server = Server("--oidc-issuer", self.issuer.address, "--oidc-audience", "hearth", "--oidc-keys", path,
                            "--oidc-map", "chat=chat,embed")
            try:
                self.check(server)
                with openai.OpenAI(base_url=server.address + "/v1", api_key=self.issuer.token(), max_retries=0) as client:
                    self.assertEqual(len(client.embeddings.create(model=MODEL, input="words").data), 1)
            finally:
                self.assertEqual(server.end()[0], 0)

    def test_an_issuer_that_is_not_there(self):
        address = self.issuer.address
        self.issuer.server.server_close()
        done = subprocess.run([HEARTH, "serve", MODEL, "--port", "0", "--oidc-issuer", address, "--oidc-audience", "hearth"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)


if __name__ == "__main__":
    unittest.main()
