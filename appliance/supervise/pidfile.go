package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// identity of a running process: the kernel reuses a pid, but not with the same start time in the same boot.
type pidRecord struct {
	pid   int
	start uint64 // clock ticks since boot
	boot  string
	spec  string // Spec.identity of what was started
}

// write replaces the pid file.
func (r pidRecord) write(path string) error {
	return writeFile(path, fmt.Appendf(nil, "%d %d %s %s\n", r.pid, r.start, r.boot, r.spec))
}

// readPidRecord returns false for a file that is missing or says nothing usable: then nothing is adopted.
func readPidRecord(path string) (pidRecord, bool) {
	body, err := os.ReadFile(path)
	if err != nil {
		return pidRecord{}, false
	}
	var r pidRecord
	if _, err := fmt.Sscanf(string(body), "%d %d %s %s", &r.pid, &r.start, &r.boot, &r.spec); err != nil || r.pid <= 1 {
		return pidRecord{}, false
	}
	return r, true
}

// alive says whether exactly this process still runs; a zombie does not.
func (r pidRecord) alive(boot string) bool {
	start, state, err := processStart(r.pid)
	return err == nil && r.boot == boot && start == r.start && state != 'Z' && state != 'X'
}

// processStart reads a process's start time in clock ticks and its state letter.
func processStart(pid int) (start uint64, state byte, err error) {
	body, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("read start time of process %d: %w", pid, err)
	}
	// The second field is the program's name in parentheses and may contain anything; the rest are 50 plain words.
	fields := strings.Fields(string(body[bytes.LastIndexByte(body, ')')+1:]))
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("read start time of process %d: %d fields in stat", pid, len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("read start time of process %d: %w", pid, err)
	}
	return start, fields[0][0], nil
}

func bootID() (string, error) {
	body, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(body)), nil
}

// writeFile replaces a file in one step, readable by its owner only.
func writeFile(path string, body []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, body, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func removeFiles(paths ...string) error {
	var errs []error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove: %w", err))
		}
	}
	return errors.Join(errs...)
}
