// Holds a pod's namespaces and does nothing else: process 1 of the pause container (docs/architecture.md).
//
// Ends on SIGTERM and SIGINT; reaps what is handed to it. Static, so its image holds nothing but this file.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, 0);
  for (;;) {
    int signal = 0;
    if (sigwait(&all, &signal) != 0) continue;
    if (signal == SIGTERM || signal == SIGINT) return 0;
    if (signal == SIGCHLD)
      while (waitpid(-1, 0, WNOHANG) > 0) continue;
  }
}
