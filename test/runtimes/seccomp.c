// Makes the system calls that a sandbox refuses, one a line: "name result errno". Mode: "calls", "abi" or a directory.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void show(const char *name, long result) {
  printf("%s %s\n", name, result >= 0 ? "ok" : strerrorname_np(errno));
  fflush(stdout);
}
#define TRY(name, ...) show(name, syscall(__VA_ARGS__))

static void calls(void) {
  TRY("socket-vsock", SYS_socket, 40, 1, 0);
  TRY("socket-vsock-high-bits", SYS_socket, 0x100000028UL, 1, 0);
  TRY("socket-packet", SYS_socket, 17, 3, 0);
  TRY("socket-alg", SYS_socket, 38, 5, 0);
  TRY("socketpair-vsock", SYS_socketpair, 40, 1, 0, (int[2]){0, 0});
  TRY("socket-unix", SYS_socket, 1, 1, 0);
  TRY("socket-unix-high-bits", SYS_socket, 0x100000001UL, 1, 0);
  TRY("socket-inet", SYS_socket, 2, 1, 0);
  TRY("socket-inet6", SYS_socket, 10, 1, 0);
  TRY("socket-netlink", SYS_socket, 16, 3, 0);
  TRY("io_uring_setup", 425, 1, 0);
  TRY("keyctl", SYS_keyctl, 0, -3, 0);
  TRY("add_key", SYS_add_key, "user", "x", "x", 1, -3);
  TRY("request_key", SYS_request_key, "user", "x", 0, 0);
  TRY("unshare-user", SYS_unshare, 0x10000000);
  TRY("unshare-net", SYS_unshare, 0x40000000);
  TRY("clone-user", SYS_clone, 0x10000011, 0, 0, 0, 0);
  TRY("setns", SYS_setns, 0, 0);
  TRY("clone3", 435, 0, 0);
  TRY("openat2", 437, 0, 0, 0, 0);
  TRY("fchmodat2", 452, AT_FDCWD, "x", 04755, 0);
  TRY("mseal", 462, 0, 0, 0);
  TRY("unknown", 999, 0);
  TRY("mount", SYS_mount, "x", "/tmp", "tmpfs", 0, 0);
  TRY("open_tree", 428, AT_FDCWD, "/", 0);
  TRY("bpf", SYS_bpf, 0, 0, 0);
  TRY("perf_event_open", SYS_perf_event_open, 0, 0, -1, -1, 0);
  TRY("userfaultfd", SYS_userfaultfd, 1);
  TRY("personality-randomize", SYS_personality, 0x0040000);
  TRY("personality-ask", SYS_personality, 0xffffffffUL);
  TRY("tiocsti", SYS_ioctl, 0, 0x5412UL, "x");
  TRY("tiocsti-high-bits", SYS_ioctl, 0, 0x100005412UL, "x");
  TRY("tioclinux", SYS_ioctl, 0, 0x541cUL, "\x02");
  TRY("tioclinux-high-bits", SYS_ioctl, 0, 0xf0000541cUL, "\x02");
}

// Every way to a set-user-ID or set-group-ID file, in the current directory.
static void sbits(void) {
  int fd = open("plain", O_CREAT | O_RDWR, 0755);
  long high = 0x100000000L;
  TRY("chmod-plain", SYS_chmod, "plain", 01755);
  TRY("chmod", SYS_chmod, "plain", 04755);
  TRY("chmod-high-bits", SYS_chmod, "plain", high | 04755);
  TRY("chmod-group", SYS_chmod, "plain", 02755);
  TRY("fchmod", SYS_fchmod, fd, 04755);
  TRY("fchmodat", SYS_fchmodat, AT_FDCWD, "plain", 06755);
  TRY("fchmodat2", 452, AT_FDCWD, "plain", 04755, 0);
  TRY("open", SYS_open, "open", O_CREAT | O_RDWR, 04755);
  TRY("openat", SYS_openat, AT_FDCWD, "openat", O_CREAT | O_RDWR, 04755);
  TRY("openat-high-bits", SYS_openat, AT_FDCWD, "openat2", high | O_CREAT | O_RDWR, high | 02755);
  TRY("openat-tmpfile", SYS_openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 04755);
  TRY("openat2", 437, AT_FDCWD, "openat3", (unsigned long[]){O_CREAT | O_RDWR, 04755, 0}, 24);
  TRY("creat", SYS_creat, "creat", 04755);
  TRY("mkdir", SYS_mkdir, "mkdir", 04755);
  TRY("mkdirat", SYS_mkdirat, AT_FDCWD, "mkdirat", 02755);
  TRY("mknod", SYS_mknod, "mknod", S_IFREG | 04755, 0);
  TRY("mknodat", SYS_mknodat, AT_FDCWD, "mknodat", S_IFREG | 02755, 0);
  TRY("open-plain", SYS_openat, AT_FDCWD, "plain", O_RDONLY, 04755);
  mkdir("directory", 0755);
}

int main(int argc, char **argv) {
  if (!strcmp(argv[1], "sbits")) sbits();
  else if (!strcmp(argv[1], "calls")) calls();
#ifdef __x86_64__
  else if (!strcmp(argv[1], "int80")) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(359), "b"(40), "c"(1), "d"(0)); // i386 socket(AF_VSOCK)
    printf("int80 %ld\n", result);
  } else if (!strcmp(argv[1], "x32")) printf("x32 %ld\n", syscall(0x40000000 | 39)); // x32 getpid
#endif
  return 0;
}
