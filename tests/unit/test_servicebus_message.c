#include "config.h"

#include "kinds/servicebus/sb_message.c"

#include "unit.h"

#include <stdlib.h>

/* The expected tokens were made with Python's hmac and urllib. */
static void test_tokens(void)
{
	char token[SB_TOKEN_BYTES];

	CHECK_INT(sb_sas_token(
			  token, sizeof(token),
			  "sb://ns.servicebus.windows.net/orders/$management",
			  "RootManageSharedAccessKey",
			  "cm9vdC1rZXktb2YtdGhlLWZha2U=", 1700000000),
		  0);
	CHECK_STR(token, "SharedAccessSignature sr=sb%3A%2F%2Fns.servicebus."
			 "windows.net%2Forders%2F%24management&sig=YVLINgZ5c"
			 "PCite3eUVRxree4K20eabAtF9DGKm8tIzE%3D&se=170000000"
			 "0&skn=RootManageSharedAccessKey");
	CHECK_INT(
		sb_sas_token(token, sizeof(token), "sb://h/a b", "n&m", "k", 1),
		0);
	CHECK_STR(token, "SharedAccessSignature sr=sb%3A%2F%2Fh%2Fa%20b&sig="
			 "bDFrNTD7mV1gpEIvvI0cyw%2BKE4I%2BJEHSs8%2FM0%2FPgFd"
			 "M%3D&se=1&skn=n%26m");
}

/* RFC 4231 section 4.3, in base64 and percent-encoded. */
static void test_hmac(void)
{
	char signature[256];

	CHECK_INT(sb_sas_sign(signature, sizeof(signature),
			      "what do ya want for nothing?", "Jefe"),
		  0);
	CHECK_STR(signature, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM%3D");
}

static void test_limits(void)
{
	char token[SB_TOKEN_BYTES], small[64], audience[4096];
	size_t len;

	CHECK_INT(sb_sas_token(small, sizeof(small), "sb://h/q", "name", "key",
			       1),
		  -1);
	/* Whatever its length: it fits, or that is said. */
	for (len = 0; len < sizeof(audience) - 1; len++) {
		memset(audience, len % 2 ? '/' : 'a', len);
		audience[len] = '\0';
		if (sb_sas_token(token, sizeof(token), audience, "n", "k", 1))
			continue;
		CHECK(strlen(token) < sizeof(token));
		CHECK(len < SB_AUDIENCE_BYTES);
	}
	memset(audience, '/', 300);
	audience[300] = '\0';
	CHECK_INT(sb_sas_token(token, sizeof(token), "sb://h/q", audience, "k",
			       1),
		  -1);
}

int main(void)
{
	test_tokens();
	test_hmac();
	test_limits();
	return unit_report();
}
