"""Somebody at the page without a browser: addresses, forms and a cookie."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlencode, urlsplit

from control.page.reading import Page


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def page(self):
        return Page(self.text)

    @property
    def csrf(self):
        return unescape(re.search(r'name="csrf" value="([^"]*)"', self.text)[1])


class Visitor:
    """Follows no redirect."""

    def __init__(self, url, secret=""):
        self.host, self.cookie = urlsplit(url).netloc, ""
        if secret:
            assert self.post("/login", {"token": secret}).status == 303

    def get(self, path, **headers):
        return self._ask("GET", path, None, headers)

    def post(self, path, fields, **headers):
        given = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.host}", **headers}
        return self._ask("POST", path, urlencode(fields), given)

    def _ask(self, method, path, body, headers):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body, {**headers, **({"Cookie": self.cookie} if self.cookie else {})})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            if "set-cookie" in found:
                self.cookie = found["set-cookie"].partition(";")[0]
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()
