#!/usr/bin/env python3
"""manifest: what the files in kubernetes/ and azure/ say, for the tests.

	manifest.py probes FILE		one line per probe, with the defaults of
					the platform: container, startup or
					liveness or readiness, httpGet or exec,
					path or command, port, initial delay,
					period, timeout, failures, successes
	manifest.py conf FILE		the health.conf in it
	manifest.py json FILE		all of it, as a JSON list of documents
	manifest.py table FILE CONF	what docs/tuning.md says of it; CONF is
					what --check-config printed
"""
import configparser
import json
import re
import sys

import yaml


def documents(path):
    with open(path) as f:
        return list(yaml.safe_load_all(f))


def containers(docs):
    for doc in docs:
        if doc.get("kind") == "Deployment":
            return doc["spec"]["template"]["spec"]["containers"]
        if doc.get("type") == "Microsoft.App/containerApps":
            return doc["properties"]["template"]["containers"]
    sys.exit("no containers")


def probes(docs):
    for container in containers(docs):
        for probe in container.get("probes", []):
            yield container["name"], probe["type"].lower(), probe
        for which in "startup", "liveness", "readiness":
            if which + "Probe" in container:
                yield container["name"], which, container[which + "Probe"]


def conf(docs):
    for doc in docs:
        if doc.get("kind") == "ConfigMap":
            return doc["data"]["health.conf"]
        if doc.get("type") == "Microsoft.App/containerApps":
            for secret in doc["properties"]["configuration"]["secrets"]:
                if secret["name"] == "health-conf":
                    return secret["value"]
    sys.exit("no health.conf")


def show_probes(docs):
    for name, which, probe in probes(docs):
        if "httpGet" in probe:
            how = "httpGet", probe["httpGet"]["path"], probe["httpGet"]["port"]
        else:
            how = "exec", ",".join(probe["exec"]["command"]), "-"
        print(name, which, *how,
              probe.get("initialDelaySeconds", 0),
              probe.get("periodSeconds", 10),
              probe.get("timeoutSeconds", 1),
              probe.get("failureThreshold", 3),
              probe.get("successThreshold", 1))


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)?", text).groups()
    return int(number) * {"ms": .001, "s": 1, "m": 60, "h": 3600,
                          "d": 86400, None: 1}[unit]


def words(figure):
    return "%g s" % round(figure, 1)


def table(docs, effective):
    checks = configparser.ConfigParser(
        inline_comment_prefixes=(";",), interpolation=None, strict=False)
    checks.read_string("\n".join(
        line for line in effective.splitlines() if not line.startswith("#")))
    probe = {(name, which): p for name, which, p in probes(docs)}
    startup = probe["application", "startup"]
    live = probe["application", "liveness"]
    ready = probe["health", "readiness"]
    application = checks["application"]
    postgres = checks["database"]
    kill = live.get("terminationGracePeriodSeconds", 30)

    def check(section, key):
        return seconds(section[key].strip())

    def fails(p):
        return (p["failureThreshold"] - 1) * p["periodSeconds"]

    hang = check(postgres, "timeout")
    age = check(postgres, "max_age")
    frozen = check(application, "timeout")
    seen = check(application, "interval") + frozen
    period = ready["periodSeconds"]
    rows = [
        ("PostgreSQL refuses connections", "no traffic",
         fails(ready), fails(ready) + period + age),
        ("PostgreSQL hangs", "no traffic",
         fails(ready) + hang, fails(ready) + period + age + hang),
        ("PostgreSQL works again", "traffic",
         0, ready["successThreshold"] * period + age),
        ("the application hangs", "no traffic",
         fails(ready) + frozen, fails(ready) + period + seen),
        ("the application hangs", "SIGTERM",
         fails(live) + frozen, fails(live) + live["periodSeconds"] + seen),
        ("the application hangs", "SIGKILL, and started again",
         fails(live) + frozen + kill,
         fails(live) + live["periodSeconds"] + seen + kill),
        ("the application does not come up", "SIGTERM",
         fails(startup), fails(startup) + startup["periodSeconds"]),
    ]
    print("| what happens | what follows | after at least | at most |")
    print("|---|---|---|---|")
    for what, follows, least, most in rows:
        print("| %s | %s | %s | %s |" %
              (what, follows, words(least), words(most)))


def main():
    command, path, *rest = sys.argv[1:]
    docs = documents(path)
    if command == "probes":
        show_probes(docs)
    elif command == "conf":
        print(conf(docs), end="")
    elif command == "json":
        json.dump(docs, sys.stdout)
    elif command == "table":
        with open(rest[0]) as f:
            table(docs, f.read())
    else:
        sys.exit(__doc__)


main()
