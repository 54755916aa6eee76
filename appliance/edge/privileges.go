package edge

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropPrivileges leaves the process, all its threads, with the right to use ports below 1024 and no other, and
// without a way to get any back. What it could do before does not matter; that it can do no more now, does.
func dropPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	var keep [2]unix.CapUserData
	keep[0].Permitted = have[0].Permitted & (1 << unix.CAP_NET_BIND_SERVICE)
	keep[0].Effective = keep[0].Permitted

	// Both are a matter of single threads to the kernel; a process that has some of them left unchanged is not safe.
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errors.Is(errno, syscall.ENOTSUP) {
		return errors.New("this program was built with cgo, where privileges cannot be dropped on all threads: build it with CGO_ENABLED=0")
	}
	if errno != 0 {
		return fmt.Errorf("set no_new_privs: %w", errno)
	}
	_, _, errno = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&keep[0])), 0)
	if errno != 0 {
		return fmt.Errorf("drop capabilities of process %d: %w", os.Getpid(), errno)
	}
	return nil
}
