"""Every place of the running agent that makes a file descriptor, and what happens there when there is none.

A new place fails this test until somebody has thought about it and has written it down here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from device_agent.config.sources import BUILT_IN
from tests.test_architecture import FILES, imports, module_name

#: Names of calls that make a descriptor, in the standard library, pyzmq, boto3 and the spool's file-system seam.
MAKERS = frozenset({
    "open", "dup", "pipe", "pipe2", "eventfd", "memfd_create", "listdir", "scandir", "walk", "iterdir", "glob", "rglob", "read_text",
    "read_bytes", "write_text", "write_bytes", "epoll", "DefaultSelector", "EpollSelector", "socket", "socketpair",
    "create_connection", "create_server", "fromfd", "accept", "getaddrinfo", "gethostbyname", "Popen", "check_output",
    "TemporaryFile", "NamedTemporaryFile", "TemporaryDirectory", "mkstemp", "urlopen", "Context", "monitor", "Session", "client",
    "CDLL", "load_cert_chain", "load_verify_locations", "sync_directory",
})  # fmt: skip
#: Seam and others whose name is too common to be looked for alone.
QUALIFIED = ("files.list", "zmq.bind", "zmq.connect", "socket.bind", "_session(request.url).send", "_http.send", "Path(path).mkdir")

START = "at the start only: exit with a sentence, and the service manager starts it again"
HELD = "at the start only, and held for ever"
RELOAD = "at the start: exit with a sentence; at a reload: refused, and the old configuration goes on"
STREAM = "the stream takes no readings for now (REQ and DEALER are told), and is tried again"
TIDY = "done later: a chore that is tried again"
UPLINK = "not sent now: tried again after the back-off"
STATUS = "answered with the spare descriptor, or a second later"
SOURCE = "the source says so, and is started again after a pause"
COUNT = "taken for a shortage: no connection is accepted for a second"
OTHER = "in another process: `device-agent status`, `check`, `send` or `keys`"
MOVES = "the count of changed machine ids is lost, and nothing else"
WITHIN = "a method of ours by that name: its own calls are listed"

SITES = {
    ("agent", "Agent.start", "self._spool.open"): WITHIN,
    ("board", "fingerprint", "source.read_bytes"): RELOAD,
    ("clock", "SystemClock.__init__", "ctypes.CDLL"): HELD,
    ("configfile", "read", "path.open"): RELOAD,
    ("daemon", "Daemon.run", "selectors.DefaultSelector"): HELD,
    ("daemon", "Daemon.run", "socket.socketpair"): HELD,
    ("descriptors", "Spare.__init__", "os.open"): HELD,
    ("descriptors", "Spare._take", "os.dup"): "there is no spare one until the next time",
    ("descriptors", "spare_for_connections", "os.listdir"): COUNT,
    ("intake", "Intake._run", "self._receiver.open"): WITHIN,
    ("intake.acceptor", "", "ctypes.CDLL"): HELD,
    ("intake.acceptor", "_data", "Path(f'/proc/self/fdinfo/{name}').open"): "libzmq accepts by itself, and the log says so",
    ("intake.acceptor", "_find", "os.listdir"): "libzmq accepts by itself, and the log says so",
    ("intake.check", "_try_bind", "socket.socket"): RELOAD,
    ("intake.connections", "Connections.__init__", "context.socket"): RELOAD,
    ("intake.connections", "Connections.__init__", "watched.zmq.monitor"): RELOAD,
    ("intake.connections", "peer_of", "socket.socket"): "none is made: it looks at libzmq's",
    ("intake.curve", "_create", "os.open"): OTHER,
    ("intake.curve", "_field", "path.read_bytes"): RELOAD,
    ("intake.curve", "_keys_in", "directory.iterdir"): RELOAD,
    ("intake.ipc", "Lock.__init__", "os.open"): RELOAD,
    ("intake.ipc", "answers", "socket.socket"): RELOAD,
    ("intake.ipc", "taken", "os.open"): RELOAD,
    ("intake.native.library", "find", "ctypes.CDLL"): "at the start only: readings are received by the Python path",
    ("intake.native.reader", "NativeReader.__init__", "library.open"): "none is made: it is memory of the drain in C",
    ("intake.receiver", "Receiver._open_input", "entry.socket.open"): WITHIN,
    ("intake.receiver", "Receiver.open", "os.eventfd"): HELD,
    ("intake.receiver", "Receiver.open", "zmq.Context"): HELD,
    ("intake.receiver", "Receiver.resume", "self._door.open"): WITHIN,
    ("intake.sockets", "InputSocket.__init__", "context.socket"): RELOAD,
    ("intake.sockets", "InputSocket._bind", "self.zmq.bind"): RELOAD + "; accepts in libzmq's thread: `intake.acceptor`",
    ("intake.sockets", "_binds_ipv6", "getaddrinfo"): "a name to bind counts as IPv4, as it mostly is",
    ("intake.zap", "Authenticator.__init__", "context.socket"): HELD,
    ("intake.zap", "Authenticator.__init__", "self.socket.bind"): HELD,
    ("output", "_hold", "os.open"): HELD,
    ("output", "_never_wait", "os.dup"): "the journal's socket is left as it is: only the thread that writes waits for it",
    ("output", "_never_wait", "os.open"): "the descriptor is left as it is: only the thread that writes waits for it",
    ("output", "_never_wait", "socket.socket"): "none is made: it wraps the copy",
    ("sources.amqp.connection", "_parameters", "tls.client"): SOURCE,
    ("sources.amqp.loop", "Loop.__init__", "os.eventfd"): SOURCE,
    ("sources.amqp.connection", "connected", "connection.open"): WITHIN,
    ("sources.coap.server", "Coap._listen", "self._endpoint.open"): WITHIN,
    ("sources.courier", "Courier.__init__", "context.socket"): SOURCE,
    ("sources.courier", "Courier.__init__", "os.eventfd"): SOURCE,
    ("sources.door", "Door._accept", "bound.accept"): COUNT,
    ("sources.door", "Door.open", "loop.getaddrinfo"): SOURCE,
    ("sources.door", "Door.open", "socket.create_server"): SOURCE,
    ("sources.http", "Http._listen", "door.open"): WITHIN,
    ("sources.listening", "bind", "socket.getaddrinfo"): SOURCE,
    ("sources.listening", "bind", "socket.socket"): SOURCE,
    ("sources.memory", "recall", "path.read_bytes"): SOURCE,
    ("sources.memory", "_write", "new.open"): SOURCE,
    ("sources.memory", "_write", "os.open"): SOURCE,
    ("sources.mqtt", "Mqtt._client", "tls.client"): SOURCE,
    ("sources.mqtt", "Mqtt._check", "client.socket"): "none is made: it looks at paho's",
    ("sources.nng.sp", "_tls", "Path(settings.certificate).read_text"): SOURCE,
    ("sources.nng.sp", "_tls", "Path(settings.private_key).read_text"): SOURCE,
    ("sources.nng.visit", "_connect", "socket.create_connection"): OTHER,
    ("sources.nng.visit", "_connect", "socket.socket"): OTHER,
    ("sources.nng.visit", "_connect", "tls.client"): OTHER,
    ("sources.nng.visit", "_try_path", "socket.socket"): OTHER,
    ("sources.poll", "Poll.__init__", "zmq.Context"): SOURCE,
    ("sources.poll", "Poll._open", "self._context.socket"): SOURCE,
    ("sources.secret", "read", "Path(path).read_text"): SOURCE,
    ("sources.stomp.connection", "_connect", "socket.create_connection"): SOURCE,
    ("sources.stomp.connection", "_connect", "tls.client"): SOURCE,
    ("sources.tls", "client", "context.load_cert_chain"): SOURCE,
    ("sources.tls", "server", "context.load_cert_chain"): SOURCE,
    ("spool.appender", "Appender._writable", "self._files.open"): STREAM,
    ("spool.files", "RealFiles.__init__", "ctypes.CDLL"): HELD,
    ("spool.files", "RealFiles.list", "os.scandir"): WITHIN,
    ("spool.files", "RealFiles.make_directory", "Path(path).mkdir"): WITHIN,
    ("spool.files", "RealFiles.open", "os.open"): WITHIN,
    ("spool.files", "RealFiles.sync_directory", "os.open"): WITHIN,
    ("spool.files", "bytes_below", "files.list"): RELOAD,
    ("spool.journal", "Journal._open", "self._files.open"): TIDY,
    ("spool.journal", "Journal.load", "self._files.open"): RELOAD,
    ("spool.journal", "Journal.rewrite", "self._files.open"): TIDY,
    ("spool.journal", "Journal.rewrite", "self._files.sync_directory"): TIDY,
    ("spool.lock", "Lock._hold", "files.open"): RELOAD,
    ("spool.making", "create", "files.open"): STREAM,
    ("spool.making", "create", "files.sync_directory"): STREAM,
    ("spool.moves", "_read", "files.open"): MOVES,
    ("spool.moves", "_write", "files.open"): MOVES,
    ("spool.moves", "_write", "files.sync_directory"): MOVES,
    ("spool.opening", "_load", "setting.files.list"): RELOAD,
    ("spool.opening", "_resume", "files.open"): RELOAD,
    ("spool.opening", "open_epochs", "files.list"): RELOAD,
    ("spool.opening", "open_epochs", "files.sync_directory"): RELOAD,
    ("spool.quarantine", "Quarantine._forget_removed", "self._files.list"): TIDY,
    ("spool.quarantine", "Quarantine._keep", "self._files.sync_directory"): UPLINK,
    ("spool.quarantine", "Quarantine._make_folder", "self._files.sync_directory"): UPLINK,
    ("spool.quarantine", "Quarantine._write", "self._files.open"): UPLINK,
    ("spool.quarantine", "Quarantine.open", "self._files.list"): RELOAD,
    ("spool.segment", "read", "files.open"): UPLINK,
    ("spool.spool", "Spool._open", "files.list"): RELOAD,
    ("spool.spool", "Spool._open", "files.sync_directory"): RELOAD,
    ("spool.spool", "Spool._open", "self._quarantine.open"): WITHIN,
    ("spool.spool", "Spool._open", "stream.open"): WITHIN,
    ("spool.stream", "Stream._remove", "self._files.list"): TIDY,
    ("status", "StatusServer.__init__", "self._socket.bind"): STATUS,
    ("status", "StatusServer.__init__", "socket.socket"): STATUS,
    ("status", "StatusServer.answer", "self._socket.accept"): STATUS,
    ("status", "_address", "os.open"): STATUS,
    ("status", "ask", "socket.socket"): OTHER,
    ("systemd", "Notifier.__init__", "socket.socket"): HELD,
    ("uplink.client", "Sqs._connect", "boto3.session.Session"): UPLINK,
    ("uplink.client", "Sqs._connect", "boto3.session.Session().client"): UPLINK,
    ("uplink.client", "Sqs._send", "self._http.send"): UPLINK,
    ("uplink.credentials", "ChainCredentials.get", "boto3.session.Session"): UPLINK,
    ("uplink.credentials", "ChainCredentials._send", "self._http.send"): UPLINK,
    ("uplink.credentials", "IotCredentials._fetch", "self._http.send"): UPLINK,
    ("uplink.credentials", "check_files", "Path(path).open"): RELOAD,
    ("uplink.http", "Http.send", "self._session(request.url).send"): UPLINK,
    ("uplink.pools", "_Mistrust.urlopen", "super().urlopen"): UPLINK,
}


def running() -> set[str]:
    """Modules that `device-agent run` imports; those of sources it finds by their names."""
    paths = {module_name(path): path for path in FILES}
    found: set[str] = set()
    todo = ["device_agent.daemon", *(kind.SOURCE.partition(":")[0] for kind in BUILT_IN.values())]
    while todo:
        name = todo.pop()
        if name in found or name not in paths:
            continue
        found.add(name)
        for _, imported in imports(paths[name]):
            todo += [imported, imported.rpartition(".")[0]]
    return found


def sites() -> Iterator[tuple[str, str, str]]:
    """Yield (module, function, call) of every call that may make a descriptor."""
    modules = running()
    for path in FILES:
        name = module_name(path)
        if name in modules:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield from ((name.removeprefix("device_agent."), where, call) for where, call in _calls(tree, ()))


def _calls(node: ast.AST, inside: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            text = ast.unparse(child.func)
            if text.rpartition(".")[2] in MAKERS or any(f".{text}".endswith(f".{one}") or text.endswith(one) for one in QUALIFIED):
                yield ".".join(inside), text
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _calls(child, (*inside, child.name) if named else inside)


def test_it_is_known_of_every_place_what_happens_without_a_descriptor() -> None:
    found = set(sites())
    assert sorted(found - SITES.keys()) == [], "what happens here when file descriptors run out? Try it, and write it down"
    assert sorted(SITES.keys() - found) == [], "these places are gone"


def test_a_new_place_is_found() -> None:
    tree = ast.parse("class A:\n    def f(self):\n        with open('x') as file, socket.socket() as s: s.accept()")
    assert sorted(_calls(tree, ())) == [("A.f", "open"), ("A.f", "s.accept"), ("A.f", "socket.socket")]
