"""GitHub and GitLab as far as one comment needs them: find it among those of a pull or merge request, write it or change it.

Standard library only. The token goes to the address that the CI itself names, over TLS, and follows no redirect.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from ..core.errors import NetworkError, UsageError

_SECONDS = 30.0
_MOST_BYTES = 32 << 20  # of one answer: a page of a hundred of the longest comments
_MOST_PAGES = 50
_PER_PAGE = 100
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none: it is then an error like any other status."""


@dataclass(frozen=True)
class Forge:
    """One pull or merge request. `comments` lists them and takes new ones, `single` and a number is one of them.

    `change` is the method that changes a comment, `author` the key of who wrote one and `login` the key of their name.
    """

    name: str
    api: str
    comments: str
    single: str
    change: Literal["PATCH", "PUT"]
    author: str
    login: str
    headers: Mapping[str, str]

    def write(self, text: str, marker: str) -> str:
        """Change this token's own comment that starts with `marker`, or write a new one; "changed" or "written".

        Raises NetworkError.
        """
        found = self._find(marker)
        if found is None:
            self._ask("POST", self.comments, {"body": text})
            return "written"
        self._ask(self.change, f"{self.single}/{found}", {"body": text})
        return "changed"

    def _find(self, marker: str) -> int | None:
        """Number of the first own comment that starts with `marker`."""
        mine = self._login()
        for page in range(1, _MOST_PAGES + 1):
            listed = self._ask("GET", f"{self.comments}?per_page={_PER_PAGE}&page={page}")
            if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
                raise NetworkError(
                    f"{self.name} answered something else than a list of comments; check its address {self.api}."
                )
            for item in listed:
                who = item.get(self.author) or {}
                is_mine = who.get(self.login) == mine if mine else who.get("type") == "Bot"
                if is_mine and str(item.get("body", "")).startswith(marker):
                    return int(item["id"])
            if len(listed) < _PER_PAGE:
                break
        return None

    def _login(self) -> str | None:
        """Whose token this is; None for the token of a workflow, which may not ask and writes as a bot."""
        try:
            told = self._ask("GET", "/user")
        except NetworkError as error:
            if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code in (401, 403, 404):
                return None
            raise
        return told.get(self.login) if isinstance(told, dict) else None

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address was checked when the forge was made
            self.api + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "edgewright", **self.headers},
            method=method,
        )
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=_SECONDS) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise NetworkError(
                f"{self.name} refused to {method} {path} with status {error.code}; check that the token may write comments."
            ) from error
        except (OSError, ValueError) as error:
            raise NetworkError(f"{self.name} at {self.api} did not answer as it should: {error}; try again later.") from error


def forge_of(environment: Mapping[str, str]) -> Forge | str:
    """The pull or merge request of the CI job whose variables these are, or why there is none to write to.

    Raises UsageError when an address is not one that a token may be sent to.
    """
    if environment.get("GITHUB_ACTIONS") == "true":
        number = _pull_request(environment.get("GITHUB_EVENT_PATH", ""))
        if number is None:
            return "this job belongs to no pull request"
        if not environment.get("GITHUB_TOKEN"):
            return "there is no token (GITHUB_TOKEN)"
        return _github(environment, number)
    if environment.get("GITLAB_CI") == "true":
        if not environment.get("CI_MERGE_REQUEST_IID"):
            return "this job belongs to no merge request"
        if not environment.get("EDGEWRIGHT_GITLAB_TOKEN"):
            return "there is no token (EDGEWRIGHT_GITLAB_TOKEN)"
        return _gitlab(environment)
    return "this is neither GitHub's CI nor GitLab's"


def _github(environment: Mapping[str, str], number: int) -> Forge:
    issues = f"/repos/{quote(environment.get('GITHUB_REPOSITORY', ''))}/issues"
    headers = {"Authorization": f"Bearer {environment['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
    api = _address(environment.get("GITHUB_API_URL", "https://api.github.com"))
    return Forge("GitHub", api, f"{issues}/{number}/comments", f"{issues}/comments", "PATCH", "user", "login", headers)


def _gitlab(environment: Mapping[str, str]) -> Forge:
    project, request = (quote(environment.get(name, ""), safe="") for name in ("CI_PROJECT_ID", "CI_MERGE_REQUEST_IID"))
    notes = f"/projects/{project}/merge_requests/{request}/notes"
    headers = {"PRIVATE-TOKEN": environment["EDGEWRIGHT_GITLAB_TOKEN"]}
    api = _address(environment.get("CI_API_V4_URL", "https://gitlab.com/api/v4"))
    return Forge("GitLab", api, notes, notes, "PUT", "author", "username", headers)


def _pull_request(event: str) -> int | None:
    """Number of the pull request that an event's file tells of."""
    try:
        told = json.loads(Path(event).read_bytes()) if event else {}
        return int(told["pull_request"]["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _address(api: str) -> str:
    parts = urlsplit(api)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise UsageError(f"the address {api!r} is not https, and a token would be sent to it; correct the CI's variable.")
    return api.rstrip("/")
