#define _GNU_SOURCE
#include "client.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static SSL_CTX *context;

void prepareClient(void) {
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x08http/1.1", 9);
}

int64_t nowNs(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int dial(const Target *target) {
  struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
  char port[8];
  snprintf(port, sizeof port, "%d", target->port);
  if (getaddrinfo(target->address ? target->address : target->host, port, &hints, &found)) return -1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  struct timeval patience = {10, 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int failed = connect(fd, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (failed) close(fd);
  return failed ? -1 : fd;
}

int openConnection(Connection *it, const Target *target, const char *name) {
  it->length = 0;
  it->fd = dial(target);
  if (it->fd < 0) return -1;
  it->tls = SSL_new(context);
  SSL_set_fd(it->tls, it->fd);
  SSL_set_tlsext_host_name(it->tls, name);
  if (SSL_connect(it->tls) == 1) return 0;
  dropConnection(it);
  return -1;
}

int closeConnection(Connection *it) {
  char rest[1024];
  SSL_shutdown(it->tls);
  ssize_t got;
  while ((got = read(it->fd, rest, sizeof rest)) > 0) {}
  int late = got < 0 && errno == EAGAIN;
  dropConnection(it);
  return late ? -1 : 0;
}

void dropConnection(Connection *it) {
  struct linger atOnce = {1, 0};
  setsockopt(it->fd, SOL_SOCKET, SO_LINGER, &atOnce, sizeof atOnce);
  SSL_free(it->tls);
  close(it->fd);
}

int writeRequest(char *into, const Target *target, const char *method, const char *path, const char *extra) {
  return sprintf(into,
                 "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: clrk-bench/1\r\nAccept: application/json\r\n"
                 "Authorization: %s\r\nContent-Type: application/json\r\n%s\r\n",
                 method, path, target->host, target->authorization, extra);
}

int takeAnswer(Connection *it) {
  it->bytes[it->length] = 0;
  char *end = strstr(it->bytes, "\r\n\r\n");
  if (!end) return it->length > 32768 ? -1 : 0;
  char *body = end + 4;
  char *length = strcasestr(it->bytes, "\r\ncontent-length:");
  int whole = -1;
  if (length && length < end) whole = it->length >= body - it->bytes + atoi(length + 17);
  else {
    char *chunked = strcasestr(it->bytes, "transfer-encoding: chunked");
    if (chunked && chunked < end) whole = it->length >= 5 && !memcmp(it->bytes + it->length - 5, "0\r\n\r\n", 5);
  }
  if (whole < 0) return -1;
  if (!whole) return it->length >= 65000 ? -1 : 0;
  it->length = 0;
  return atoi(it->bytes + 9);
}

int exchange(Connection *it, const char *request, int length) {
  return SSL_write(it->tls, request, length) == length ? readAnswer(it) : -1;
}

int readAnswer(Connection *it) {
  for (int status;;) {
    int got = SSL_read(it->tls, it->bytes + it->length, 65536 - it->length);
    if (got <= 0) return -1;
    it->length += got;
    if ((status = takeAnswer(it)) != 0) return status;
  }
}
