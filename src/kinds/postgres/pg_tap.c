#include "config.h"

#include "kinds/postgres/pg_tap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* More than any login, with a chain of certificates, or any answer needs. */
#define PG_TAP_MAX_BYTES (128 * 1024)
/* A login takes at most four: SASL in three steps and the end. */
#define PG_TAP_AUTH_REQUESTS 16
/* About 15 ms of computing in one call; servers ask for 4096 unless told
 * otherwise (scram_iterations). */
#define PG_TAP_SCRAM_ROUNDS 20000
#define PG_TAP_SASL_CONTINUE 11

static uint32_t pg_tap_number(const void *bytes)
{
	const unsigned char *at = bytes;

	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

static void pg_tap_judge_auth(struct pg_tap *tap)
{
	const char *rounds = NULL;

	tap->auth[tap->auth_len] = '\0';
	/* server-first-message of RFC 5802 section 7: "r=...,s=...,i=4096" */
	if (tap->auth_len > 4 &&
	    pg_tap_number(tap->auth) == PG_TAP_SASL_CONTINUE)
		rounds = strstr(tap->auth + 4, ",i=");
	if (++tap->auth_requests > PG_TAP_AUTH_REQUESTS)
		tap->refused = "server asks for the password without end";
	else if (rounds && strtoul(rounds + 3, NULL, 10) > PG_TAP_SCRAM_ROUNDS)
		tap->refused = "server wants too many rounds of SCRAM";
}

/* libpq forgets the memory of the rows that it has when a COPY begins. */
static void pg_tap_judge_type(struct pg_tap *tap)
{
	if (memchr("TCEZ", tap->header[0], 4))
		tap->rows = tap->header[0] == 'T';
	else if (tap->rows && memchr("GHW", tap->header[0], 3))
		tap->refused = "COPY in the middle of rows";
}

static void pg_tap_judge_header(struct pg_tap *tap)
{
	uint32_t len = pg_tap_number(tap->header + 1);
	bool first = !tap->begun;

	tap->begun = true;
	tap->auth_len = 0;
	tap->left = len < 4 ? 0 : len - 4;
	/* A server that cannot fork, and one of another protocol, answer in
	 * text; libpq knows that and stops at 30,000 bytes. */
	if (tap->left > PG_TAP_MAX_BYTES && first)
		tap->left = SIZE_MAX;
	else if (tap->left > PG_TAP_MAX_BYTES)
		tap->refused = "answer too long";
	else
		pg_tap_judge_type(tap);
}

static bool pg_tap_is_auth(const struct pg_tap *tap)
{
	return tap->header[0] == 'R' && tap->left != SIZE_MAX;
}

/* Takes bytes of the body; returns how many. */
static size_t pg_tap_body(struct pg_tap *tap, const unsigned char *bytes,
			  size_t len)
{
	size_t take = len < tap->left ? len : tap->left, keep = take;

	if (pg_tap_is_auth(tap)) {
		if (keep > PG_TAP_AUTH_BYTES - tap->auth_len)
			keep = PG_TAP_AUTH_BYTES - tap->auth_len;
		memcpy(tap->auth + tap->auth_len, bytes, keep);
		tap->auth_len += keep;
	}
	if (tap->left != SIZE_MAX)
		tap->left -= take;
	return take;
}

static void pg_tap_feed(struct pg_tap *tap, const unsigned char *bytes,
			size_t len)
{
	size_t n;

	while (len && !tap->refused) {
		if (tap->head < sizeof(tap->header)) {
			tap->header[tap->head++] = *bytes++;
			len--;
			if (tap->head < sizeof(tap->header))
				continue;
			pg_tap_judge_header(tap);
		} else {
			n = pg_tap_body(tap, bytes, len);
			bytes += n;
			len -= n;
		}
		if (tap->left || tap->refused)
			continue;
		if (pg_tap_is_auth(tap))
			pg_tap_judge_auth(tap);
		tap->head = 0;
	}
}

static bool pg_tap_on_bytes(struct wire_tap *wire, const unsigned char *bytes,
			    size_t len, bool decrypted)
{
	struct pg_tap *tap = (struct pg_tap *)wire;

	if (!decrypted && (tap->bytes += wire_cost(len)) > PG_TAP_MAX_BYTES)
		tap->refused = "answer too long";
	/* With TLS, the bytes on the socket are encrypted. */
	if (PQsslInUse(tap->pg) && !decrypted)
		return !tap->refused;
	/* The answer to a request for TLS: one byte, or an old server's error,
	 * which libpq bounds.  libpq would take bytes after "N" for the start
	 * of the login. */
	if (PQstatus(tap->pg) == CONNECTION_SSL_STARTUP && !decrypted) {
		if (bytes[0] == 'N' && len > 1)
			tap->refused = "server speaks before it is asked";
		return !tap->refused;
	}
	pg_tap_feed(tap, bytes, len);
	return !tap->refused;
}

void pg_tap_enter(struct pg_tap *tap, PGconn *pg)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	/* libpq connects again by itself when the server refuses TLS, or
	 * insists on it, maybe on a descriptor of the same number. */
	getsockopt(PQsocket(pg), SOL_SOCKET, SO_COOKIE, &cookie, &len);
	if (cookie != tap->cookie)
		*tap = (struct pg_tap){ .cookie = cookie };
	tap->wire.on_bytes = pg_tap_on_bytes;
	tap->pg = pg;
	wire_tap_set(&tap->wire);
}

void pg_tap_leave(void)
{
	wire_tap_set(NULL);
}
