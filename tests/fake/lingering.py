"""Passes descriptors along on a Unix socket (SCM_RIGHTS, unix(7)): TCP sockets
whose last close waits for an hour.

    lingering.py client PATH WHERE N
    lingering.py server PATH WHERE

The client makes N connections to the FastCGI socket at PATH, sends a request on
each, prints "sent" and keeps them; the server answers each line that it gets at
PATH as Redis answers PING.  WHERE the descriptor is: `alone` (the client sends
nothing else), `before`, `within` or `behind` the request or answer, `oob`: within it, out of
band; or `late`: when that was answered, or the next question came, again and
again.
"""

import array
import os
import selectors
import socket
import struct
import sys
import time

# BEGIN (kept), PARAMS with PATH_INFO, their end, the end of STDIN
REQUEST = (b"\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0"
           b"\1\4\0\1\0\x12\0\0\x09\x07PATH_INFO/health"
           b"\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0")
HOUR = struct.pack("ii", 1, 3600)

sink = socket.create_server(("127.0.0.1", 0))
unread = []


def lingering():
    """A TCP connection with more unsent than its peer takes."""
    fd = socket.create_connection(sink.getsockname())
    unread.append(sink.accept()[0])
    fd.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HOUR)
    fd.setblocking(False)
    try:
        while True:
            fd.send(bytes(65536))
    except BlockingIOError:
        return fd


def passed(to, data, flags=0):
    """Sends data with the only reference to such a connection."""
    with lingering() as fd:
        rights = array.array("i", [fd.fileno()])
        to.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)],
                   flags)


def say(to, text, where):
    middle = len(text) // 2
    if where in ("alone", "before"):
        passed(to, b"\1" if where == "alone" else text[:1])
        text = text[1:] if where == "before" else b""
    elif where in ("within", "oob"):
        to.sendall(text[:middle])
        passed(to, text[middle:middle + 1],
               socket.MSG_OOB if where == "oob" else 0)
        text = text[middle + 1:]
    if text:
        to.sendall(text)
    if where == "behind":
        passed(to, b"x")


def client(path, where, n):
    kept = []
    for _ in range(n):
        fd = socket.socket(socket.AF_UNIX)
        fd.connect(path)
        kept.append(fd)
        try:
            say(fd, REQUEST, where)
            if where == "late":
                fd.recv(65536)
                for _ in range(20):
                    passed(fd, b"x")
        except OSError:
            pass  # closed already
    print("sent", flush=True)
    time.sleep(3600)


def server(path, where):
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    events = selectors.DefaultSelector()
    events.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():
            if key.fileobj is listener:
                events.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            fd = key.fileobj
            try:
                data = fd.recv(65536)
                if data:
                    say(fd, b"+PONG\r\n" * data.upper().count(b"PING"), where)
                if where == "late":
                    for _ in range(20):
                        passed(fd, b"x")
            except OSError:
                data = b""
            if not data:
                events.unregister(fd)
                fd.close()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        client(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        server(sys.argv[2], sys.argv[3])
