/**
 * The one seccomp profile of every sandbox, as data: `kernel/seccomp.ts` makes BPF of it for the local runtime. An
 * allow list of what programs without capabilities use; what a call could do is also limited by having none.
 *
 * Left out on purpose: `io_uring_*` (it opens sockets past any socket filter, T121), `keyctl`, `add_key`,
 * `request_key` (keyrings know no namespace, T128), `unshare`, `setns`, the mount calls, `bpf`, `userfaultfd`,
 * `perf_event_open`, `open_by_handle_at`, `chroot`, `kexec_*`, modules, `quotactl`, clocks, swap. Debuggers work:
 * `ptrace` and its kin reach only the sandbox's own processes.
 */
import type { SeccompProfile } from '../kernel/seccomp.ts'

const FILES = `
  access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
  fallocate fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr
  fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
  inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr
  lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat pipe pipe2 pread64 preadv preadv2 pwrite64
  pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile
  setxattr splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat
  utime utimensat utimes vmsplice write writev`

const WAITING = `
  epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_waitv io_cancel
  io_destroy io_getevents io_pgetevents io_setup io_submit poll ppoll pselect6 select signalfd signalfd4`

const SOCKETS = `
  accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
  sendto setsockopt shutdown socket socketpair`

const MEMORY = `
  brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock
  munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages`

const PROCESSES = `
  alarm arch_prctl capget capset clone execve execveat exit exit_group fork get_robust_list getegid geteuid getgid
  getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid
  ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self modify_ldt pause
  personality pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall
  rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
  rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
  sched_yield seccomp set_robust_list set_thread_area get_thread_area set_tid_address setfsgid setfsuid setgid setgroups
  setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack tgkill tkill vfork
  wait4 waitid`

const TIME = `
  adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time
  timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
  timerfd_settime times`

const MESSAGES = `
  mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop
  semtimedop shmat shmctl shmdt shmget`

const MACHINE = 'getcpu getrandom sysinfo uname'

/** Set-user-ID and set-group-ID: a file that an agent makes on the host's disk would run as its owner there (T133). */
const S_BITS = 0o6000
const MAKES_A_FILE = 0o100 | 0o20000000 // O_CREAT, __O_TMPFILE
const NAMESPACES = 0x7e020000 // CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
const PLAIN_PERSONALITIES = [0, 0x0008, 0x20000, 0x20008, 0xffffffff] // Linux, PER_LINUX32, UNAME26, both, «ask»
const UNIX_INET_INET6_NETLINK = [1, 2, 10, 16]
const TIOCSTI_TIOCLINUX = [0x5412, 0x541c] // typing into the terminal of whoever started the sandbox (T122)

export const SECCOMP_PROFILE: SeccompProfile = {
  allow: [FILES, WAITING, SOCKETS, MEMORY, PROCESSES, TIME, MESSAGES, MACHINE].flatMap(group =>
    group.trim().split(/\s+/),
  ),
  guards: [
    {
      calls: ['socket', 'socketpair'],
      refuse: [{ argument: 0, noneOf: UNIX_INET_INET6_NETLINK }],
      errno: 'EAFNOSUPPORT',
    },
    { calls: ['ioctl'], refuse: [{ argument: 1, oneOf: TIOCSTI_TIOCLINUX }], errno: 'EPERM' },
    { calls: ['clone'], refuse: [{ argument: 0, anyBit: NAMESPACES }], errno: 'EPERM' },
    { calls: ['personality'], refuse: [{ argument: 0, noneOf: PLAIN_PERSONALITIES }], errno: 'EPERM' },
    {
      calls: ['chmod', 'fchmod', 'creat', 'mkdir', 'mknod'],
      refuse: [{ argument: 1, anyBit: S_BITS }],
      errno: 'EPERM',
    },
    { calls: ['fchmodat', 'mkdirat', 'mknodat'], refuse: [{ argument: 2, anyBit: S_BITS }], errno: 'EPERM' },
    {
      calls: ['open'],
      refuse: [
        { argument: 1, anyBit: MAKES_A_FILE },
        { argument: 2, anyBit: S_BITS },
      ],
      errno: 'EPERM',
    },
    {
      calls: ['openat'],
      refuse: [
        { argument: 2, anyBit: MAKES_A_FILE },
        { argument: 3, anyBit: S_BITS },
      ],
      errno: 'EPERM',
    },
  ],
  // Their flags lie behind a pointer, where a filter cannot look, or would have to be filtered a second time.
  absent: ['clone3', 'openat2', 'fchmodat2'],
  newest: 450, // set_mempolicy_home_node, Linux 5.17; from 424 on every architecture counts alike
}
