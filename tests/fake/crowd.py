"""Many clients that each send the largest request that is taken, and wait.

    crowd.py SOCKET N

Asks /health/ready over FastCGI on N connections at once.  Writes a line "sent"
when all are sent, then each different answer's body once.
"""

import socket
import struct
import sys

PARAMS = 512
VALUE_BYTES = 80


def record(kind, body):
    return struct.pack("!BBHHBB", 1, kind, 1, len(body), 0, 0) + body


def pair(name, value):
    return bytes([len(name), len(value)]) + name + value


def request():
    pairs = pair(b"SCRIPT_NAME", b"/health") + pair(b"PATH_INFO", b"/ready")
    for i in range(PARAMS - 2):
        pairs += pair(b"X%d" % i, b"v" * VALUE_BYTES)
    return (record(1, b"\0\1\0\0\0\0\0\0") + record(4, pairs)
            + record(4, b"") + record(5, b""))


def main():
    where, n = sys.argv[1], int(sys.argv[2])
    message = request()
    clients, bodies = [], set()
    for _ in range(n):
        client = socket.socket(socket.AF_UNIX)
        client.connect(where)
        client.sendall(message)
        clients.append(client)
    print("sent", flush=True)
    for client in clients:
        answer = b""
        while more := client.recv(65536):
            answer += more
        bodies.add(answer.partition(b"\r\n\r\n")[2].partition(b"\1")[0])
    for body in bodies:
        print(body.decode(errors="replace"))


main()
