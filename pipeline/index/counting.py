"""What each listed clip holds: its files decoded in other processes, and kept in a journal until the table is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from grace.pipeline.datasets import Listing
from grace.pipeline.datasets.file_tree import UNFOLLOWED
from grace.pipeline.errors import ClipError
from grace.pipeline.execution.processes import run_in_processes, watched_clips
from grace.pipeline.execution.progress import ClipProgress
from grace.pipeline.index.reconciliation import MISSING, NO_FRAMES, UNREADABLE
from grace.pipeline.media.content import content_digest
from grace.pipeline.media.files import MissingError, NoFramesError, link_out
from grace.pipeline.media.video import MediaInfo, probe
from grace.pipeline.messages import error_line
from grace.pipeline.store.journal import Journal, state_of

MAX_READS = 3
"""So often a clip is read whose files change meanwhile; a link that is made to one changes it as well."""
BATCH = 16
"""Clips per job, after which a process reports what it counted."""
PARTIAL = "index.partial.jsonl"
"""The journal of an index that is not whole yet."""
COUNTING = 3
"""Rises when counting gives other figures for the same files."""


@dataclass(frozen=True)
class Contents:
    """What a clip holds, counted, and the digest of its content."""

    probe: MediaInfo
    digest: str


@dataclass(frozen=True)
class Unusable:
    """Why a clip's file cannot be used: the kind of finding, and the cause."""

    finding: str
    cause: str


@dataclass(frozen=True)
class CountTask:
    """Counting the frames of a batch of clips in supervised processes."""

    root: Path
    hash_images: bool
    links: tuple[str, ...]

    def open(self) -> None:
        """Nothing is to be loaded."""

    def run(
        self, job: list[Listing], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]
    ) -> list[tuple[str, Contents | Unusable]]:
        """For each clip the state of its files while they were read, and what they hold."""
        probed: list[tuple[str, Contents | Unusable]] = []
        for listing, cause in watched_clips(job, skipped, on_clip_start):
            probed.append(self._probe_unchanged(listing) if cause is None else ("", Unusable(UNREADABLE, cause)))
        return probed

    def _probe_unchanged(self, listing: Listing) -> tuple[str, Contents | Unusable]:
        """Frames and digest are of the same files: frames are counted in one read, and the digest is of another."""
        state = state_of(self.root / listing.path)
        for _ in range(MAX_READS):
            before, contents = state, self._probe(listing)
            state = state_of(self.root / listing.path)
            if state == before:
                return state, contents
        cause = "its files changed while they were read: run the index again when nobody writes them"
        return "", Unusable(UNREADABLE, cause)

    def _probe(self, listing: Listing) -> Contents | Unusable:
        path = self.root / listing.path
        try:
            if target := link_out(self.root, listing.path, self.links):
                cause = f"a link leads out of the data set's root, to {target}: name that folder in index.links"
                return Unusable(UNFOLLOWED, cause)
            return Contents(probe(path, listing.source), content_digest(path, listing.source, self.hash_images))
        except MissingError as error:
            return Unusable(MISSING, str(error))
        except NoFramesError as error:
            return Unusable(NO_FRAMES, str(error))
        except ClipError as error:
            return Unusable(UNREADABLE, str(error))
        except MemoryError:
            raise
        except Exception as error:  # a decoder's complaint about this one file
            return Unusable(UNREADABLE, error_line(error))


def count_all(
    task: CountTask, listings: list[Listing], journal: Journal, workers: int, clip_timeout: float
) -> Iterator[Contents | Unusable]:
    """What each listed clip holds, or why it cannot be used, in the order of the lists.

    Args:
        task: How a batch of clips is counted.
        listings: The clips; those with a ``problem`` are not touched.
        journal: What earlier runs counted, which is not counted again; what is counted is added to it.
        workers: Local processes that count, at least one.
        clip_timeout: Seconds that a process may spend on one clip.

    Yields:
        One result per clip.

    Raises:
        GraceError: The journal cannot be written, or processes keep dying while no clip is under way.
    """
    readable = [listing for listing in listings if listing.problem is None]
    probed: dict[str, Contents | Unusable] = {}
    for listing in readable:
        if (counted := journal.get(listing.path)) is not None:
            probed[listing.clip_id] = Contents(MediaInfo(**counted["probe"]), counted["digest"])
    waiting = [listing for listing in readable if listing.clip_id not in probed]
    jobs = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
    results = run_in_processes(task, jobs, workers=max(workers, 1), clip_timeout=clip_timeout)
    with ClipProgress("index", len(readable), len(probed)) as progress:
        for job, batch in results:
            for listing, (state, contents) in zip(jobs[job], batch, strict=True):
                probed[listing.clip_id] = contents
                if isinstance(contents, Contents):
                    journal.add(listing.path, asdict(contents), state)
            progress.commit(len(batch))
    for listing in listings:
        if listing.problem is not None:
            yield Unusable(listing.problem.finding, listing.problem.cause)
        else:
            yield probed.pop(listing.clip_id)
