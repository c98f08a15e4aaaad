"""Acceptor: lets libzmq accept connections one at a time, and only while there is room for one more.

Why: without a file descriptor, libzmq's own thread takes a whole core on tcp (it asks accept(2) again and again), and aborts the process
on ipc; and it knows no limit of connections. It has no option against either. See docs/decisions/0034.

Promises
- libzmq calls accept(2) only after the input had room and `Descriptors.room` has said yes, once for each yes: the next yes waits until the
  socket monitor has told what became of the last one.
- While there is no room, new connections wait in the kernel's queue; those that exist go on. Nothing spins.
- Where the kernel does not show how libzmq watches its listener, libzmq is left alone, and the log says so.

How: libzmq's thread sleeps in an epoll(7) set that holds each listener. Its entry is set to no events; when our own poll says that somebody
wants in, it is armed for a single event (EPOLLONESHOT). Changing an entry needs the 64 bits that libzmq put there; the kernel shows them in
/proc/self/fdinfo (proc(5)). An entry is changed only while its listener is open, which is why `forget` comes before an unbind.
"""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import zmq

from device_agent import events
from device_agent.descriptors import PAUSE, Descriptors
from device_agent.intake.connections import Connections

_EPOLL_CTL_MOD: Final = 3  # sys/epoll.h
_EPOLLIN: Final = 0x001
_EPOLLONESHOT: Final = 1 << 30
_FOUND_WITHIN: Final = 1.0  # seconds; libzmq's thread registers a new listener within milliseconds


class _EpollEvent(ctypes.Structure):
    """struct epoll_event; the kernel has it without padding on x86-64 only."""

    _pack_ = 1 if platform.machine() in {"x86_64", "AMD64"} else 0
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Entry:
    """A listener's place in libzmq's epoll set."""

    def __init__(self, listener: int, epoll: int, data: int) -> None:
        self._listener, self._epoll, self._data = listener, epoll, data

    def arm(self) -> None:
        """Let libzmq accept once."""
        self._set(_EPOLLIN | _EPOLLONESHOT)

    def disarm(self) -> None:
        """Let libzmq accept nothing."""
        self._set(0)

    def _set(self, wanted: int) -> None:
        event = _EpollEvent(wanted, self._data)
        if _LIBC.epoll_ctl(self._epoll, _EPOLL_CTL_MOD, self._listener, ctypes.byref(event)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


class _Door:
    """The listeners of one input."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.entries: dict[int, _Entry] = {}  # by file descriptor
        self.polled = False


class Acceptor:
    """The listeners of all inputs; belongs to the receiver's thread."""

    def __init__(self, poller: zmq.Poller, descriptors: Descriptors, monotonic: Callable[[], float]) -> None:
        """Watch listeners with `poller`, the receiver's."""
        self._poller, self._descriptors, self._monotonic = poller, descriptors, monotonic
        self._doors: list[_Door] = []
        self._paused_until: float | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing is accepted for now."""
        return self._paused_until is not None

    def watch(self, connections: Connections) -> None:
        """Take over the listeners of an input that was just bound."""
        door = _Door(connections)
        for listener in connections.listeners:
            entry = _find(listener)
            if entry is None:
                events.listener_unwatched()
                continue
            entry.disarm()
            door.entries[listener] = entry
        self._doors.append(door)

    def forget(self, connections: Connections) -> None:
        """Leave the listeners alone of an input whose endpoints are about to be closed."""
        for door in self._doors:
            if door.connections is connections:
                self._turn(door, wanted=False)
        self._doors = [door for door in self._doors if door.connections is not connections]

    def prepare(self) -> None:
        """Before each poll: watch the listeners at which somebody may come in, and no others."""
        for door in self._doors:
            closed = self.paused or door.connections.accepting or door.connections.crowded
            self._turn(door, wanted=not closed)

    def admit(self, ready: Collection[object]) -> None:
        """After each poll: let one connection in at each input of which a listener is in `ready`, if there is room."""
        for door in self._doors:
            waiting = next((listener for listener in door.entries if listener in ready), None)
            if waiting is None:
                continue
            if not door.connections.has_room:
                door.connections.turn_away()
            elif not self._descriptors.room():
                self.pause()
                return
            else:
                door.connections.accepting = True
                door.entries[waiting] = entry = door.entries.pop(waiting)  # to the end: its turn is over
                entry.arm()

    def pause(self) -> None:
        """Accept nothing for a while: there are no descriptors."""
        self._descriptors.short()
        self._paused_until = self._monotonic() + PAUSE

    def retry(self) -> None:
        """Go on accepting if the pause is over."""
        if self._paused_until is not None and self._monotonic() >= self._paused_until:
            self._paused_until = None

    def _turn(self, door: _Door, *, wanted: bool) -> None:
        if wanted is not door.polled:
            door.polled = wanted
            for listener in door.entries:
                if wanted:
                    self._poller.register(listener, zmq.POLLIN)
                else:
                    self._poller.unregister(listener)


def _find(listener: int) -> _Entry | None:
    """Return where libzmq's thread watches a listener; it registers it a moment after the bind."""
    end = time.monotonic() + _FOUND_WITHIN
    while time.monotonic() < end:
        try:
            sets = [name for name in os.listdir("/proc/self/fd") if _is_epoll(name)]  # noqa: PTH208  # names, not paths: there may be thousands
            found = [_Entry(listener, int(name), data) for name in sets for data in _data(name, listener)]
        except OSError:
            return None
        if found:
            return found[0]
        time.sleep(0.001)
    return None


def _is_epoll(name: str) -> bool:
    with suppress(FileNotFoundError):  # closed meanwhile by another thread
        return str(Path(f"/proc/self/fd/{name}").readlink()) == "anon_inode:[eventpoll]"
    return False


def _data(name: str, listener: int) -> list[int]:
    """Return what an epoll set holds for a listener: lines such as `tfd:  12 events:  19 data:  7f4ae8000b70  pos:0 ...`."""
    found = []
    with suppress(FileNotFoundError), Path(f"/proc/self/fdinfo/{name}").open(encoding="ascii") as lines:
        for line in lines:
            words = line.replace(":", " ").split()
            if words[0] == "tfd" and int(words[1]) == listener:
                found.append(int(words[5], 16))
    return found
