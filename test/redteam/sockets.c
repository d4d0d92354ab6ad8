/* Tries to make a socket through every door; one line each: name, then "made", an errno's name or a signal's.
   Sockets are only made, never connected. Each door is tried in a child, for a filter may kill. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int family(int value) { return socket(value, SOCK_STREAM, 0); }
/* The kernel looks at the low 32 bits; a filter that compares 64 lets this through. */
static int high_bits(int value) { return syscall(SYS_socket, (1L << 32) | value, SOCK_STREAM, 0); }
static int family_raw(int value) { return socket(value, SOCK_RAW, 0); }
static int pair(int value) { int two[2]; return socketpair(value, SOCK_STREAM, 0, two); }

static int uring(int value) {
  struct io_uring_params parameters = {0};
  (void)value;
  return syscall(SYS_io_uring_setup, 4, &parameters);
}
static int uring_register(int value) { return syscall(SYS_io_uring_register, -1, value, 0, 0); }

#ifdef __x86_64__
/* The 32-bit table: socket is 359 there. */
static int int80(int value) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(359L), "b"((long)value), "c"(1L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
  if ((int)result < 0) { errno = -(int)result; return -1; }
  return (int)result;
}
static int x32(int value) { return syscall(0x40000000 | SYS_socket, value, SOCK_STREAM, 0); }
#endif

static void door(const char *name, int (*open)(int), int value) {
  fflush(stdout);
  if (fork() == 0) {
    int result = open(value);
    printf("%s %s\n", name, result >= 0 ? "made" : strerrorname_np(errno));
    fflush(stdout);
    _exit(0);
  }
  int status;
  wait(&status);
  if (WIFSIGNALED(status)) printf("%s SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
}

int main(void) {
  door("tcp", family, AF_INET);
  door("unix", family, AF_UNIX);
  door("netlink", family_raw, AF_NETLINK);
  door("vsock", family, AF_VSOCK);
  door("vsock-high-bits", high_bits, AF_VSOCK);
  door("packet", family_raw, AF_PACKET);
  door("bluetooth", family_raw, AF_BLUETOOTH);
  door("alg", family, AF_ALG);
  door("kcm", family, AF_KCM);
  door("tipc", family, AF_TIPC);
  door("vsock-pair", pair, AF_VSOCK);
  door("io_uring", uring, 0);
  door("io_uring-register", uring_register, 0);
#ifdef __x86_64__
  door("int-0x80-vsock", int80, AF_VSOCK);
  door("int-0x80-tcp", int80, AF_INET);
  door("x32-vsock", x32, AF_VSOCK);
#endif
  return 0;
}
