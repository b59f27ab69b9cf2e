#include "config.h"

#include "base/failure.c"

#include "unit.h"

static void test_errno(void)
{
	struct failure failure = failure_errno(ECONNREFUSED);

	CHECK_INT(failure.code, RESULT_REFUSED);
	CHECK_STR(failure.words, "connection refused");
	CHECK_STR(failure.detail, "");
	failure = failure_errno(ELOOP);
	CHECK_INT(failure.code, RESULT_CONNECT);
	CHECK_STR(failure.words, "connection failed");
	CHECK(*failure.detail);
	failure = failure_errno_said("connect: Network is unreachable!", "x");
	CHECK_STR(failure.words, "network unreachable");
	failure = failure_errno_said("something else", "no answer");
	CHECK_INT(failure.code, RESULT_CONNECT);
	CHECK_STR(failure.words, "no answer");
}

static void test_peer(void)
{
	struct failure failure = failure_errno(EPIPE);
	char peer[2 * FAILURE_DETAIL_BYTES];

	failure_of_peer(&failure, "db port 1");
	CHECK_STR(failure.detail, "db port 1");
	failure_of_peer(&failure, "proxy");
	CHECK_STR(failure.detail, "proxy: db port 1");
	memset(peer, 'x', sizeof(peer));
	for (size_t len = FAILURE_DETAIL_BYTES - 5; len < sizeof(peer); len++) {
		peer[len] = '\0';
		failure_of_peer(&failure, peer);
		CHECK(strncmp(failure.detail, peer, FAILURE_DETAIL_BYTES - 1) ==
			      0 ||
		      strncmp(failure.detail, peer, len) == 0);
		CHECK(strlen(failure.detail) < FAILURE_DETAIL_BYTES);
		peer[len] = 'x';
	}
}

static void test_tls(void)
{
	struct failure failure;

	CHECK_STR(failure_verify(X509_V_ERR_PATH_LENGTH_EXCEEDED),
		  "TLS: certificate is not valid");
	CHECK_STR(failure_verify(X509_V_ERR_HOSTNAME_MISMATCH),
		  FAILURE_OTHER_HOST);
	failure = failure_tls("error:1:SSL routines::http request", "other");
	CHECK_INT(failure.code, RESULT_TLS);
	CHECK_STR(failure.words, "TLS: peer does not speak TLS");
	failure = failure_tls("", "other");
	CHECK_INT(failure.code, RESULT_TLS);
	CHECK_STR(failure.words, "other");
	CHECK_INT(failure_tls("", NULL).code, RESULT_UNKNOWN);
}

int main(void)
{
	test_errno();
	test_peer();
	test_tls();
	return unit_report();
}
