/* Connects from its first instruction on, IPv4 and IPv6 in turn, as often as it can for 0.6 s. Prints
   "connects N failed N first ERRNO udp-sent N". argv: an IPv4 and an IPv6 address, a port. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long elapsed_ms(struct timespec *since) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

int main(int argc, char **argv) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[3]))};
  inet_pton(AF_INET, argv[1], &four.sin_addr);
  inet_pton(AF_INET6, argv[2], &six.sin6_addr);
  struct timespec start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  int connects = 0, failed = 0, first = 0, sent = 0;
  (void)argc;
  for (int turn = 0; elapsed_ms(&start) < 600; turn ^= 1) {
    int tcp = socket(turn ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (connect(tcp, turn ? (void *)&six : (void *)&four, turn ? sizeof six : sizeof four) == 0) connects++;
    else if (failed++ == 0) first = errno;
    close(tcp);
    int udp = socket(turn ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    if (sendto(udp, "needle", 6, 0, turn ? (void *)&six : (void *)&four, turn ? sizeof six : sizeof four) == 6) sent++;
    close(udp);
  }
  printf("connects %d failed %d first %d udp-sent %d\n", connects, failed, first, sent);
  return 0;
}
