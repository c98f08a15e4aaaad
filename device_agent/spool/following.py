"""For people: a stream's readings as they are written, from the files of a running agent. Reads only.

Promises: readings come in order, none twice; what was delivered and deleted before it could be read is counted in `missed`, not hidden.
A reading may be seen an instant before it is committed: between its write and its `fdatasync`.

How: it remembers how far it has read, and each look reads the last segment from there on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from device_agent.errors import SpoolError
from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.places import Place, all_places, streams
from device_agent.spool.scan import UNKNOWN, scan
from device_agent.spool.tools import Reading, content_of


class Follower:
    """Follows the newest epoch of one stream. Not safe between threads."""

    def __init__(self, directory: str, stream: str, *, files: Files | None = None, problem: Callable[[str], None] | None = None) -> None:
        """Nothing is read yet.

        Raises:
            SpoolError: there is no spool, or no such stream in it.
        """
        self._directory, self._stream, self._files = directory, stream, files or RealFiles()
        self._problem = problem or (lambda _sentence: None)
        known = streams(directory, files=self._files)
        if stream not in known:
            raise SpoolError(f"{directory}: there is no stream {stream!r}; there are: {', '.join(known) or 'none yet'}")
        self._epoch, self._number, self._position, self._next = "", 0, 0, 1
        self.missed = 0  # readings that were gone before they could be read

    def start(self, lines: int) -> list[Reading]:
        """Return the last `lines` readings, and follow from their end on."""
        last: list[Reading] = []
        places = self._places()
        for at in range(len(places) - 1, -1, -1):
            self._epoch, self._number, self._position, self._next = places[at].epoch, places[at].number, 0, places[at].base
            found = deque(self._read(places[at:]), maxlen=lines or 1)
            last = list(found)[-lines:] if lines else []
            if len(last) == lines:
                break
        self.missed = 0
        return last

    def more(self) -> Iterator[Reading]:
        """Yield what was written since the last look."""
        places = self._places()
        if places and places[-1].epoch != self._epoch:
            self._epoch, self._number, self._position, self._next = places[-1].epoch, 0, 0, 1
        yield from self._read([place for place in places if place.number >= self._number])

    def _places(self) -> list[Place]:
        places = list(all_places(self._directory, self._files, stream=self._stream))
        return [place for place in places if place.epoch == places[-1].epoch]

    def _read(self, places: list[Place]) -> Iterator[Reading]:
        for place in places:
            if place.number != self._number:
                self.missed += max(0, place.base - self._next)
                self._number, self._position, self._next = place.number, 0, max(self._next, place.base)
            try:
                data = segments.read(self._files, place.path, self._position)
            except FileNotFoundError:
                continue  # delivered and deleted meanwhile; the next segment's base says how many that were
            found = scan(data, number=place.number, base=self._next, end=place.end, middle=self._position > 0)
            self._position += found.valid
            self._next = found.next
            yield from content_of(place, data, found, first=1, last=UNKNOWN, tell=self._problem)
