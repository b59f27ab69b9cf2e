/*
 * pg_tls: why a certificate was not accepted, and which files are usable.
 *
 * libpq reports "certificate verify failed" without the reason, and by the
 * time we see the failure it has freed the SSL object that knew, often one
 * that was made in the same call.  OpenSSL lets us look at each SSL object
 * when it is freed.
 */
#ifndef HEALTH_PG_TLS_H
#define HEALTH_PG_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/failure.h"

/* Call at least once, in the main thread, before there are others. */
void pg_tls_listen(void);

/* Forgets what was recorded in this thread. */
void pg_tls_forget(void);

/* Of the SSL object that was freed last in this thread since pg_tls_forget();
 * RESULT_UNKNOWN: none, or its certificate was accepted.  Never NULL. */
const struct failure *pg_tls_reason(void);

/* Whether a PEM text can be read to its end and holds a certificate, or a
 * revocation list.  libpq ignores an sslcrl that it cannot read, and then
 * accepts revoked certificates. */
bool pg_tls_has_cert(const char *pem, size_t len);
bool pg_tls_has_crl(const char *pem, size_t len);

#endif
