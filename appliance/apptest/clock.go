package apptest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNoClock says that a process's clock cannot be set on this processor.
var ErrNoClock = errors.New("one process's clock can be set on amd64 only")

// clock moves the wall clock of one process, and nothing else's. A Go program
// reads the time through the vDSO, code that the kernel maps into every process
// and lets debuggers write to; there a few instructions add the offset. So the
// product needs no hook for it, and a jump reaches a process that runs.
type clock struct {
	mu     sync.Mutex
	offset time.Duration // whole seconds; guarded by mu
	pid    int           // guarded by mu
	at     int64         // where the offset lies in the process; 0: not laid yet; guarded by mu
}

// launched says that the process is a new one; it gets the offset at once.
func (c *clock) launched(pid int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.at = pid, 0
	if c.offset == 0 {
		return nil
	}
	return c.write()
}

// set moves the clock; the process may run or not.
func (c *clock) set(offset time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = offset.Truncate(time.Second)
	if c.pid == 0 {
		return nil
	}
	err := c.write()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil // it has ended; the next one gets the offset
	}
	return err
}

// write puts the offset into the process; mu is held.
func (c *clock) write() error {
	if runtime.GOARCH != "amd64" {
		return ErrNoClock
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	seconds := binary.LittleEndian.AppendUint64(nil, uint64(int64(c.offset/time.Second)))
	if c.at != 0 {
		_, err := mem.WriteAt(seconds, c.at)
		return err
	}
	entry, free, err := findClock(c.pid, mem)
	if err != nil {
		return err
	}
	// clock_gettime as a system call; what was read of CLOCK_REALTIME (0) is moved.
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, 228
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi
		0x75, 0x0d, // jnz to ret
		0x48, 0xb9, // mov rcx, the offset:
	}
	at := free + int64(len(code))
	code = append(code, seconds...)
	code = append(code, 0x48, 0x01, 0x0e, 0xc3) // add [rsi], rcx; ret
	if _, err := mem.WriteAt(code, free); err != nil {
		return err
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(int32(free-entry-5)))
	for deadline := time.Now().Add(5 * time.Second); ; {
		done, err := c.divert(mem, entry, jump)
		if err != nil {
			return err
		}
		if done {
			c.at = at
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("a thread of the process stays where its clock is to be diverted")
		}
	}
}

// divert writes the jump while the process is stopped, unless a thread is
// between the bytes that it replaces.
func (c *clock) divert(mem *os.File, entry int64, jump []byte) (done bool, err error) {
	if err := syscall.Kill(c.pid, syscall.SIGSTOP); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, syscall.Kill(c.pid, syscall.SIGCONT)) }()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", c.pid))
	if err != nil {
		return false, err
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		words := strings.Fields(string(b))
		if len(words) == 1 {
			return false, nil // it has not stopped yet
		}
		var pc int64
		if _, err := fmt.Sscanf(words[len(words)-1], "0x%x", &pc); err != nil {
			return false, fmt.Errorf("read where thread %s is: %w", task, err)
		}
		if pc > entry && pc < entry+int64(len(jump)) {
			return false, nil
		}
	}
	_, err = mem.WriteAt(jump, entry)
	return err == nil, err
}

// findClock finds clock_gettime in a process's vDSO, and room behind its code.
func findClock(pid int, mem *os.File) (entry, free int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	var low, high int64
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &low, &high); err != nil {
				return 0, 0, fmt.Errorf("read the place of the vDSO: %w", err)
			}
		}
	}
	if low == 0 {
		return 0, 0, os.ErrProcessDone
	}
	image := make([]byte, high-low)
	if _, err := mem.ReadAt(image, low); err != nil {
		return 0, 0, fmt.Errorf("read the vDSO: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, 0, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, 0, fmt.Errorf("read the vDSO's symbols: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			entry = low + int64(s.Value)
		}
	}
	used := int64(len(bytes.TrimRight(image, "\x00")))
	free = (used + 63) &^ 15
	if entry == 0 || free+32 > int64(len(image)) {
		return 0, 0, errors.New("the vDSO has no clock_gettime or no room")
	}
	return entry, low + free, nil
}
