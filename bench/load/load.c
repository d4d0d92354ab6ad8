/*
 * The load generator: runs inside the sandbox, or in the plain namespace of another contender.
 *
 *   load requests -H HOST -c CONNECTIONS -t SECONDS          GET /json again and again; every request is waited for
 *   load connect  -H HOST -n COUNT | -t SECONDS [-c 8] [-f]  TLS handshakes; -f: HOST holds %d, a new name each time
 *   load download -H HOST -b BYTES                           one body
 *   load upload   -H HOST -b BYTES
 *   load events   -H HOST -n COUNT -u MICROSECONDS           one event stream; the delay of each event
 *   load hold     -H HOST -n COUNT -t SECONDS                connections with one request each, then silence
 *
 * Also: -a ADDRESS (default: what HOST resolves to), -k AUTHORIZATION, -i FIRST (number of the first new name).
 * Prints `{"ready":true}` once it is connected, waits for a line on standard input, and prints one line of JSON at the
 * end: so that whoever measures knows where the measured part begins. `requests` counts every request ever sent.
 */
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static Target target = {0, 0, 443, "Bearer placeholder"};
static int connections = 1, count = 0, gapUs = 5000, fresh = 0, first = 0;
static double seconds = 0;
static long long bytes = 100000000;

static double *samples; /* microseconds */
static int taken, room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void sample(double us) {
  pthread_mutex_lock(&lock);
  if (taken == room) samples = realloc(samples, (room = room ? 2 * room : 65536) * sizeof *samples);
  samples[taken++] = us;
  pthread_mutex_unlock(&lock);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorted by then; the nearest rank. */
static double percentile(double p) { return taken ? samples[(int)(p * (taken - 1) + 0.5)] : 0; }

/* One byte at a time: what follows belongs to the shell that started us. */
static void waitForGo(void) {
  char byte = 0;
  printf("{\"ready\":true}\n");
  fflush(stdout);
  while (byte != '\n' && read(0, &byte, 1) == 1) {}
}

static void fail(const char *what) {
  printf("{\"failed\":\"%s\"}\n", what);
  exit(1);
}

static void runRequests(void) {
  char request[2048];
  int length = writeRequest(request, &target, "GET", "/json", ""), requests = 0, errors = 0, open = 0;
  Connection *all = calloc(connections, sizeof *all);
  int poll = epoll_create1(0);
  for (int i = 0; i < connections; i++) {
    if (openConnection(&all[i], &target, target.host)) fail("no connection");
    for (int warm = 0; warm < 20; warm++, requests++)
      if (exchange(&all[i], request, length) != 200) fail("no 200");
    fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
    struct epoll_event wanted = {EPOLLIN, {.ptr = &all[i]}};
    epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &wanted);
  }
  waitForGo();
  int64_t start = nowNs(), end = start + (int64_t)(seconds * 1e9);
  for (; open < connections; open++, requests++) {
    all[open].sentNs = nowNs();
    SSL_write(all[open].tls, request, length);
  }
  while (open > 0) {
    struct epoll_event ready[64];
    int many = epoll_wait(poll, ready, 64, 10000);
    if (many <= 0) { errors += open; break; }
    for (int i = 0; i < many; i++) {
      Connection *it = ready[i].data.ptr;
      for (;;) {
        int got = SSL_read(it->tls, it->bytes + it->length, 65536 - it->length);
        if (got <= 0 && SSL_get_error(it->tls, got) == SSL_ERROR_WANT_READ) break;
        int status = got <= 0 ? -1 : (it->length += got, takeAnswer(it));
        if (status == 0) continue;
        int64_t now = nowNs();
        sample((now - it->sentNs) / 1e3);
        if (status != 200) errors++;
        if (status > 0 && now < end) {
          it->sentNs = now;
          requests++;
          if (SSL_write(it->tls, request, length) != length) fail("a request could not be sent");
          continue;
        }
        epoll_ctl(poll, EPOLL_CTL_DEL, it->fd, 0);
        open--;
        break;
      }
    }
  }
  double took = (nowNs() - start) / 1e9;
  qsort(samples, taken, sizeof *samples, ascending);
  printf("{\"requests\":%d,\"measured\":%d,\"errors\":%d,\"seconds\":%.4f,\"p50\":%.1f,\"p99\":%.1f}\n", requests, taken,
         errors, took, percentile(0.5), percentile(0.99));
}

static int64_t deadline;
static int begun, connectErrors;

static void *connectAgain(void *unused) {
  Connection *it = malloc(sizeof *it);
  char name[256];
  for (;;) {
    int number = __sync_fetch_and_add(&begun, 1);
    if (count ? number >= count : nowNs() >= deadline) return unused;
    snprintf(name, sizeof name, target.host, first + number);
    int64_t start = nowNs();
    if (openConnection(it, &target, fresh ? name : target.host) || closeConnection(it))
      __sync_fetch_and_add(&connectErrors, 1);
    else sample((nowNs() - start) / 1e3);
  }
}

static void runConnect(void) {
  pthread_t threads[64];
  waitForGo();
  int64_t start = nowNs();
  deadline = start + (int64_t)(seconds * 1e9);
  for (int i = 0; i < connections; i++) pthread_create(&threads[i], 0, connectAgain, 0);
  for (int i = 0; i < connections; i++) pthread_join(threads[i], 0);
  double took = (nowNs() - start) / 1e9;
  qsort(samples, taken, sizeof *samples, ascending);
  printf("{\"requests\":0,\"measured\":%d,\"errors\":%d,\"seconds\":%.4f,\"p50\":%.1f,\"p99\":%.1f}\n", taken,
         connectErrors, took, percentile(0.5), percentile(0.99));
}

