#!/usr/bin/env python3
"""kubelet: asks probes and restarts containers as the kubelet does.

	kubelet.py MANIFEST ADDRESS:PORT SCALE CONTAINER=COMMAND...

The probes are those of the Deployment in MANIFEST; each is asked at
ADDRESS:PORT instead of the pod's address and its own port.  All seconds are
divided by SCALE, thresholds stay.  COMMAND is run by the shell to restart the
container.  Timeouts as the platform has them without timeoutSeconds:
KUBELET_TIMEOUTS=default.

One line per event goes to standard output:

	CONTAINER started, CONTAINER startup/liveness/readiness ok|failed WHY,
	CONTAINER ready, CONTAINER unready, CONTAINER restart: WHICH failed,
	pod ready, pod unready

What is as in pkg/kubelet/prober and pkg/probe/http:  GET on a new connection
for each probe, "User-Agent: kube-probe/1.31", "Accept: */*", "Connection:
close", one timeout for everything; healthy is 200 to 399; 10 KiB of the body
are read, and more is allowed.  Until the startup probe has succeeded, the other
two are not asked.  Results count in a row: failureThreshold of them for a
failure, successThreshold for a success.  A container without a
readiness probe is ready once it has started.  After a failed startup or
liveness probe the container is restarted, all its counts begin anew, and it is
not ready until a probe has said so.
"""
import os
import socket
import subprocess
import sys
import threading
import time

import yaml

BODY_MAX = 10 * 1024
lock = threading.Lock()
containers = []
pod_ready = False
begin = time.monotonic()


def say(*words):
    print("%.2f" % (time.monotonic() - begin), *words, flush=True)


def http_get(address, host, path, timeout):
    """None when healthy, or why it is not."""
    end = time.monotonic() + timeout

    def left():
        seconds = end - time.monotonic()
        if seconds <= 0:
            raise socket.timeout
        return seconds

    try:
        with socket.create_connection(address, left()) as s:
            s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\n"
                       "User-Agent: kube-probe/1.31\r\nAccept: */*\r\n"
                       "Connection: close\r\n\r\n" % (path, host)).encode())
            data = b""
            while b"\r\n\r\n" not in data:
                s.settimeout(left())
                more = s.recv(4096)
                if not more:
                    return "no answer"
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = None
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            want = BODY_MAX if length is None else min(length, BODY_MAX)
            while len(body) < want:
                s.settimeout(left())
                more = s.recv(4096)
                if not more:
                    break
                body += more
            if length is not None and len(body) < want:
                return "answer cut off"
    except socket.timeout:
        return "timeout"
    except OSError as e:
        return e.strerror or str(e)
    status = head.split(b" ", 2)[1].decode()
    return None if 200 <= int(status) < 400 else "HTTP " + status


class Probe:
    def __init__(self, container, which, spec, address, scale):
        self.container = container
        self.which = which
        self.address = address
        self.host = "10.0.0.1:%d" % spec["httpGet"]["port"]
        self.path = spec["httpGet"]["path"]
        self.period = spec.get("periodSeconds", 10) / scale
        self.delay = spec.get("initialDelaySeconds", 0) / scale
        self.timeout = spec.get("timeoutSeconds", 1) / scale
        if os.environ.get("KUBELET_TIMEOUTS") == "default":
            self.timeout = 1 / scale
        self.failures = spec.get("failureThreshold", 3)
        self.successes = spec.get("successThreshold", 1)
        self.forget()

    def forget(self):
        self.last = None
        self.run = 0

    def wanted(self):
        c = self.container
        if time.monotonic() < c.began + self.delay:
            return False
        return c.started != (self.which == "startup")

    def count(self, why):
        """A result; what follows from it when its threshold is reached."""
        healthy = why is None
        say(self.container.name, self.which, "ok" if healthy else "failed",
            why or "")
        self.run = self.run + 1 if healthy == self.last else 1
        self.last = healthy
        if self.run < (self.successes if healthy else self.failures):
            return
        c = self.container
        if self.which == "readiness":
            c.set_ready(healthy)
        elif not healthy:
            c.restart(self.which)
        elif self.which == "startup":
            c.set_started()

    def loop(self):
        due = time.monotonic()
        while True:
            # Ready is asked at once when it may be asked at all.
            self.container.woken[self.which].wait(
                max(0, due - time.monotonic()))
            self.container.woken[self.which].clear()
            due = time.monotonic() + self.period
            with lock:
                life = self.container.life
                wanted = self.wanted()
            if not wanted:
                continue
            why = http_get(self.address, self.host, self.path, self.timeout)
            with lock:
                # What an earlier life has said does not count.
                if life == self.container.life:
                    self.count(why)


class Container:
    def __init__(self, spec, address, scale, command):
        self.name = spec["name"]
        self.command = command
        self.life = 0
        self.probes = {}
        self.woken = {}
        for which in "startup", "liveness", "readiness":
            if which + "Probe" in spec:
                self.probes[which] = Probe(
                    self, which, spec[which + "Probe"], address, scale)
                self.woken[which] = threading.Event()
        self.begin()

    def begin(self):
        self.began = time.monotonic()
        self.started = "startup" not in self.probes
        self.ready = self.started and "readiness" not in self.probes
        for probe in self.probes.values():
            probe.forget()

    def set_started(self):
        self.started = True
        say(self.name, "started")
        if "readiness" in self.woken:
            self.woken["readiness"].set()
        else:
            self.set_ready(True)

    def set_ready(self, ready):
        if ready != self.ready:
            self.ready = ready
            say(self.name, "ready" if ready else "unready")
        pod_look()

    def restart(self, which):
        say(self.name, "restart:", which, "failed")
        self.life += 1
        self.set_ready(False)
        subprocess.run(self.command, shell=True, stdin=subprocess.DEVNULL,
                       check=True)
        self.begin()
        pod_look()


def pod_look():
    global pod_ready
    ready = all(c.ready for c in containers)
    if ready != pod_ready:
        pod_ready = ready
        say("pod", "ready" if ready else "unready")


def main():
    manifest, where, scale, *commands = sys.argv[1:]
    host, _, port = where.rpartition(":")
    commands = dict(c.split("=", 1) for c in commands)
    with open(manifest) as f:
        (deployment,) = [d for d in yaml.safe_load_all(f)
                         if d["kind"] == "Deployment"]
    for spec in deployment["spec"]["template"]["spec"]["containers"]:
        containers.append(Container(spec, (host, int(port)), float(scale),
                                    commands[spec["name"]]))
    threads = [threading.Thread(target=p.loop, daemon=True)
               for c in containers for p in c.probes.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
