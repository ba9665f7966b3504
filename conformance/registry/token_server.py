#!/usr/bin/env python3
"""A token server for registry tests: token_server.py PORT KEY CERTIFICATE LOG.

Speaks the distribution project's token protocol (GET with Basic credentials
and the OAuth2 form by POST): anybody may pull from `public/...`; alice, whose
word is `secret`, may do all. Tokens are RS256, signed with openssl(1). One
line per request goes to LOG: user, what was asked, what was granted.
"""

import base64
import http.server
import json
import subprocess
import sys
import time
import urllib.parse

USERS = {"alice": "secret"}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def granted(user, scope):
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    actions = actions.split(",")
    if not user:
        actions = [a for a in actions if a == "pull" and name.startswith("public/")]
    return {"type": kind, "name": name, "actions": actions}


def token(user, service, access):
    body = open(certificate).read()
    der = "".join(line for line in body.splitlines() if not line.startswith("-"))
    now = int(time.time())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
    claims = {"iss": "caisson-test", "sub": user, "aud": service, "exp": now + 300, "nbf": now - 10,
              "iat": now, "jti": str(time.time_ns()), "access": access}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(),
                               stdout=subprocess.PIPE, check=True).stdout
    return f"{signed}.{b64(signature)}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, document, headers=()):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def grant(self, user, word, query):
        if user and USERS.get(user) != word:
            self.answer(401, {"details": "wrong name or password"}, [("WWW-Authenticate", "Basic")])
            return
        scopes = [one for value in query.get("scope", []) for one in value.split()]
        access = [granted(user, scope) for scope in scopes]
        with open(log, "a") as out:
            print(self.command, user or "-", *scopes, "->", json.dumps(access), file=out)
        made = token(user, query.get("service", [""])[0], access)
        self.answer(200, {"token": made, "access_token": made, "expires_in": 300})

    def do_GET(self):
        user = word = ""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            user, _, word = base64.b64decode(value).decode().partition(":")
        self.grant(user, word, urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query))

    def do_POST(self):
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        query = urllib.parse.parse_qs(form)
        self.grant(query.get("username", [""])[0], query.get("password", [""])[0], query)


port, key, certificate, log = sys.argv[1:]
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
