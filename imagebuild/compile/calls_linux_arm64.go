package compile

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// allowed are the system calls of a confined process.
var allowed = append([]int{unix.SYS_FSTATAT}, common...)
