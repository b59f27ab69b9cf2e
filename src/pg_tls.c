#include "config.h"

#include "pg_tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

void *pg_tls_hold(void *ssl)
{
	return SSL_up_ref(ssl) == 1 ? ssl : NULL;
}

void pg_tls_release(void *ssl)
{
	SSL_free(ssl);
}

const char *pg_tls_reason(void *ssl)
{
	long reason = SSL_get_verify_result(ssl);

	return reason == X509_V_OK ? NULL
				   : X509_verify_cert_error_string(reason);
}
