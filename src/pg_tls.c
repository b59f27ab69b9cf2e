#include "config.h"

#include "pg_tls.h"

#include "tls_words.h"

#include <stdbool.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

static _Thread_local long pg_tls_result = X509_V_OK;

static void pg_tls_on_free(void *ssl, void *data, CRYPTO_EX_DATA *all,
			   int index, long number, void *pointer)
{
	(void)data, (void)all, (void)index, (void)number, (void)pointer;
	pg_tls_result = SSL_get_verify_result(ssl);
}

void pg_tls_listen(void)
{
	static bool listening;

	/* Without memory for it the reason is not told. */
	if (!listening)
		listening = SSL_get_ex_new_index(0, NULL, NULL, NULL,
						 pg_tls_on_free) >= 0;
}

void pg_tls_forget(void)
{
	pg_tls_result = X509_V_OK;
}

const char *pg_tls_reason(void)
{
	return pg_tls_result == X509_V_OK ? NULL
					  : tls_words_verify(pg_tls_result);
}
