#!/usr/bin/env python3
"""Asks a program whose dependencies lie (liars.py), and judges what it says.

    fuzz_peers.py CLIENT SOCKET PID LIARS-PID DIRECTORY SECONDS SEED

CLIENT is tests/fake/fcgi_client, SOCKET where the program PID listens, DIRECTORY
that of liars.py.  The checks `file` and `honest` are always healthy; each of the
others is healthy only if its peer told the whole truth after the check asked,
ends at its deadline, and is healthy again as soon as its peer is honest.
Meanwhile liveness is answered, and memory, threads and descriptors do not grow.

The last line has the measurements; the exit status is 1 when something was
wrong.  FUZZ_SLOW in the environment says that the program runs under a tool that
takes time and memory.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

client, where, pid, liars_pid, directory, seconds, seed = sys.argv[1:]
SLOW = "FUZZ_SLOW" in os.environ
TIMEOUT_MS = 400  # of each liar, see test_fuzz_peers.sh
OVERSHOOT_MS = 3000 if SLOW else 250
LIVELY_MS = 2000 if SLOW else 500
GROWN_KB = 32 * 1024
HONEST = ("file", "honest")

wrong = []
late_ms = 0.0  # what this machine has added to a short sleep, lately
lively = []  # ms


def complain(words):
    if len(wrong) < 20:
        print("wrong: %.3f %s" % (time.monotonic(), words), flush=True)
    wrong.append(words)


def ask(path):
    """Its status (0: none), milliseconds and body."""
    done = subprocess.run([client, "-t", "20", where, path], capture_output=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status = re.search(rb"^Status: (\d+)", head, re.M)
    took = re.search(rb"last_ms=(-?\d+)", done.stderr)
    if b"answers=1" not in done.stderr:
        return 0, -1, ""
    return (int(status.group(1)) if status else 200, int(took.group(1)),
            body.decode())


# ---- liveness, all the time


class Liveness(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.stopped = False

    def run(self):
        global late_ms
        while not self.stopped:
            then = time.monotonic()
            time.sleep(.03)
            late_ms = max(late_ms * .9, (time.monotonic() - then - .03) * 1000)
            status, took, body = ask("/health/live")
            if status != 200:
                complain("liveness: %d %s" % (status, body))
            lively.append(took)


# ---- what the program takes


def used():
    with open("/proc/%s/status" % pid) as file:
        status = dict(line.split(":", 1) for line in file)
    return {"RSS_kB": int(status["VmRSS"].split()[0]),
            "peak_kB": int(status["VmHWM"].split()[0]),
            "threads": int(status["Threads"]),
            "descriptors": len(os.listdir("/proc/%s/fd" % pid))}


# ---- what the liars have done


def turn(number, word):
    with open(directory + "/liars.log") as file:
        noted = len(file.readlines())
    os.kill(int(liars_pid), number)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(directory + "/liars.log") as file:
            if file.readlines()[noted:].count(word + "\n"):
                return
        time.sleep(.05)
    complain("the liars do not turn to " + word)


def told(name, since, until):
    """Whether the whole truth was told to this check in that time."""
    with open(directory + "/liars.log") as file:
        return any(since <= float(line.split()[0]) <= until for line in file
                   if line.split()[1:2] == [name] and line.endswith(": true\n"))


def transcript(name):
    """What its liar did last."""
    with open(directory + "/liars.log") as file:
        lines = [line for line in file if line.split()[1:2] == [name]]
    return "".join(line[:500] + "\n" for line in lines[-8:])


def tricks(since):
    """What all liars have done since then."""
    with open(directory + "/liars.log") as file:
        return "".join(line[:120] + "\n" for line in file
                       if line[0].isdigit() and float(line.split()[0]) >= since)


# ---- readiness

worst = {"overshoot_ms": 0, "honest_ms": 0}
seen = {}


def look(lies):
    """One round; returns how many are not healthy."""
    since = time.monotonic()
    status, _, body = ask("/health/ready")
    until = time.monotonic()
    try:
        checks = json.loads(body)["checks"]
    except (ValueError, KeyError):
        complain("no answer: %d %r" % (status, body[:200]))
        return 1
    ill = 0
    late = []
    for name, check in checks.items():
        latency_ms = check.get("latency_ms", 0)
        ill += not check["healthy"]
        if name in HONEST:
            worst["honest_ms"] = max(worst["honest_ms"], latency_ms)
            if not check["healthy"]:
                complain("%s, which is honest: %s" % (name, check))
            continue
        over = latency_ms - TIMEOUT_MS
        worst["overshoot_ms"] = max(worst["overshoot_ms"], over)
        if over > OVERSHOOT_MS + late_ms:
            late.append("%s ends %d ms after its deadline: %s" % (name, over, check))
        if lies and check["healthy"] and not told(name, since, until):
            complain("%s is healthy and was told no truth from %.3f to %.3f: %s\n%s"
                     % (name, since, until, check, transcript(name)))
        code = check.get("code", "ok")
        seen.setdefault(name, {}).setdefault(code, 0)
        seen[name][code] += 1
    if late:
        complain("\n".join(late) + "\n" + tricks(since))
    return ill


def main():
    # All of them can be healthy, and what is allocated once is there.
    end = time.monotonic() + 30
    while look(False) and time.monotonic() < end:
        time.sleep(.1)
    for _ in range(3):
        if look(False):
            complain("not healthy before it begins: %s" % ask("/health/ready")[2])
    before = used()
    seen.clear()
    turn(signal.SIGUSR1, "lies")
    liveness = Liveness()
    liveness.start()
    end = time.monotonic() + float(seconds)
    rounds = 0
    while time.monotonic() < end and os.path.exists("/proc/" + pid):
        look(True)
        rounds += 1
        now = used()
        if now["threads"] > before["threads"] + 16:
            complain("%d threads" % now["threads"])
        if now["descriptors"] > before["descriptors"] + 100:
            complain("%d descriptors" % now["descriptors"])
    liveness.stopped = True
    liveness.join()
    for name, codes in seen.items():
        print("%-14s %s" % (name, " ".join("%s=%d" % item for item
                                           in sorted(codes.items()))))
        if len(codes) < 2 and rounds > 50:
            complain("%s was told too little" % name)
    turn(signal.SIGUSR2, "truth")
    probes = 1
    while look(False) and probes < 20:
        probes += 1
        print("not yet: %s" % ask("/health/ready")[2])
    if probes > 3:
        complain("healthy again only after %d probes" % probes)
    after = used()
    lively.sort()
    p99 = lively[len(lively) * 99 // 100]
    if p99 > LIVELY_MS + late_ms:
        complain("liveness takes %d ms" % p99)
    grown = after["peak_kB"] - before["RSS_kB"]
    if grown > GROWN_KB and not SLOW:
        complain("memory grew by %d kB" % grown)
    for name in ("threads", "descriptors"):
        if after[name] > before[name] + 8:
            complain("%s: %d before, %d afterwards" % (name, before[name], after[name]))
    print("seed %s: %d rounds, overshoot at most %d ms, honest %d ms, liveness p99 "
          "%d ms, longest %d ms of %d, grown by %d kB, threads %d -> %d, descriptors "
          "%d -> %d, healthy after %d probes, %d wrong"
          % (seed, rounds, worst["overshoot_ms"], worst["honest_ms"], p99, lively[-1],
             len(lively), grown, before["threads"], after["threads"],
             before["descriptors"], after["descriptors"], probes, len(wrong)))
    sys.exit(1 if wrong else 0)


main()
