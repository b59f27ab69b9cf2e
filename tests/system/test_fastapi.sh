#!/bin/bash
# examples/fastapi as it is shipped, but for places and ports: Debian's nginx in
# front, the application by uvicorn, health.fcgi beside it.  Each row of the table in
# its README happens here.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/stock.sh"
# Debian's, whose packages are meant
python=/usr/bin/python3
need nginx curl jq postgres psql
"$python" -c 'import fastapi, uvicorn' 2>/dev/null ||
	skip "python3-fastapi and python3-uvicorn are not installed"

example=$HEALTH_SRCDIR/examples/fastapi

oneTimeSetUp() {
	start_postgres || return
	app_port=$(free_port)
	mkdir "$scratch/run"
	head -c 100000 /dev/zero >"$scratch/model"
	export DATABASE_URL=$database_url MODEL_PATH=$scratch/model \
		MODEL_MARKER=$scratch/run/model-loaded

	here "$example/health.conf" >"$scratch/health.conf"
	start_health --config "$scratch/health.conf" || return
	here "$HEALTH_SRCDIR/nginx/health-upstream.conf" >"$scratch/upstream.conf"
	stock nginx nginx-common
	here "$example/nginx.conf" >"$etc/nginx/conf.d/shop.conf"
	: >"$scratch/site.conf"
	start_stock_nginx "$scratch/site.conf"
}

# here FILE: with the places and ports of this test
here() {
	sed "s|/usr/local/share/doc/health-fcgi/examples/nginx/health-upstream.conf|$scratch/upstream.conf|
		s|/usr/local/share/doc/health-fcgi/examples|$HEALTH_SRCDIR|
		s|/run/health-fcgi/health.sock|$health_socket|
		s|/run/shop|$scratch/run|
		s|127.0.0.1:8080|127.0.0.1:$app_port|
		s|^interval = 5s|interval = 500ms|" "$1"
}

# start_application SECONDS: its model takes so long to load
start_application() {
	MODEL_SECONDS=$1 PYTHONDONTWRITEBYTECODE=1 start application TERM \
		"$python" -m uvicorn app:app --app-dir "$example" \
		--host 127.0.0.1 --port "$app_port"
	wait_for listening "$app_port"
}

says() {
	ask "$url$1"
	[ "$status" = "$2" ]
}

# model_is WORDS: the error of its check
model_is() {
	ask "$url/health/ready/embedding_model"
	[[ $(json .checks.embedding_model.error) == *"$1"* ]]
}

# The row of the table: statuses of liveness, startup and readiness
row() {
	wait_for says /health "$1" || fail "liveness is not $1: $body"
	assert_whole
	wait_for says /health/started "$2" || fail "startup is not $2: $body"
	assert_whole
	wait_for says /health/ready "$3" || fail "readiness is not $3: $body"
	assert_whole
}

answers_json() {
	ask "$url/health"
	[ "$(header Content-Type)" = application/json ]
}

# The head of nginx.conf and the README tell to remove it.
test_beside_the_default_site() {
	ask "$url/health" -H 'Host: shop.example.org'
	assert_whole
	ask "$url/health" -H 'Host: shop.example.org' -I
	assert_header Content-Type application/json
	ask "$url/health"
	assert_status 404
	assertEquals '' "$(grep -L 'rm /etc/nginx/sites-enabled/default' \
		"$example/README.md")"
	rm "$etc/nginx/sites-enabled/default"
	kill -HUP "$(pid_of nginx)"
	wait_for answers_json || fail "by address: $status $body"
	ask "$url/health" -H 'Host: any.example.org'
	assert_header Content-Type application/json
}

test_all_rows() {
	# Only the responder runs yet.
	ask "$url/health/started"
	assert_status 503

	start_application 600
	wait_for says /health/ready/application 200 || fail 'no application'
	row 200 503 503
	ask "$url/health/started"
	assert_json '.waiting_for | join(" ")' embedding_model
	ask "$url/embed?text=x"
	assert_status 503
	ask "$url/ping"
	assert_status 200

	# A marker of a process that has ended does not count.
	stop application
	(exit) &
	echo $! >"$MODEL_MARKER"
	wait $!
	wait_for model_is 'of the marker is gone' ||
		fail "the marker counts: $body"
	assert_status 503

	start_application 0.5
	row 200 200 200
	ask "$url/health/ready"
	assert_json '.checks | keys_unsorted | join(" ")' \
		'application embedding_model database'
	ask "$url/embed?text=x"
	assert_status 200
	assert_json '.embedding | length' 32
}

test_database_is_away() {
	stop postgres
	row 200 200 503
	assert_json '[.checks[] | .healthy] | tostring' '[true,true,false]'
	ask "$url/embed?text=x"
	assert_status 200
	start_postgres
	row 200 200 200
}

test_application_hangs() {
	freeze application
	row 503 200 503
	ask "$url/health"
	assert_json .status not_alive
	assert_json '.checks | keys | join(" ")' application
	assert_json .checks.application.code timeout
	thaw application
	row 200 200 200
}

test_application_crashes() {
	stop application KILL
	row 503 200 503
	ask "$url/health"
	assert_json .status not_alive
	wait_for model_is 'of the marker is gone' ||
		fail "the model is not lost: $body"
	start_application 0
	row 200 200 200
}

. "$SHUNIT2"
