#!/usr/bin/env python3
"""Many processes share their results, and any of them may be killed.

	stress.py PROGRAM DIRECTORY SECONDS

Starts PROGRAM 32 times with one configuration, each with a socket of its own
as descriptor 0, as mod_fcgid does, and now and then as CGI.  All are asked all
the time, while some are killed and started again, and some stopped for a
while.  What they check are fake dependencies in this very process, which work,
refuse and hang by turns; so the truth at any time is known, and each answer is
compared with it:

	- A result was true at some moment of the run that it came from.
	- It is not older than max_age and timeout allow, and the run did not
	  take longer than it may.
	- No request waits for longer than answer_within, and liveness never waits.
	- Startup, once over, is over in all processes.

At the end no process is killed for some seconds: then one process asks each
dependency, once in a max_age.  All times are those of CLOCK_MONOTONIC.
The last line has the counts; the exit status is 1 when something was wrong.
"""

import asyncio
import json
import logging
import os
import random
import re
import signal
import socket
import struct
import sys
import time

PROCESSES = 32
ANSWER_WITHIN = 3.0
# What a loaded machine may add to what is measured here.
SLACK = float(os.environ.get("STRESS_SLACK", "0.5"))
QUIET = 6.0
# What a process may be late for all that is written here: see SHARE_SLACK_MS.
LATE = 0.5

wrong = []
counts = {"answers": 0, "healthy": 0, "unhealthy": 0, "cut": 0, "kills": 0,
	   "stops": 0, "cgi": 0}


def complain(words):
	if len(wrong) < 20:
		print("wrong: %.3f %s" % (time.monotonic(), words), flush=True)
	wrong.append(words)


# ---- the dependencies: Redis servers that know one word

# They live in a process of their own, to be punctual whatever happens here.
# What they do when is known beforehand; what they saw, they write into a file.
class Dependency:
	def __init__(self, name, timeout, max_age):
		self.name, self.timeout, self.max_age = name, timeout, max_age
		self.truth = [(0.0, "up")]
		self.socket = socket.create_server(("127.0.0.1", 0))
		self.port = self.socket.getsockname()[1]

	# Each state is there for longer than a result lives.
	def plan(self, begin, end):
		while begin < end:
			begin += random.uniform(1, 3)
			self.truth.append((begin,
					   random.choice(["down", "hang"])))
			begin += random.uniform(.5, 2.5)
			self.truth.append((min(begin, end), "up"))

	def state(self):
		now = time.monotonic()
		return [state for since, state in self.truth if since <= now][-1]

	# Whether it was in one of these states at some moment.
	def was(self, states, begin, end):
		for i, (since, state) in enumerate(self.truth):
			until = (self.truth[i + 1][0]
				 if i + 1 < len(self.truth) else float("inf"))
			if state in states and since <= end and until >= begin:
				return True
		return False

	def note(self, what, value=0):
		events.write("%s %s %f %f\n" % (self.name, what,
						time.monotonic(), value))

	async def serve(self, reader, writer):
		self.note("opened")
		try:
			while await reader.read(4096):
				self.note("asked")
				await asyncio.sleep(random.uniform(.02, .05))
				state = self.state()
				if state == "up":
					writer.write(b"+PONG\r\n")
				elif state == "down":
					writer.write(b"-LOADING not yet\r\n")
		except OSError:
			pass
		finally:
			self.note("closed")
			writer.close()

	async def run(self):
		await asyncio.start_server(self.serve, sock=self.socket)
		while True:
			then = time.monotonic()
			await asyncio.sleep(.02)
			late = time.monotonic() - then - .02
			if late > .05:
				self.note("late", late)


dependencies = {
	"backend": Dependency("backend", .5, 1.0),
	"quick": Dependency("quick", .4, .2),
}


async def run_dependencies():
	await asyncio.gather(*(dependency.run() for dependency in
			       dependencies.values()))


def start_dependencies():
	pid = os.fork()
	if pid == 0:
		try:
			asyncio.run(run_dependencies())
		finally:
			os._exit(1)
	for dependency in dependencies.values():
		dependency.socket.close()
	return pid


