#!/usr/bin/env python3
"""names: a name server for names under faults.test.

    names.py ADDRESS FILE

A name leads to 127.0.0.1.  While FILE exists, its first label says what
becomes of the question: silent, slow, nxdomain, servfail, refused, garbage,
wrong (another address).
"""
import os
import socket
import struct
import sys
import time

RCODES = {'servfail': 2, 'nxdomain': 3, 'refused': 5}
A = 1


def answer(query, what):
    """The answer to a query, None for none."""
    end = query.index(b'\0', 12) + 5  # behind name, type and class
    kind = struct.unpack('>H', query[end - 4:end - 2])[0]
    rcode = RCODES.get(what, 0)
    address = b''
    if kind == A and not rcode:
        host = '127.0.0.1' if what != 'wrong' else '127.99.99.99'
        address = struct.pack('>HHHIH', 0xc00c, A, 1, 1, 4)
        address += socket.inet_aton(host)
    head = struct.pack('>HHHHHH', 0x8580 | rcode, 1, int(bool(address)), 0, 0,
                       0)[:10]
    return query[:2] + head + query[12:end] + address


def main():
    """Serves for ever, one question after another."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((sys.argv[1], 53))
    print('ready', flush=True)
    late = []
    while True:
        wait = max(0, late[0][0] - time.monotonic()) if late else None
        sock.settimeout(wait or (0.001 if late else None))
        try:
            query, peer = sock.recvfrom(512)
        except (TimeoutError, socket.timeout, BlockingIOError):
            query = None
        while late and late[0][0] <= time.monotonic():
            sock.sendto(*late.pop(0)[1:])
        if not query:
            continue
        what = query[13:13 + query[12]].decode() \
            if os.path.exists(sys.argv[2]) else ''
        if what == 'garbage':
            sock.sendto(query[:2] + b'\xff' * 40, peer)
        elif what == 'slow':
            late.append((time.monotonic() + 0.1, answer(query, ''), peer))
        elif what != 'silent':
            sock.sendto(answer(query, what), peer)


if __name__ == '__main__':
    main()