static void runBulk(int up) {
  static char block[65536];
  char request[2048], path[64], extra[64];
  Connection *it = calloc(1, sizeof *it);
  if (openConnection(it, &target, target.host)) fail("no connection");
  snprintf(path, sizeof path, "/bytes/%lld", bytes);
  snprintf(extra, sizeof extra, "Content-Length: %lld\r\n", bytes);
  int length = up ? writeRequest(request, &target, "POST", "/upload", extra)
                  : writeRequest(request, &target, "GET", path, "");
  waitForGo();
  int64_t start = nowNs();
  long long done = 0;
  int errors = SSL_write(it->tls, request, length) != length;
  if (up) {
    for (int part; !errors && done < bytes; done += part) {
      part = bytes - done > 65536 ? 65536 : (int)(bytes - done);
      if (SSL_write(it->tls, block, part) <= 0) errors = 1;
    }
    if (!errors) errors = readAnswer(it) != 200;
    snprintf(path, sizeof path, "{\"received\":%lld}", bytes);
    if (!strstr(it->bytes, path)) errors = 1;
  } else {
    int head = 0; /* the head's bytes do not count; a body in chunks would count with its framing */
    while (!errors && done < bytes) {
      int got = SSL_read(it->tls, it->bytes + (head ? 0 : it->length), 65536 - (head ? 0 : it->length));
      if (got <= 0) errors = 1;
      else if (head) done += got;
      else {
        it->length += got;
        it->bytes[it->length] = 0;
        char *end = strstr(it->bytes, "\r\n\r\n");
        if (!end) continue;
        head = 1;
        if (strncmp(it->bytes + 9, "200", 3)) errors = 1;
        done = it->bytes + it->length - (end + 4);
      }
    }
  }
  double took = (nowNs() - start) / 1e9;
  dropConnection(it);
  printf("{\"requests\":1,\"measured\":1,\"errors\":%d,\"seconds\":%.4f,\"bytes\":%lld}\n", errors, took, done);
}

/* SSL_read gives one record at most, so two events in one read were joined by the proxy: the origin never does it. */
static void runEvents(void) {
  char request[2048], path[64];
  Connection *it = calloc(1, sizeof *it);
  if (openConnection(it, &target, target.host)) fail("no connection");
  snprintf(path, sizeof path, "/events?count=%d&us=%d", count, gapUs);
  int length = writeRequest(request, &target, "GET", path, ""), errors = 0, events = 0, joined = 0, kept = 0;
  waitForGo();
  int64_t start = nowNs();
  SSL_write(it->tls, request, length);
  while (events < count && !errors) {
    int got = SSL_read(it->tls, it->bytes + kept, 65536 - kept);
    int64_t now = nowNs();
    if (got <= 0) { errors = 1; break; }
    it->bytes[kept + got] = 0;
    int here = 0;
    char *at = it->bytes, *stamp, *end;
    while ((stamp = strstr(at, "data: ")) && (end = strchr(stamp, '\n'))) {
      sample((now - atoll(stamp + 6)) / 1e3);
      here++;
      at = end;
    }
    events += here;
    if (here > 1) joined += here - 1;
    kept = (int)strlen(at);
    memmove(it->bytes, at, kept + 1);
  }
  double took = (nowNs() - start) / 1e9;
  dropConnection(it);
  qsort(samples, taken, sizeof *samples, ascending);
  printf("{\"requests\":1,\"measured\":%d,\"errors\":%d,\"seconds\":%.4f,\"p50\":%.1f,\"p99\":%.1f,\"joined\":%d}\n",
         events, errors, took, percentile(0.5), percentile(0.99), joined);
}

static void runHold(void) {
  struct rlimit files = {65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  Connection *it = calloc(1, sizeof *it);
  char request[2048];
  int length = writeRequest(request, &target, "GET", "/json", ""), errors = 0;
  waitForGo();
  int64_t start = nowNs();
  for (int i = 0; i < count; i++)
    if (openConnection(it, &target, target.host) || exchange(it, request, length) != 200) errors++;
  printf("{\"requests\":%d,\"measured\":%d,\"errors\":%d,\"seconds\":%.4f}\n", count, count, errors,
         (nowNs() - start) / 1e9);
  fflush(stdout);
  usleep((useconds_t)(seconds * 1e6));
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  optind = 2;
  for (int option; (option = getopt(argc, argv, "H:a:k:c:n:t:b:u:i:f")) > 0;) switch (option) {
    case 'H': target.host = optarg; break;
    case 'a': target.address = optarg; break;
    case 'k': target.authorization = optarg; break;
    case 'c': connections = atoi(optarg); break;
    case 'n': count = atoi(optarg); break;
    case 't': seconds = atof(optarg); break;
    case 'b': bytes = atoll(optarg); break;
    case 'u': gapUs = atoi(optarg); break;
    case 'i': first = atoi(optarg); break;
    case 'f': fresh = 1; break;
    default: return 2;
  }
  if (!target.host || connections < 1 || connections > 64) return 2;
  prepareClient();
  if (!strcmp(mode, "requests")) runRequests();
  else if (!strcmp(mode, "connect")) runConnect();
  else if (!strcmp(mode, "download")) runBulk(0);
  else if (!strcmp(mode, "upload")) runBulk(1);
  else if (!strcmp(mode, "events")) runEvents();
  else if (!strcmp(mode, "hold")) runHold();
  else return 2;
  return 0;
}