# (when, value) of all events of a sort
def happened(name, what):
	with open(events.name) as file:
		lines = [line.split() for line in file]
	return [(float(line[2]), float(line[3])) for line in lines
		if line[:2] == [name, what]]


# ---- answers

def check_result(source, name, result, sent, received):
	dependency = dependencies[name]
	latency = result["latency_ms"] / 1000
	age = result.get("age_ms", 0) / 1000
	code = result.get("code", "ok")
	begin = (sent if "age_ms" not in result else sent - age) - latency - .01
	end = received - age + .01
	what = "%s: %s after %.3f s: %s" % (source, name, received - sent, result)

	if age > dependency.max_age + dependency.timeout + SLACK:
		complain("too old: " + what)
	if result["healthy"]:
		counts["healthy"] += 1
		if not dependency.was(("up",), begin, end):
			complain("it was not up: " + what)
		if latency > dependency.timeout + LATE + SLACK:
			complain("the run took too long: " + what)
		return
	counts["unhealthy"] += 1
	if code == "busy":
		if not dependency.was(("down",), begin, end):
			complain("it was not down: " + what)
	elif code == "timeout" or code == "unknown":
		if not dependency.was(("hang", "down"), begin - .1, end):
			doubts.append((name, begin, end, what))
	else:
		complain("unexpected code: " + what)


# Results that call a dependency hung when it was not.  That is allowed if it did
# not get the processor in time.
doubts = []


def check_doubts():
	for name, begin, end, what in doubts:
		if not any(begin <= at and at - late <= end
			   for at, late in happened(name, "late")):
			complain("it did not hang: " + what)


started = False


def check_answer(source, path, status, body, sent, received):
	global started

	counts["answers"] += 1
	try:
		answer = json.loads(body)
	except ValueError:
		complain("%s %s: %s: %.200r" % (source, path, status, body))
		return
	checks = answer.get("checks", {})
	if path == "/health/live":
		if status != 200:
			complain("%s: liveness is %s" % (source, status))
	elif path == "/health/started":
		if status == 200:
			started = True
		elif started:
			complain("%s: not started any more: %s" % (source, body))
	elif ((status == 200) !=
	      all(result["healthy"] for result in checks.values()) or
	      not checks):
		complain("%s %s: %s with %s" % (source, path, status, body))
	for name, result in checks.items():
		check_result(source, name, result, sent, received)


def parse(output):
	head, _, body = output.partition(b"\r\n\r\n")
	status = re.search(rb"^Status: (\d+)", head, re.M)
	return (int(status.group(1)) if status else 200), body


# ---- FastCGI

def record(kind, content=b""):
	return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name, value):
	return (bytes([len(name), len(value)]) + name.encode() +
		value.encode())


def environment(path):
	return {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/health",
		"PATH_INFO": path[len("/health"):], "REMOTE_ADDR": "127.0.0.1",
		"SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "localhost",
		"SERVER_PORT": "80", "GATEWAY_INTERFACE": "CGI/1.1"}


def request(path):
	params = b"".join(pair(*item) for item in environment(path).items())
	return (record(1, struct.pack(">HB5x", 1, 0)) + record(4, params) +
		record(4) + record(5))


# None when it was cut off.
async def ask_socket(path, where):
	output = b""
	try:
		reader, writer = await asyncio.open_unix_connection(where)
	except OSError:
		return None
	try:
		writer.write(request(path))
		while True:
			header = await reader.readexactly(8)
			kind, length, padding = struct.unpack(">xBxxHBx",
							      header)
			content = await reader.readexactly(length + padding)
			if kind == 6:
				output += content[:length]
			elif kind == 3:
				return output
	except (OSError, asyncio.IncompleteReadError):
		return None
	finally:
		writer.close()


# ---- processes

