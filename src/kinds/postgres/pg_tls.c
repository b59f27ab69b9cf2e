#include "config.h"

#include "kinds/postgres/pg_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static _Thread_local struct failure pg_tls_failure;

static void pg_tls_on_free(void *ssl, void *data, CRYPTO_EX_DATA *all,
			   int index, long number, void *pointer)
{
	(void)data, (void)all, (void)index, (void)number, (void)pointer;
	pg_tls_failure = failure_handshake(ssl);
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
	pg_tls_failure.code = RESULT_UNKNOWN;
}

const struct failure *pg_tls_reason(void)
{
	return &pg_tls_failure;
}

/* OpenSSL would ask the terminal. */
static int pg_tls_no_passphrase(char *to, int size, int writing, void *data)
{
	(void)to, (void)size, (void)writing, (void)data;
	return 0;
}

/* As OpenSSL reads such a file for libpq: one broken part spoils it all. */
static void pg_tls_count(const char *pem, size_t len, int *certs, int *crls)
{
	BIO *text = BIO_new_mem_buf(pem, (int)len);
	STACK_OF(X509_INFO) *all = NULL;
	const X509_INFO *info;
	int i;

	*certs = *crls = 0;
	if (text)
		all = PEM_X509_INFO_read_bio(text, NULL, pg_tls_no_passphrase,
					     NULL);
	for (i = 0; i < sk_X509_INFO_num(all); i++) {
		info = sk_X509_INFO_value(all, i);
		*certs += info->x509 != NULL;
		*crls += info->crl != NULL;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(text);
	ERR_clear_error();
}

bool pg_tls_has_cert(const char *pem, size_t len)
{
	int certs, crls;

	pg_tls_count(pem, len, &certs, &crls);
	return certs > 0;
}

bool pg_tls_has_crl(const char *pem, size_t len)
{
	int certs, crls;

	pg_tls_count(pem, len, &certs, &crls);
	return crls > 0;
}
