"""What the settings of every source share, those of other people's, too; and of every client of a broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from device_agent.config.setting import Unit, setting
from device_agent.config.zeromq import InputConfig, Pattern, RouteConfig
from device_agent.wire.limits import MAX_READING

#: A key of an input, or the way to an element of its list.
Key = str | tuple[str | int, ...]
#: A key and what is wrong with it.
Mistake = tuple[Key, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inlet(InputConfig):
    """The ZeroMQ input behind a source."""

    hands_over: bool = False  # see `SourceConfig`
    insists: bool = True  # likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Keys of every input that is not ZeroMQ. A kind is a subclass: its keys as `setting`s, and what is said here in capitals."""

    name: str = setting("Name of the input, for status and logs.")
    kind: str = setting("What the other side speaks; each kind has keys of its own.")
    stream: str = setting("Stream that its readings go to.")
    route: tuple[RouteConfig, ...] = setting("Topics that go to other streams.", default=())
    window: int = setting(
        "Messages at most that are taken and not on disk yet; bounds memory: this x size. More share an fsync.",
        bounds=(1, 1000),
        default=256,
    )
    max_reading: int = setting("Largest message that is taken.", unit=Unit.SIZE, bounds=(1, MAX_READING), default=MAX_READING)

    #: `module:class` of its `Source`. The module is imported when an input of the kind is configured.
    SOURCE: ClassVar[str] = ""
    #: What to install where that import fails.
    NEEDS: ClassVar[str] = ""
    #: What the topic of a message is, for people.
    TOPIC: ClassVar[str] = ""

    @property
    def place(self) -> str:
        """Where it connects or listens, for people: `connect mqtt://localhost:1883`."""
        raise NotImplementedError

    @property
    def encrypted(self) -> str:
        """What keeps others from reading along, for people."""
        return "no"

    @property
    def binds(self) -> tuple[tuple[str, Key], ...]:
        """The addresses that only one input can have, as ZeroMQ writes them, each with its key."""
        return ()

    @property
    def hands_over(self) -> bool:
        """Whether nobody else has a message that was taken; then one that is too large is set aside, and not dropped."""
        return False

    @property
    def insists(self) -> bool:
        """Whether a message that finds no room is offered again by itself; else its source is told, and tells its other side."""
        return True

    @property
    def authenticates(self) -> bool:
        """Whether those who send to what it `binds` must prove who they are."""
        return False

    def mistakes(self) -> Iterator[Mistake]:
        """Yield what does not fit together. Types, bounds and choices are right already, or the mistake is dropped."""
        return iter(())

    @property
    def inlet(self) -> Inlet:
        """The ZeroMQ input that its messages go through: in this process, each answered when it is on disk."""
        return Inlet(
            name=self.name, kind=self.kind, pattern=Pattern.ROUTER, stream=self.stream, bind=(f"inproc://source-{self.name}",),
            topic="first-frame", route=self.route, message_id="first-frame", skip_probes=False, max_reading=self.max_reading,
            max_connections=1, hands_over=self.hands_over, insists=self.insists,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig(SourceConfig):
    """Keys of every client of a broker."""

    url: str = setting("The broker.")
    username: str = setting("User at the broker; empty: none.", default="")
    password_file: str = setting("Path of a file with the password; must be readable by the agent alone (0600).", secret=True, default="")
    ca: str = setting("TLS only: path of the CA bundle; empty: the system's.", default="")
    certificate: str = setting("TLS only: path of this client's certificate (PEM).", default="")
    private_key: str = setting("Path of its private key (PEM); must be readable by the agent alone (0600).", secret=True, default="")
    properties: bool = setting(
        "Keep what the broker says about a message: the reading is a CloudEvent, the payload in `data` or `data_base64`.",
        default=False,
    )

    #: The scheme of its URL without and with TLS, each with its usual port.
    SCHEMES: ClassVar[dict[str, int]] = {}
    #: Whether the URL goes on after the port.
    PATH: ClassVar[bool] = False

    @property
    def hands_over(self) -> bool:
        """See `SourceConfig`: a broker has forgotten what was acknowledged."""
        return True

    @property
    def tls(self) -> bool:
        """Whether the URL asks for TLS."""
        return self.url.partition("://")[0] == list(self.SCHEMES)[1]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or self.SCHEMES[parts.scheme]

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        return f"connect {self.url}"

    @property
    def encrypted(self) -> str:
        """See `SourceConfig`."""
        return "TLS" if self.tls else "no"

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        problem = self._url()
        if problem:
            yield "url", problem
        if self.password_file and not self.username:
            yield "username", "missing; password_file is given"
        yield from pair(self.certificate, self.private_key)

    def _url(self) -> str:
        plain, secure = self.SCHEMES
        form = f"{plain}://localhost:{self.SCHEMES[plain]} or {secure}://broker.example:{self.SCHEMES[secure]}"
        wrong = f"{self.url!r} is not a broker's URL, {form}"
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            return wrong
        if parts.scheme not in self.SCHEMES or not parts.hostname or port == 0:
            return wrong
        if "@" in parts.netloc:
            return "must not hold a user name or password; see username and password_file"
        if parts.query or parts.fragment or (parts.path not in {"", "/"} and not self.PATH):
            return f"must end with the {'path' if self.PATH else 'port'}, {form}"
        if parts.scheme == plain and (self.ca or self.certificate):
            return f"ca and certificate are for {secure}:// only"
        return ""


def pair(certificate: str, private_key: str) -> Iterator[Mistake]:
    """Yield a mistake if one of them is given without the other."""
    if bool(certificate) is not bool(private_key):
        missing, given = ("certificate", "private_key") if private_key else ("private_key", "certificate")
        yield missing, f"missing; {given} is given, and one is of no use without the other"
