#!/bin/bash
# The kinds that look at this machine, file and model, and the effect of `live` on
# them.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq

test_file() {
	local name code words

	printf 'the cache is done\n' >"$scratch/good"
	: >"$scratch/empty"
	touch -d '-1 hour' "$scratch/old"
	touch -d '+1 day' "$scratch/future"
	mkdir "$scratch/directory"
	mkfifo "$scratch/pipe"
	ln -s good "$scratch/link"
	ln -s round "$scratch/round"
	{
		while IFS='|' read -r name code words; do
			printf '[%s]\nkind = file\npath = %s/%s\n%s\n' \
				"$name" "$scratch" "$code" "${words//;/$'\n'}"
		done <<-END
			good|good|
			all|good|max_age = 1h;min_size = 18;contains = is done
			link|link|
			empty|empty|
			old_enough|old|max_age = 2h
			nothing|nothing|
			below_a_file|good/below|
			directory|directory|
			pipe|pipe|
			too_small|good|min_size = 19
			too_old|old|max_age = 30m
			future|future|max_age = 1m
			text|good|contains = is not done
			text_of_a_pipe|pipe|contains = x
			round|round|
		END
	} >"$scratch/files"
	serve <"$scratch/files"
	probe /health/ready
	assert_status 503
	assert_whole
	assert_took 0 500
	for name in good all link empty old_enough; do
		assert_healthy "$name"
	done
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done <<-END
		nothing|missing|file does not exist
		below_a_file|missing|file does not exist
		directory|mismatch|not a regular file
		pipe|mismatch|not a regular file
		too_small|mismatch|smaller than 19 bytes: 18
		too_old|stale|
		future|stale|modification time is in the future
		text|mismatch|
		text_of_a_pipe|mismatch|not a regular file
		round|internal|file cannot be read
	END
	assertContains 'how old' "$(json .checks.too_old.error)" \
		'older than 30m'
}

test_file_comes_and_goes() {
	serve <<-END
		[beat]
		kind = file
		path = $scratch/beat
		max_age = 2s
	END
	probe /health/started
	assert_status 503
	assert_json .status starting
	assert_json '.waiting_for[0]' beat
	touch "$scratch/beat"
	wait_for answers /health/started 200
	wait_for check_says beat stale
	assert_status 503
	touch "$scratch/beat"
	wait_for check_says beat ok
	assert_status 200
	rm "$scratch/beat"
	wait_for check_says beat missing
	assert_status 503
}

# A process that has a file mapped: its own program.
start_application() {
	rm -f "$scratch/model"
	cp "$(command -v sleep)" "$scratch/model"
	start application TERM "$scratch/model" 600
	wait_for maps_model
	pid_of application >"$scratch/loaded"
}

maps_model() {
	grep -q "$scratch/model" "/proc/$(pid_of application)/maps"
}

test_model() {
	local name code words zombie

	start_application
	# A zombie: its parent was a shell, and is now tail, which does not wait
	# for it.
	# shellcheck disable=SC2016
	start parent TERM bash -c '
		until grep -qx tail "/proc/$$/comm"; do :; done &
		echo $! >"$0"
		exec tail -f /dev/null' "$scratch/zombie.pid"
	wait_for [ -s "$scratch/zombie.pid" ]
	zombie=$(cat "$scratch/zombie.pid")
	wait_for gone "$zombie"
	: >"$scratch/empty"
	mkdir -p "$scratch/model-directory" "$scratch/empty-directory/.cache"
	echo '{}' >"$scratch/model-directory/config.json"
	mkfifo "$scratch/model-pipe"
	echo ready >"$scratch/words"
	echo 4194303 >"$scratch/gone"
	echo other >"$scratch/other"
	{
		while IFS='|' read -r name words; do
			printf '[%s]\nkind = model\n%s\n' "$name" \
				"${words//;/$'\n'}"
		done <<-END
			file|path = $scratch/model
			marker|marker = $scratch/loaded
			marker_words|marker = $scratch/words
			mapped|marker = $scratch/loaded;mapped = $scratch/model
			all|path = $scratch/model;marker = $scratch/loaded;mapped = $scratch/model
			no_file|path = $scratch/nothing
			empty_file|path = $scratch/empty
			directory|path = $scratch/model-directory
			empty_directory|path = $scratch/empty-directory
			no_model|path = $scratch/model-pipe
			mapped_directory|marker = $scratch/loaded;mapped = $scratch/model-directory
			no_marker|marker = $scratch/nothing
			gone|marker = $scratch/gone
			zombie|marker = $scratch/zombie.pid
			not_mapped|marker = $scratch/loaded;mapped = $scratch/other
			no_number|marker = $scratch/words;mapped = $scratch/model
		END
	} >"$scratch/models"
	serve <"$scratch/models"
	probe /health/ready
	assert_status 503
	assert_whole
	for name in file directory marker marker_words mapped all; do
		assert_healthy "$name"
	done
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done <<-END
		no_file|missing|model file does not exist
		empty_file|mismatch|model file is empty
		empty_directory|mismatch|model directory has no file with content
		no_model|mismatch|model is not a regular file
		mapped_directory|mismatch|model is not a regular file
		no_marker|missing|not loaded yet: marker file does not exist
		gone|missing|process 4194303 of the marker is gone
		zombie|missing|process $zombie is a zombie
		not_mapped|mismatch|model file is not mapped by process $(pid_of application)
		no_number|mismatch|marker file holds no process id
	END
	assertNotContains 'a path in the body' "$body" "$scratch"
	stop parent
	stop application
}

