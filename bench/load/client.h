/* One TLS connection of the load generator: HTTP/1.1, one exchange at a time. Certificates are not verified. */
#ifndef CLIENT_H
#define CLIENT_H
#include <openssl/ssl.h>
#include <stdint.h>

typedef struct {
  SSL *tls;
  int fd;
  int length;     /* bytes of the answer that have come */
  int64_t sentNs; /* when its request left */
  char bytes[65537];
} Connection;

typedef struct {
  const char *host;    /* SNI and Host; may hold one %d for a name that is new each time */
  const char *address; /* dialled; null: what `host` resolves to */
  int port;
  const char *authorization;
} Target;

void prepareClient(void);
int64_t nowNs(void);

/* Connects and shakes hands; `name` is the SNI. 0, or -1 with nothing left open. */
int openConnection(Connection *, const Target *, const char *name);
/* Sends close_notify and waits until the other side has closed, too, or reset: so its work is done. -1: it does neither. */
int closeConnection(Connection *);
/* Drops it at once. */
void dropConnection(Connection *);

/* Writes a request head (and nothing of its body); `extra` are further header lines. Its length. */
int writeRequest(char *into, const Target *, const char *method, const char *path, const char *extra);
/* The status once the whole answer is in `bytes` (which then starts anew), 0 until then, -1 where it makes no sense. */
int takeAnswer(Connection *);
/* Reads one whole answer: its status, or -1. */
int readAnswer(Connection *);
/* Sends `request` first. */
int exchange(Connection *, const char *request, int length);
#endif
