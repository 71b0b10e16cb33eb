package compile

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// allowed are the system calls of a confined process. The older ones are what C libraries use on this architecture.
var allowed = append([]int{
	unix.SYS_OPEN, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_ACCESS, unix.SYS_READLINK, unix.SYS_NEWFSTATAT, unix.SYS_GETDENTS, unix.SYS_POLL,
	unix.SYS_DUP2, unix.SYS_ARCH_PRCTL, unix.SYS_TIME,
}, common...)
