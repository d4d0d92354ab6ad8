// Process 1 of an agent's container: init ROWS COLUMNS PROGRAM [ARGUMENT]... (docs/architecture.md).
//
// A program that is itself process 1 ignores every signal that it has no handler for, and is handed orphans that it
// never asked for. So this starts it as a process group of its own (the terminal's foreground one, where there is a
// terminal), hands every signal on to that group, reaps, and ends as the program did: its status, or 128 + the signal.
// 127: there is no such program; 126: it cannot be executed. Static: works in an image without a C library or a shell.
//
// ROWS and COLUMNS: the terminal's first size, which an engine sets when the program may have asked already; or 0 0.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Not blocked: raised by a fault of our own, they must end us.
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};

static void run(char **command, const sigset_t *before) {
  setpgid(0, 0);
  tcsetpgrp(STDIN_FILENO, getpid()); // SIGTTOU is blocked; without a terminal it fails, which is as well
  sigprocmask(SIG_SETMASK, before, 0);
  execvp(command[0], command);
  int error = errno;
  dprintf(STDERR_FILENO, "clrk: cannot run %s: %s\n", command[0], strerror(error));
  _exit(error == ENOENT || error == ENOTDIR ? 127 : 126);
}

int main(int argc, char **argv) {
  sigset_t waited, before;
  sigfillset(&waited);
  for (unsigned at = 0; at < sizeof faults / sizeof *faults; at++) sigdelset(&waited, faults[at]);
  sigprocmask(SIG_SETMASK, &waited, &before);
  if (argc < 4) return 2;
  struct winsize size = {.ws_row = atoi(argv[1]), .ws_col = atoi(argv[2])};
  if (size.ws_row != 0) ioctl(STDIN_FILENO, TIOCSWINSZ, &size);

  pid_t program = fork();
  if (program < 0) {
    dprintf(STDERR_FILENO, "clrk: cannot start a process: %s\n", strerror(errno));
    return 126;
  }
  if (program == 0) run(argv + 3, &before);
  setpgid(program, program); // whoever of the two comes first: a signal must find the group

  for (;;) {
    int signal = 0, status = 0;
    pid_t ended;
    if (sigwait(&waited, &signal) != 0) continue;
    if (signal != SIGCHLD) {
      if (kill(-program, signal) != 0) kill(program, signal);
      continue;
    }
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
      if (ended == program) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}