class Process:
	def __init__(self, number):
		self.name = "process %d" % number
		self.where = "%s/%d.sock" % (directory, number)
		self.socket = socket.socket(socket.AF_UNIX)
		self.socket.bind(self.where)
		self.socket.listen(64)
		self.touched = 0.0  # killed, started, stopped or continued
		self.stopped = False
		self.gone = False

	async def start(self):
		self.touched = time.monotonic()
		self.process = await asyncio.create_subprocess_exec(
			program, "--config", config, stdin=self.socket,
			stdout=log, stderr=log)
		self.gone = False

	async def kill(self):
		counts["kills"] += 1
		self.gone = True
		self.touched = time.monotonic()
		self.process.kill()
		await self.process.wait()
		self.stopped = False
		await asyncio.sleep(random.uniform(0, .3))
		await self.start()

	async def stop(self):
		process = self.process
		counts["stops"] += 1
		self.stopped = True
		self.touched = time.monotonic()
		process.send_signal(signal.SIGSTOP)
		await asyncio.sleep(random.choice([.05, .3, 1, 3]))
		if process is self.process and not self.gone:
			self.touched = time.monotonic()
			self.stopped = False
			process.send_signal(signal.SIGCONT)


# A process may be late as long as this one is, which shows how busy the
# machine is.
lags = [(0.0, 0.0)]


async def watch_lag():
	while True:
		then = time.monotonic()
		await asyncio.sleep(.02)
		now = time.monotonic()
		lags.append((now, now - then - .02))


def lag_since(then):
	return max([lag for now, lag in lags[-3000:] if now >= then] or [0])


PATHS = (["/health/ready"] * 14 + ["/health/ready/backend"] * 2 +
	 ["/health/ready/quick"] + ["/health/live"] * 2 + ["/health/started"])
lively = []


async def ask(process):
	path = random.choice(PATHS)
	untouched = process.touched
	calm = not process.stopped
	sent = time.monotonic()
	output = await ask_socket(path, process.where)
	received = time.monotonic()
	calm = calm and process.touched == untouched and not process.stopped
	if output is None:
		counts["cut"] += 1
		if calm and sent - untouched > 1:
			complain("%s: no answer to %s" % (process.name, path))
		return
	status, body = parse(output)
	check_answer(process.name, path, status, body, sent, received)
	if calm and sent - untouched > 1:
		took = received - sent
		limit = .5 if path == "/health/live" else ANSWER_WITHIN
		if path == "/health/live":
			lively.append(took)
		if took > limit + SLACK + 2 * lag_since(sent):
			complain("%s: %s took %.3f s" % (process.name, path,
							 took))


async def ask_always(process, until):
	while time.monotonic() < until:
		await asyncio.gather(ask(process),
				     asyncio.sleep(random.uniform(0, .4)))


async def ask_cgi(doomed):
	path = random.choice(PATHS)
	sent = time.monotonic()
	process = await asyncio.create_subprocess_exec(
		program, stdin=asyncio.subprocess.DEVNULL,
		stdout=asyncio.subprocess.PIPE, stderr=log,
		env={**environment(path), "HEALTH_CONF": config})
	if doomed:
		await asyncio.sleep(random.uniform(0, .1))
		if process.returncode is None:
			process.kill()
	output, _ = await process.communicate()
	received = time.monotonic()
	if doomed:
		return
	counts["cgi"] += 1
	status, body = parse(output)
	check_answer("CGI", path, status, body, sent, received)
	if received - sent > ANSWER_WITHIN + .5 + SLACK + 2 * lag_since(sent):
		complain("CGI: %s took %.3f s" % (path, received - sent))


async def ask_cgi_always(until):
	while time.monotonic() < until:
		await ask_cgi(random.random() < .3)
		await asyncio.sleep(random.uniform(0, .3))


# ---- trouble

# One that stands still is killed, too, but not stopped again.
def some_process(processes, stopped_too):
	calm = [process for process in processes if not process.gone and
		(stopped_too or not process.stopped)]
	return random.choice(calm) if calm else None


async def kill_some(processes, until):
	tasks = []
	while time.monotonic() < until:
		process = some_process(processes, True)
		if process:
			tasks.append(asyncio.create_task(process.kill()))
		await asyncio.sleep(random.uniform(.03, .2))
	await asyncio.gather(*tasks)


