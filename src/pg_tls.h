/*
 * pg_tls: why a certificate was not accepted.
 *
 * libpq reports "certificate verify failed" without the reason and frees its
 * SSL object before we see the failure.  A reference of our own, taken while
 * the handshake is under way, outlives it and still knows.
 *
 * Belongs to the prober thread.
 */
#ifndef HEALTH_PG_TLS_H
#define HEALTH_PG_TLS_H

/* Takes a reference; ssl is what PQsslStruct(conn, "OpenSSL") gave. */
void *pg_tls_hold(void *ssl);
void pg_tls_release(void *ssl); /* NULL is allowed */

/* "certificate has expired"; NULL when the certificate was not at fault.
 * Static. */
const char *pg_tls_reason(void *ssl);

#endif
