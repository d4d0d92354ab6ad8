/*
 * The origin for bodies and event streams, and the telemetry receiver: a thread for each connection.
 *
 *   origin TLS_ADDRESS RECEIVER_ADDRESS CERTIFICATE KEY AUTHORIZATION
 *
 * On TLS_ADDRESS:443  GET /bytes/N · POST /upload · GET /events?count=&us= (each event begins with the time at which it
 * was sent, CLOCK_MONOTONIC ns) · GET /json. Whoever has not exactly AUTHORIZATION gets 401.
 * On RECEIVER_ADDRESS:4318 (plain)  POST: the spans in the body are counted.
 *
 * Each line on standard input is answered by one line of JSON with the counts so far; it ends when its input does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int fd, length, at;
  SSL *tls; /* null: plain */
  char bytes[65537];
} Connection;

typedef struct {
  char line[4096], authorization[256];
  long long length; /* of the body; -1: chunked */
} Request;

static SSL_CTX *context;
static const char *right;
static char block[65536];
static long long requests, authorized, spans;

static int64_t nowNs(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int put(Connection *it, const char *from, int length) {
  ssize_t sent = it->tls ? SSL_write(it->tls, from, length) : write(it->fd, from, length);
  return sent == length ? 0 : -1;
}

static int fill(Connection *it) {
  if (it->at == it->length) it->at = it->length = 0;
  int space = 65536 - it->length;
  if (space == 0) return -1;
  int got = it->tls ? SSL_read(it->tls, it->bytes + it->length, space) : (int)read(it->fd, it->bytes + it->length, space);
  if (got <= 0) return -1;
  it->length += got;
  return 0;
}

static int readLine(Connection *it, char *into, int room) {
  for (int kept = 0;;) {
    while (it->at < it->length) {
      char byte = it->bytes[it->at++];
      if (byte == '\n') {
        if (kept && into[kept - 1] == '\r') kept--;
        into[kept] = 0;
        return kept;
      }
      if (kept < room - 1) into[kept++] = byte;
    }
    if (fill(it)) return -1;
  }
}

/* A mark may lie across reads: `carry` holds the last bytes seen, fewer than make one. */
static void countSpans(const char *from, int length, char *carry, int *carried) {
  static const char mark[] = "\"spanId\"";
  char joint[16];
  int head = length < 7 ? length : 7, both = *carried + head;
  memcpy(joint, carry, *carried);
  memcpy(joint + *carried, from, head);
  long long found = 0;
  for (char *at = joint; (at = memmem(at, joint + both - at, mark, 8)) && at < joint + *carried; at += 8) found++;
  for (const char *at = from; (at = memmem(at, from + length - at, mark, 8)); at += 8) found++;
  __sync_fetch_and_add(&spans, found);
  const char *end = length < 7 ? joint + both : from + length;
  *carried = length < 7 && both < 7 ? both : 7;
  memcpy(carry, end - *carried, *carried);
}

static int takeBytes(Connection *it, long long length, int counting) {
  char carry[8];
  int carried = 0;
  while (length > 0) {
    if (it->at == it->length && fill(it)) return -1;
    int here = it->length - it->at;
    if (here > length) here = (int)length;
    if (counting) countSpans(it->bytes + it->at, here, carry, &carried);
    it->at += here;
    length -= here;
  }
  return 0;
}

/* The number of bytes, or -1. */
static long long takeBody(Connection *it, const Request *request, int counting) {
  if (request->length >= 0) return takeBytes(it, request->length, counting) ? -1 : request->length;
  char line[256];
  for (long long all = 0;;) {
    if (readLine(it, line, sizeof line) < 0) return -1;
    long long size = strtoll(line, 0, 16);
    if (size == 0) {
      while (readLine(it, line, sizeof line) > 0) {}
      return all;
    }
    if (takeBytes(it, size, counting) || readLine(it, line, sizeof line) < 0) return -1;
    all += size;
  }
}

static int readRequest(Connection *it, Request *request) {
  char line[16384];
  request->length = 0;
  request->authorization[0] = 0;
  if (readLine(it, request->line, sizeof request->line) < 0) return -1;
  for (int length; (length = readLine(it, line, sizeof line)) != 0;) {
    if (length < 0) return -1;
    if (!strncasecmp(line, "content-length:", 15)) request->length = atoll(line + 15);
    else if (!strncasecmp(line, "transfer-encoding:", 18)) request->length = -1;
    else if (!strncasecmp(line, "authorization: ", 15))
      snprintf(request->authorization, sizeof request->authorization, "%.255s", line + 15);
  }
  return 0;
}

static int answer(Connection *it, const char *status, const char *body) {
  char all[1024];
  int length = sprintf(all, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
                       strlen(body), body);
  return put(it, all, length);
}

static int sendEvents(Connection *it, int count, int us) {
  char event[512], chunk[600];
  const char *head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
  if (put(it, head, (int)strlen(head))) return -1;
  int64_t due = nowNs();
  for (int i = 0; i < count; i++) {
    due += us * 1000LL;
    struct timespec at = {due / 1000000000LL, due % 1000000000LL};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0);
    int size = sprintf(event, "event: delta\ndata: %lld {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                       "{\"type\":\"text_delta\",\"text\":\"token number %d of a stream\"}}\n\n", (long long)nowNs(), i);
    if (put(it, chunk, sprintf(chunk, "%x\r\n%s\r\n", size, event))) return -1;
  }
  return put(it, "0\r\n\r\n", 5);
}

static int sendBytes(Connection *it, long long left) {
  char head[128];
  if (put(it, head, sprintf(head, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                                  "content-length: %lld\r\n\r\n", left))) return -1;
  for (int part; left > 0; left -= part) {
    part = left > 65536 ? 65536 : (int)left;
    if (put(it, block, part)) return -1;
  }
  return 0;
}

static int respond(Connection *it, Request *request) {
  char *path = strchr(request->line, ' ');
  if (!path) return -1;
  path++;
  long long received = takeBody(it, request, !it->tls && !strncmp(path, "/v1/traces", 10));
  if (received < 0) return -1;
  if (!it->tls) return answer(it, "200 OK", "{}");
  __sync_fetch_and_add(&requests, 1);
  if (strcmp(request->authorization, right)) return answer(it, "401 Unauthorized", "{}");
  __sync_fetch_and_add(&authorized, 1);
  char *count = strstr(path, "count="), *us = strstr(path, "us="), body[64];
  if (!strncmp(path, "/events", 7) && count && us) return sendEvents(it, atoi(count + 6), atoi(us + 3));
  if (!strncmp(path, "/bytes/", 7)) return sendBytes(it, atoll(path + 7));
  if (strncmp(path, "/upload", 7)) return answer(it, "200 OK", "{\"usage\":{\"input_tokens\":12,\"output_tokens\":34}}");
  sprintf(body, "{\"received\":%lld}", received);
  return answer(it, "200 OK", body);
}

static void *serve(void *given) {
  Connection *it = given;
  Request *request = malloc(sizeof *request);
  int one = 1;
  setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (it->tls) SSL_set_fd(it->tls, it->fd);
  if (!it->tls || SSL_accept(it->tls) == 1)
    while (!readRequest(it, request) && !respond(it, request)) {}
  SSL_free(it->tls);
  close(it->fd);
  free(request);
  free(it);
  return 0;
}

typedef struct { const char *address; int port, secure; } Listener;

static void *listenAt(void *given) {
  Listener *at = given;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(at->port)};
  inet_pton(AF_INET, at->address, &name.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (void *)&name, sizeof name) || listen(fd, 4096)) { perror("origin"); exit(1); }
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&detached, 256 * 1024);
  for (;;) {
    int accepted = accept(fd, 0, 0);
    if (accepted < 0) continue;
    Connection *it = calloc(1, sizeof *it);
    pthread_t thread;
    it->fd = accepted;
    it->tls = at->secure ? SSL_new(context) : 0;
    if (pthread_create(&thread, &detached, serve, it)) exit(1);
  }
}

static int chooseHttp1(SSL *tls, const unsigned char **out, unsigned char *size, const unsigned char *in,
                       unsigned int length, void *unused) {
  (void)tls, (void)unused;
  for (unsigned at = 0; at < length; at += in[at] + 1)
    if (in[at] == 8 && !memcmp(in + at + 1, "http/1.1", 8)) return *out = in + at + 1, *size = 8, SSL_TLSEXT_ERR_OK;
  return SSL_TLSEXT_ERR_NOACK;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  signal(SIGPIPE, SIG_IGN);
  right = argv[5];
  context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_alpn_select_cb(context, chooseHttp1, 0);
  SSL_CTX_set_session_id_context(context, (const unsigned char *)"bench", 5);
  if (SSL_CTX_use_certificate_chain_file(context, argv[3]) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, argv[4], SSL_FILETYPE_PEM) != 1) return 1;
  Listener listeners[] = {{argv[1], 443, 1}, {argv[2], 4318, 0}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, listenAt, &listeners[i]);
  for (char line[64]; fgets(line, sizeof line, stdin);) {
    printf("{\"requests\":%lld,\"authorized\":%lld,\"spans\":%lld}\n", requests, authorized, spans);
    fflush(stdout);
  }
  return 0;
}