async def stop_some(processes, until):
	tasks = []
	while time.monotonic() < until:
		process = some_process(processes, False)
		if process:
			tasks.append(asyncio.create_task(process.stop()))
		await asyncio.sleep(random.uniform(.2, .8))
	await asyncio.gather(*tasks)


# ---- all of it

def count(name, what, since, until):
	return sum(since <= at < until for at, _ in happened(name, what))


def check_quiet(since, until):
	for name, dependency in dependencies.items():
		asked = count(name, "asked", since, until)
		opened = count(name, "opened", since, until)
		remain = (count(name, "opened", 0, until) -
			  count(name, "closed", 0, until))
		windows = (until - since) / dependency.max_age
		counts[name + "_windows"] = round(windows)
		counts[name + "_questions"] = asked
		counts[name + "_opened"] = opened
		counts[name + "_open"] = remain
		# Asked ahead of time, by what the last answer took: of a short
		# max_age that is a larger part.
		ahead = 1 / 16 + .06 / dependency.max_age
		if asked > windows * max(1.1, 1 / (1 - ahead)) + 2:
			complain("%s: asked %d times in %d windows" %
				 (name, asked, windows))
		if opened > 2 or remain > 2:
			complain("%s: %d connections, %d new ones" %
				 (name, remain, opened))


def check_left(processes):
	files = os.listdir(state)
	sizes = [os.stat(os.path.join(state, file)).st_size for file in files]
	counts["left"] = len(files)
	if len(files) > 1 or sum(sizes) > 65536:
		complain("left: %s of %s bytes" % (files, sizes))
	for process in processes:
		if process.process.returncode != 0:
			complain("%s ended with %s" % (
				process.name, process.process.returncode))


async def end(process):
	process.process.terminate()
	try:
		await asyncio.wait_for(process.process.wait(), 10)
	except asyncio.TimeoutError:
		complain(process.name + " does not end")
		process.process.kill()
		await process.process.wait()


def configure():
	with open(config, "w") as file:
		file.write("[health]\nstate_dir = %s\nanswer_within = %ds\n" %
			   (state, ANSWER_WITHIN))
		for name, dependency in dependencies.items():
			file.write("[%s]\nkind = redis\n"
				   "url = redis://127.0.0.1:%d\n"
				   "timeout = %dms\nmax_age = %dms\n" %
				   (name, dependency.port,
				    dependency.timeout * 1000,
				    dependency.max_age * 1000))


async def main(calm):
	lag = asyncio.create_task(watch_lag())
	processes = [Process(number) for number in range(PROCESSES)]
	await asyncio.gather(*(process.start() for process in processes))
	asking = [asyncio.create_task(ask_always(process, calm + QUIET + 2))
		  for process in processes]
	await asyncio.gather(
		kill_some(processes, calm), stop_some(processes, calm),
		ask_cgi_always(calm))
	# What was begun when there was trouble is to end.
	await asyncio.sleep(2)
	quiet = time.monotonic()
	await asyncio.sleep(QUIET)
	check_quiet(quiet, time.monotonic())
	await asyncio.gather(*asking)
	await asyncio.gather(*(end(process) for process in processes))
	lag.cancel()
	check_left(processes)
	check_doubts()
	lively.sort()
	counts["liveness_p99_ms"] = round(
		lively[len(lively) * 99 // 100] * 1000) if lively else -1
	counts["lag_ms"] = round(lag_since(0) * 1000)
	counts["wrong"] = len(wrong)
	print(" ".join("%s=%s" % item for item in counts.items()))


program, directory, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
config, state = directory + "/health.conf", directory + "/state"
log = open(directory + "/log", "a")
events = open(directory + "/events", "a", buffering=1)
# It minds that a killed process may be gone before it hears of it.
logging.getLogger("asyncio").setLevel(logging.ERROR)
configure()
begin = time.monotonic() + 2
for dependency in dependencies.values():
	dependency.plan(begin, begin + seconds)
pid = start_dependencies()
try:
	asyncio.run(main(begin + seconds))
finally:
	os.kill(pid, signal.SIGKILL)
	os.waitpid(pid, 0)
sys.exit(1 if wrong else 0)