# The writer of a marker runs in another pid namespace, as in a container: its
# process id belongs to another process here.
test_marker_of_a_container() {
	local flags='--fork --pid --mount-proc'

	# shellcheck disable=SC2086
	if ! unshare $flags true 2>/dev/null; then
		flags="--map-root-user $flags"
		# shellcheck disable=SC2086
		if ! unshare $flags true 2>/dev/null; then
			startSkipping
			assertTrue 'no right to make a pid namespace' true
			endSkipping
			return
		fi
	fi
	# shellcheck disable=SC2016,SC2086
	unshare $flags bash -c '
		echo $$ >"$0/number"
		read -r stat </proc/$$/stat
		set -- ${stat##*) }
		echo "$$ start=${20}" >"$0/start"
		echo "loaded by $$" >"$0/text"' "$scratch"
	assertEquals 'the number' 1 "$(cat "$scratch/number")"
	cat >"$scratch/models" <<-END
		[number]
		kind = model
		marker = $scratch/number
		[start]
		kind = model
		marker = $scratch/start
		[text]
		kind = model
		marker = $scratch/text
	END
	serve <"$scratch/models"
	probe /health/ready
	assert_failed number mismatch \
		"process 1 of the marker may be any container's: write start=, too"
	assert_failed start missing \
		'process 1 did not write the marker: it started at another time'
	assert_healthy text
	stop health
	# Where this program is the first process of a container.
	# shellcheck disable=SC2016,SC2086
	unshare $flags bash -c 'touch "$1"; exec "$0" "${@:2}"' "$HEALTH" \
		"$scratch/number" --config "$scratch/models" --once ready \
		>"$scratch/once" 2>/dev/null
	assertContains 'its own number' "$(cat "$scratch/once")" \
		'is health.fcgi: written in another container?'
}

# Its process id was reused by a later process.
test_marker_before_its_process() {
	start later TERM tail -f /dev/null
	pid_of later >"$scratch/later"
	touch -d '-1 minute' "$scratch/later"
	serve <<-END
		[later]
		kind = model
		marker = $scratch/later
	END
	probe /health/ready
	assert_failed later missing
	touch "$scratch/later"
	wait_for check_says later ok
	stop health
	stop later
}

# Liveness fails when the application dies, and for no other reason.
test_live_model() {
	start_application
	serve <<-END
		[health]
		service = application
		[model]
		kind = model
		marker = $scratch/loaded
		live = yes
		interval = 100ms
		[database]
		kind = redis
		url = redis://127.0.0.1:$(free_port)
	END
	wait_for answers /health/ready/model 200
	probe /health
	assert_status 200
	assertEquals '{"status":"alive","service":"application"}' "$body"
	probe /health/ready
	assert_status 503
	assert_healthy model

	stop application KILL
	wait_for answers /health 503
	assert_status 503
	assert_whole
	assert_json .status not_alive
	assert_json '.checks | keys | join(" ")' model
	assert_failed model missing
	assert_took 0 200
	probe /health/live
	assert_status 503

	start_application
	wait_for answers /health 200
	assert_json .status alive
	stop application
}

# A frozen worker of a server that still runs.
test_live_http() {
	start_peer worker <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		loop
	END
	serve <<-END
		[worker]
		kind = http
		url = http://127.0.0.1:$peer_port/ping
		live = yes
		interval = 200ms
		timeout = 300ms
	END
	wait_for answers /health/ready 200
	probe /health
	assert_status 200
	freeze worker
	wait_for answers /health 503
	assert_json .status not_alive
	assert_failed worker timeout
	assert_took 0 200
	# Liveness never waits, whatever the worker does.
	for _ in 1 2 3 4 5; do
		probe /health
		assert_status 503
		assert_took 0 200
	done
	thaw worker
	wait_for answers /health 200
	stop worker
	wait_for answers /health 503
	assert_failed worker refused
	stop health
}

# Until there is a first result, liveness does not fail.
test_live_before_the_first_result() {
	start_peer silent <<-'END'
		silent
	END
	serve <<-END
		[worker]
		kind = http
		url = http://127.0.0.1:$peer_port/
		live = yes
		interval = 1m
		timeout = 2s
	END
	probe /health
	assert_status 200
	assert_took 0 200
	wait_for answers /health 503
	stop health
	stop silent
}

. "$SHUNIT2"
