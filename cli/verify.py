"""`edgewright verify`: structure, digests, and the test vectors run again in the artifact's own runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ..core.artifact import Artifact, told_tolerances
from ..core.artifact_read import open_artifact
from ..core.canonical import dumps
from ..core.errors import ArtifactError, EdgewrightError
from ..core.manifest import Manifest
from ..device_profiles.detect import host_cpu
from ..device_profiles.host import kernel_class, limits
from ..device_profiles.profile import DeviceProfile
from ..runtimes.bench.opening import runtime_version
from ..runtimes.location import Here
from ..runtimes.remote import RemoteExecutor

# Packages add build numbers or their own name: "2026.4.1-22982-e213a147257", "ai-edge-litert 2.3.0".
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_MEASURED = {
    "target": "its gates were judged on the target's kernels",
    "emulated": "its gates were judged on the target's kernels under emulation",
    "reference": "its gates were judged with exact arithmetic, not on the target's kernels",
    None: "its gates were not judged on the target's kernels",
}


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads of the runtime; the artifact's own by default.")
@click.option("--no-run", is_flag=True, help="Check structure and digests only; needs no runtime.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_context
def verify(context: click.Context, artifact: Path, threads: int | None, no_run: bool, as_json: bool) -> None:
    """Check an ARTIFACT: every byte by structure and digest, then its test vectors in its own runtime.

    Exits with 1 and one sentence when it is damaged or answers otherwise than it should.

    Example: edgewright verify dist/model-x86-64-avx2.ewa
    """
    if not as_json:
        _print(check(artifact, threads, no_run))
        return
    try:
        found = check(artifact, threads, no_run)
    except EdgewrightError as error:
        click.echo(dumps({"ok": False, "artifact": str(artifact), "code": error.code, "error": str(error)}))
        context.exit(1)
    click.echo(dumps({"ok": True, **found}))


def check(path: Path, threads: int | None = None, no_run: bool = False) -> dict[str, Any]:
    """What was found, as JSON values; raises EdgewrightError when the artifact is not as it should be."""
    artifact = open_artifact(path)
    vectors = artifact.test_vectors
    found: dict[str, Any] = {
        "artifact": str(path),
        "digest": artifact.digest,
        "content_digest": artifact.content_digest,
        "size_bytes": artifact.size_bytes,
        "members": len(artifact.members),
        "measured_on": artifact.manifest.measured_on,
        "test_vectors": None,
        "notes": [_MEASURED[artifact.manifest.measured_on]],
    }
    if not no_run:
        version = _replay(path, artifact, threads)
        found["test_vectors"] = {
            "samples": vectors.samples,
            "tolerances": {name: tolerance.to_json() for name, tolerance in vectors.tolerances.items()},
            "arithmetic": vectors.arithmetic,
            "runtime": artifact.manifest.runtime.name,
            "runtime_version": version,
            "within": told_tolerances(artifact.manifest),
        }
        found["notes"] += [note for note in (other_cpu(artifact), _other_version(artifact, version)) if note]
    return found


def forced_kernels(artifact: Artifact) -> dict[str, str]:
    """Environment in which the runtime takes the target's integer kernels here, as it did when it was judged; or nothing."""
    manifest = artifact.manifest
    return limits(_profile(manifest), manifest.runtime.name) if manifest.precision == "int8" else {}


def other_cpu(artifact: Artifact) -> str | None:
    """A clause where this CPU runs other kernels than the target, on which agreement here says nothing; else None."""
    target, here = artifact.manifest.target, host_cpu()
    wanted, got = kernel_class(target.arch, frozenset(target.isa)), kernel_class(here.arch, here.flags)
    if (target.arch, wanted) == (here.arch, got):
        return None
    if forced := forced_kernels(artifact):
        switches = ", ".join(f"{name}={value}" for name, value in forced.items())
        return f"this CPU was held to the kernels of {target.profile!r} ({switches})"
    return f"this CPU runs {here.arch} {got} kernels, the target {target.profile!r} {target.arch} {wanted} ones"


def _profile(manifest: Manifest) -> DeviceProfile:
    """As much of the target's profile as the manifest holds."""
    target = manifest.target
    return DeviceProfile(
        name=target.profile,
        title=target.profile,
        kind="cpu",
        arch=target.arch,
        isa=frozenset(target.isa),
        cores=target.threads,
        threads=target.threads,
        ram_bytes=0,
        runtimes=(manifest.runtime.name,),
    )


def _other_version(artifact: Artifact, version: str) -> str | None:
    runtime = artifact.manifest.runtime
    if _NUMBER.findall(version)[:1] == _NUMBER.findall(runtime.version)[:1]:
        return None
    return f"it was judged with {runtime.name} {runtime.version!r}, and this machine has {version}"


def _replay(path: Path, artifact: Artifact, threads: int | None) -> str:
    """Run the test vectors; the runtime's version. Raises ArtifactError when an output is outside the tolerance.

    A child process runs them, so that a model that crashes its runtime ends in a sentence.
    """
    manifest, vectors = artifact.manifest, artifact.test_vectors
    name = manifest.runtime.name
    version = runtime_version(name)
    with RemoteExecutor(name, threads or manifest.target.threads, Here(forced_kernels(artifact))) as executor:
        executor.load(artifact.files, manifest.entry)
        for what, told, found in (
            ("inputs", manifest.inputs, executor.inputs),
            ("outputs", manifest.outputs, executor.outputs),
        ):
            if {(spec.name, spec.dtype) for spec in told} != {(spec.name, spec.dtype) for spec in found}:
                raise ArtifactError(
                    f"{path}: the {what} of the model file are not those that the manifest tells of; compile it again."
                )
        mismatch = vectors.mismatch(executor.run(vectors.inputs))
    if mismatch is not None:
        reasons = [reason for reason in (other_cpu(artifact), _other_version(artifact, version)) if reason]
        because = f" ({'; '.join(reasons)})" if reasons else ""
        raise ArtifactError(f"{path} does not answer as it did when it was compiled: {mismatch}{because}; do not ship it.")
    return version


def _print(found: dict[str, Any]) -> None:
    click.echo(f"ok    structure and digests   {found['members']} members, {found['size_bytes']:,} bytes")
    vectors = found["test_vectors"]
    if vectors is None:
        click.echo("-     test vectors            not run (--no-run)")
    else:
        runtime = f"{vectors['runtime']} {vectors['runtime_version']}"
        click.echo(f"ok    test vectors            {vectors['samples']} samples, {runtime}, within {vectors['within']}")
    for note in found["notes"]:
        click.echo(f"note  {note}")
    click.echo(f"content digest  {found['content_digest']}")
    click.echo(f"file digest     {found['digest']}")
