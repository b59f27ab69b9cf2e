"""A PostgreSQL server that wants as many rounds of SCRAM as it is told, which
no real server does beyond what its stored passwords were made with.

    scram.py PORT ROUNDS [CERT KEY]

Writes a line "answered" when a client went on after being told the number.
With CERT and KEY it takes requests for TLS; without, it refuses them.
"""

import socket
import ssl
import struct
import sys
import threading

SSL_REQUEST = 80877103


def read_exactly(peer, length):
    data = b""
    while len(data) < length:
        more = peer.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def read_message(peer):
    length = struct.unpack("!I", read_exactly(peer, 5)[1:])[0]
    return read_exactly(peer, length - 4)


def begin(peer, context):
    """Up to the startup message; returns the connection, maybe with TLS."""
    while True:
        length, what = struct.unpack("!II", read_exactly(peer, 8))
        if what != SSL_REQUEST:
            read_exactly(peer, length - 8)
            return peer
        peer.sendall(b"S" if context else b"N")
        if context:
            peer = context.wrap_socket(peer, server_side=True)


def serve(peer, rounds, context):
    try:
        peer = begin(peer, context)
        peer.sendall(message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"))
        nonce = read_message(peer).split(b"r=")[1]
        peer.sendall(message(b"R", struct.pack("!I", 11) + b"r=" + nonce
                             + b"more,s=c2FsdHNhbHRzYWx0c2FsdA==,i="
                             + rounds.encode()))
        read_message(peer)
        print("answered", flush=True)
    except (EOFError, OSError):
        pass
    finally:
        peer.close()


def main():
    port, rounds = int(sys.argv[1]), sys.argv[2]
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        peer, _ = listening.accept()
        threading.Thread(target=serve, args=(peer, rounds, context),
                         daemon=True).start()


main()
