//go:build amd64 || arm64

package compile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Confine gives up, for the program args with the environment env and all that comes of it, whatever compiling does not need, and then becomes
// that program: its files can be read and run if they are below root, and nothing else can be opened; nothing can be
// written but what is open; there are no sockets, no other processes and no system calls but those of [allowed]. It
// returns only where it fails. The kernel must have Landlock (5.13) and seccomp filters; where it lacks them
// the error is [ErrCannotConfine].
//
// The limits last as long as the process, which cannot lift them: no_new_privs is set first.
func Confine(root string, args, env []string) error {
	runtime.LockOSThread() // they are the thread's; it alone is left once it becomes another program
	for _, step := range []func() error{
		func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) },
		func() error { return readOnly(root) },
		filter,
		limits, // last: with them this program has hardly room for itself
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return fmt.Errorf("starting %s: %w", args[0], unix.Exec(args[0], args, env))
}

// limits bounds what the process can take.
func limits() error {
	const gigabyte = 1 << 30
	for what, most := range map[int]uint64{
		unix.RLIMIT_AS: 4 * gigabyte, unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: 64,
	} {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("setting a limit: %w", err)
		}
	}
	return nil
}

// readOnly lets files below root be read and run, and no other, by Landlock.
func readOnly(root string) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("%w: Landlock is not to be had: %w", ErrCannotConfine, errno)
	}
	// What a later version of Landlock knows besides must not be asked of an earlier one.
	rights := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1)
	for _, added := range []struct {
		version uintptr
		right   uint64
	}{
		{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
	} {
		if version >= added.version {
			rights |= added.right
		}
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: rights}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if version >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.Handled_access_net)
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("%w: Landlock: %w", ErrCannotConfine, errno)
	}
	defer unix.Close(int(set))
	dir, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	below := unix.LandlockPathBeneathAttr{
		Allowed_access: unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR,
		Parent_fd:      int32(dir),
	}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&below)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("%w: Landlock: %w", ErrCannotConfine, errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return fmt.Errorf("%w: Landlock: %w", ErrCannotConfine, errno)
	}
	return nil
}

// filter lets the process make the system calls of allowed alone. Others fail as in a kernel that does not know them,
// by which C libraries fall back on older ones.
func filter() error {
	const (
		arch, number = 4, 0 // offsets in struct seccomp_data
		load         = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal        = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		end          = unix.BPF_RET | unix.BPF_K
	)
	calls := slices.Compact(slices.Sorted(slices.Values(allowed)))
	program := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: equal, Jt: 1, K: auditArch},
		{Code: end, K: unix.SECCOMP_RET_KILL_PROCESS}, // numbers of calls mean something else there
		{Code: load, K: number},
	}
	for i, n := range calls {
		program = append(program, unix.SockFilter{Code: equal, Jt: uint8(len(calls) - i), K: uint32(n)})
	}
	program = append(program, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW})
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&f))); errno != 0 {
		return fmt.Errorf("%w: seccomp: %w", ErrCannotConfine, errno)
	}
	return nil
}

// common are the system calls that a CPython which compiles makes, and that exist on every architecture: reading
// files, memory, its pipes, and asking about itself. The execve is Confine's own; Landlock lets it run nothing
// that is not below root.
var common = []int{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_CLOSE, unix.SYS_OPENAT,
	unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_FACCESSAT, unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_DUP3,
	unix.SYS_IOCTL, unix.SYS_PPOLL, unix.SYS_GETCWD, unix.SYS_STATFS, unix.SYS_FSTATFS,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_BRK,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_FUTEX, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_GETRANDOM, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETTIMEOFDAY,
	unix.SYS_PRLIMIT64, unix.SYS_SETRLIMIT, unix.SYS_GETRLIMIT, unix.SYS_GETRUSAGE, unix.SYS_SYSINFO, unix.SYS_UNAME, unix.SYS_PRCTL,
	unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_EXECVE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// CanConfine says whether this machine can confine a process; nil: it can.
func CanConfine() error {
	if version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 || version < 1 {
		return fmt.Errorf("%w: the kernel has no Landlock, or it is turned off", ErrCannotConfine)
	}
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 && !errors.Is(errno, unix.EACCES) {
		return fmt.Errorf("%w: the kernel has no seccomp filters", ErrCannotConfine)
	}
	return nil
}
