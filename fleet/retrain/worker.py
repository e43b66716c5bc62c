"""The worker: takes up a retraining, does its steps one after another, and tells the server of each.

Every step leaves a record in the job's folder once its files are durable, and is then told to the server, which counts it once.
So a worker that is killed at any moment goes on behind its last record: nothing is trained, published or rolled out twice. A
record holds what the step was given; where that is another by now, such as what devices run, the step is done again. What was
published is found again by its digest; a lease that was lost is noticed before anything is published.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.artifact_read import open_artifact
from ...core.canonical import digest_file, digest_json, dumps
from ...core.errors import EdgewrightError, NetworkError, StoreError, UsageError
from ...core.files import write_atomic
from .collecting import collect
from .job import WorkerStep
from .ports import Lease, Made, Maker, NoTracker, Server, Tracker
from .settings import Settings
from .shelf import Shelf

log = logging.getLogger("edgewright.retrain")

_MOST_TOLD = 24 << 10  # bytes of a step's details that the server is told
_BEATS = 3  # while a lease lasts


@dataclass(frozen=True)
class Ended:
    """What came of the work on a retraining: `state` is "to-approve", "published", "signed", "refused", "failed" or "lost"."""

    number: int
    state: str
    why: str


@dataclass(frozen=True)
class _Result:
    details: Mapping[str, Any]
    files: Mapping[str, Path] = field(default_factory=dict)
    refusal: str | None = None

    def digest(self) -> str:
        """Digest of the details and of the files."""
        return digest_json([dict(self.details), _digests(self.files)])


_Done = Mapping[str, _Result]


class Worker:
    """Works on one model's retrainings, in a folder of its own that one worker has at a time."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        name: str,
        server: Server,
        maker: Maker,
        shelf: Shelf,
        tracker: Tracker | None = None,
        lease_s: float = 60.0,
    ) -> None:
        """`name` is what the server knows this folder by; a lease holds for `lease_s` seconds and is renewed meanwhile."""
        self._settings, self._folder, self._name = settings, folder, name
        self._server, self._maker, self._shelf = server, maker, shelf
        self._tracker, self._lease_s = tracker or NoTracker(), lease_s

    def work(self) -> Ended | None:
        """Take up what waits and do its steps; None where nothing waits.

        Raises NetworkError or StoreError where server or disk refuse, and UsageError where the repository does: then the same
        call later goes on. What is wrong with the data, the training or the gates ends the retraining, with the reason, and so
        does an error that nobody expected: it is logged, and would come again.
        """
        lease = self._server.lease(self._name, (self._settings.model,), self._lease_s)
        if lease is None:
            return None
        log.info("retraining %d of %s: %s is due; %s", lease.number, lease.model, lease.step, lease.why)
        with self._held(lease) as is_lost:
            job = self._job(lease)
            try:
                return self._sign(lease, job) if lease.step == "sign" else self._retrain(lease, job)
            except (NetworkError, StoreError, _Later):
                raise
            except EdgewrightError as error:
                return self._failed(lease, job, str(error), is_lost)
            except Exception as error:
                log.exception("retraining %d met an error that nobody expected", lease.number)
                told = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")
                return self._failed(
                    lease, job, f"an error that nobody expected, {told}; the worker's log tells where.", is_lost
                )

    def _failed(self, lease: Lease, job: Path, why: str, is_lost: threading.Event) -> Ended:
        if is_lost.is_set():
            return Ended(lease.number, "lost", why)
        try:
            return self._end(lease, job, "failed", why, {})
        except UsageError as refused:
            return Ended(lease.number, "lost", str(refused))

    def _retrain(self, lease: Lease, job: Path) -> Ended:
        if not lease.deployed:
            raise UsageError(f"no device says that it runs {lease.model!r} as it is signed; there is nothing to train again.")
        deployed = self._shelf.deployed(lease.deployed, job / "deployed")
        source = self._source(deployed, lease)
        running = {item.profile: item.sha256 for item in lease.deployed}
        # Each step with what it follows from, beside the settings, and how it is done.
        steps: tuple[tuple[WorkerStep, Callable[[_Done], list[Any]], Callable[[_Done], Made]], ...] = (
            ("collect", lambda done: [running], lambda done: self._collect(lease, job, deployed)),
            (
                "train",
                lambda done: [digest_file(source), done["collect"].digest()],
                lambda done: self._maker.train(job, source),
            ),
            (
                "compile",
                lambda done: [sorted(running), done["collect"].digest(), done["train"].digest()],
                lambda done: self._compile(lease, job, done["train"].files["source"], deployed),
            ),
            (
                "gate",
                lambda done: [running, done["collect"].digest(), done["compile"].digest()],
                lambda done: self._judge(lease, job, done["compile"].files, deployed),
            ),
        )
        done: dict[str, _Result] = {}
        for step, given, make in steps:
            done[step] = self._once(job, step, given(done), lambda make=make: make(done))  # type: ignore[misc]
            self._tracker.step(job, lease, step, done[step].details, done[step].files)
            reason = done[step].refusal
            if reason is not None:
                return self._end(lease, job, "refused", reason, done[step].details)
            self._note(lease, step, done[step].details)
            if step == "train":
                self._keep_source(done[step].files["source"])
        if self._server.state(lease.number) == "to-approve":
            return Ended(lease.number, "to-approve", "it passed its gates, and a person lets it be published as a canary.")
        with _later():
            self._server.beat(lease.number, self._name, self._lease_s)
            artifacts = done["compile"].files
            published = self._once(job, "publish", [_digests(artifacts)], lambda: self._publish(lease, job, artifacts))
        self._note(lease, "publish", published.details)
        self._tracker.step(job, lease, "publish", published.details, done["compile"].files)
        return Ended(lease.number, "published", f"version {published.details['version']} is published as a canary.")

    def _sign(self, lease: Lease, job: Path) -> Ended:
        told = lease.done["publish"]
        with _later():
            artifacts = {
                profile: self._shelf.artifact(told["names"][profile], sha256, job / "signed" / f"{profile}.ewa")
                for profile, sha256 in told["artifacts"].items()
            }
            self._server.beat(lease.number, self._name, self._lease_s)
            found = self._shelf.publish_for_all(artifacts, lease.model, int(told["version"]))
        details = {"names": {item.profile: item.name for item in found}, "version": int(told["version"])}
        self._note(lease, "sign", details)
        self._tracker.step(job, lease, "sign", details, artifacts)
        return Ended(lease.number, "signed", f"version {told['version']} is signed for all.")

    # Steps

    def _collect(self, lease: Lease, job: Path, deployed: Mapping[str, Path]) -> Made:
        inputs = open_artifact(next(iter(deployed.values()))).manifest.inputs
        new, earlier = job / "new.npz", job / "earlier.npz"
        running = {item.sha256 for item in lease.deployed}
        counted = collect(self._server.samples(lease.model, lease.until), inputs, running, new, earlier)
        digests = {path.stem: digest_file(path) for path in (new, earlier) if path.exists()}
        made = self._maker.collect(job, new, earlier, deployed)
        told = {"labelled": counted, "labelled_until": lease.until, "sources": digests}
        return _Result({**made.details, **told}, made.files, made.refusal)

    def _compile(self, lease: Lease, job: Path, source: Path, deployed: Mapping[str, Path]) -> Made:
        return self._maker.compile(job, source, lease.model, tuple(sorted(deployed)))

    def _judge(self, lease: Lease, job: Path, artifacts: Mapping[str, Path], deployed: Mapping[str, Path]) -> Made:
        made = self._maker.judge(job, artifacts, deployed)
        beside = {item.profile: item.sha256 for item in lease.deployed}
        return _Result({**made.details, "beside": beside}, made.files, made.refusal)

    def _publish(self, lease: Lease, job: Path, artifacts: Mapping[str, Path]) -> Made:
        found = self._shelf.publish_canary(artifacts, lease.model, job / "version.json")
        version = found[0].version
        return _Result(
            {
                "version": version,
                "artifacts": {item.profile: item.sha256 for item in found},
                "names": {item.profile: item.name for item in found},
                "canary": self._settings.canary_plan(version).to_json(),
                "fleet": self._settings.fleet_plan(version).to_json(),
            }
        )

    def _once(self, job: Path, step: str, given: list[Any], make: Callable[[], Made]) -> _Result:
        """What a step came to: by its record, where it was given the same and its files are as they were, else by doing it."""
        place, basis = job / f"{step}.json", digest_json(given)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(place.read_bytes())
            files = {name: job / path for name, (path, _) in told["files"].items()}
            is_whole = all(digest_file(files[name]) == sha256 for name, (_, sha256) in told["files"].items())
            if is_whole and told["given"] == basis:
                return _Result(told["details"], files, told["refusal"])
        log.info("%s", step)
        made = make()
        files = {name: path.relative_to(job) for name, path in made.files.items()}
        told = {
            "given": basis,
            "details": dict(made.details),
            "files": {name: [str(path), digest_file(job / path)] for name, path in files.items()},
            "refusal": made.refusal,
        }
        write_atomic(place, dumps(told))
        return _Result(made.details, made.files, made.refusal)

    def _note(self, lease: Lease, step: WorkerStep, details: Mapping[str, Any]) -> None:
        self._server.note(lease.number, self._name, step, told_of(details))

    def _end(self, lease: Lease, job: Path, state: str, why: str, details: Mapping[str, Any]) -> Ended:
        self._server.end(lease.number, self._name, state, why[:2000], told_of(details))
        self._tracker.end(job, lease, state, why)
        return Ended(lease.number, state, why)

    # Folders

    def _job(self, lease: Lease) -> Path:
        """The folder of this retraining; what another server's of the same number left there is removed."""
        job, known = self._folder / "jobs" / str(lease.number), {"model": lease.model, "until": lease.until}
        try:
            same = json.loads((job / "job.json").read_bytes()) == known
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(job, ignore_errors=True)
            write_atomic(job / "job.json", dumps(known))
        return job

    def _source(self, deployed: Mapping[str, Path], lease: Lease) -> Path:
        """The model that the deployed version was compiled from: the one given, or one that this worker trained."""
        wanted = {open_artifact(path).manifest.source.digest for path in deployed.values()}
        if len(wanted) > 1:
            raise UsageError(f"profiles of {lease.model!r} run versions of different sources; bring all to one version first.")
        (sha256,) = wanted
        kept = self._folder / "sources"
        given = [self._settings.source, *(kept.iterdir() if kept.is_dir() else ())]
        found = next((path for path in given if path.is_file() and digest_file(path) == sha256), None)
        if found is None:
            raise UsageError(
                f"the model that the deployed version of {lease.model!r} was compiled from (SHA-256 {sha256[:12]}) is neither "
                f"{self._settings.source} nor one of {kept}; give it as source."
            )
        return Path(found)

    def _keep_source(self, source: Path) -> None:
        place = self._folder / "sources" / f"{digest_file(source)}{source.suffix}"
        if not place.exists():
            write_atomic(place, source.read_bytes())

    @contextlib.contextmanager
    def _held(self, lease: Lease) -> Iterator[threading.Event]:
        """The lease renewed in a thread until the block ends; the event is set where it was lost."""
        is_over, is_lost = threading.Event(), threading.Event()

        def beat() -> None:
            while not is_over.wait(self._lease_s / _BEATS):
                try:
                    self._server.beat(lease.number, self._name, self._lease_s)
                except NetworkError as error:
                    log.warning("the lease cannot be renewed now: %s", error)
                except EdgewrightError as error:
                    log.warning("the lease is lost: %s", error)
                    is_lost.set()
                    return

        thread = threading.Thread(target=beat, name="lease", daemon=True)
        thread.start()
        try:
            yield is_lost
        finally:
            is_over.set()
            thread.join(self._lease_s)


class _Later(EdgewrightError):
    """What is published or signed cannot be now, and was judged already: it is tried again."""

    code = "E-RETRAIN"


@contextlib.contextmanager
def _later() -> Iterator[None]:
    try:
        yield
    except (NetworkError, StoreError):
        raise
    except EdgewrightError as error:
        raise _Later(f"what passed its gates cannot be published now: {error}") from error


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: digest_file(path) for name, path in files.items()}


def told_of(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details for the server, with the digest of all of them; where they are too long, the longest are left to that digest."""
    told = {**details, "digest": digest_json(dict(details))}
    while len(dumps(told)) > _MOST_TOLD:
        longest = max((name for name in told if name != "digest"), key=lambda name: len(dumps(told[name])))
        told[longest] = "left out, too long"
    return told
