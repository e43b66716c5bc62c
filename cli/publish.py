"""`edgewright publish`: artifacts into a signed repository, all of those given or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core.canonical import dumps
from ..fleet.protocol.offer import MAX_VERSION
from ..fleet.trust.publish import Published, Wish
from ..fleet.trust.publish import publish as publish_artifacts
from .keys import keyring, keys_option, open_repository


@click.command()
@click.argument("artifacts", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--repo", required=True, help="Folder of the repository, made by `edgewright repo init`.")
@keys_option
@click.option("--version", type=click.IntRange(1, MAX_VERSION), help="Version of the model; the next one by default.")
@click.option("--model", help="Name of the model in the repository; the artifact's own by default.")
@click.option("--canary", is_flag=True, help="Only for devices that opted in; signed by the canary's online key.")
@click.option("--deltas", type=click.IntRange(0, 100), default=3, show_default=True, help="Patches from so many versions.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def publish(
    artifacts: tuple[Path, ...],
    repo: str,
    keys: tuple[Path, ...],
    version: int | None,
    model: str | None,
    canary: bool,
    deltas: int,
    as_json: bool,
) -> None:
    """Publish ARTIFACTS: check and describe them, make patches, sign, and put all in place in one step.

    Beside each artifact go a list of chunks, a CycloneDX bill of materials and an in-toto provenance statement. What is
    published already is left as it is.

    Example: edgewright publish dist/digits-raspberry-pi-4b.ewa --repo repo/
    """
    repository = open_repository(repo)
    wish = Wish(version, model, canary, deltas)
    found = publish_artifacts(repository, keyring(repository, keys), artifacts, wish, _make_delta)
    if as_json:
        click.echo(dumps({"published": [_plain(item) for item in found], "repository": str(repository.folder)}))
        return
    for item in found:
        click.echo(f"{'new' if item.is_new else 'there':<6}{item.name}  {item.size_bytes:,} bytes, SHA-256 {item.sha256[:12]}")
        for delta in item.deltas:
            share = delta.size_bytes / item.size_bytes
            click.echo(f"      patch from {delta.from_sha256[:12]}  {delta.size_bytes:,} bytes ({share:.1%}), {delta.codec}")


def _make_delta(old: bytes, new: bytes) -> Any:
    from ..fleet.delta.make import make_delta

    return make_delta(old, new, with_zstd=True)


def _plain(item: Published) -> dict[str, Any]:
    return {
        "artifact": str(item.artifact),
        "deltas": [delta.to_json() for delta in item.deltas],
        "is_new": item.is_new,
        "model": item.model,
        "name": item.name,
        "profile": item.profile,
        "role": item.role,
        "sha256": item.sha256,
        "size_bytes": item.size_bytes,
        "version": item.version,
    }
