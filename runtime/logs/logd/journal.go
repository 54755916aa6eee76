package logd

import (
	"fmt"
	"hash/crc32"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
)

// journalSize is one page.
const journalSize = 4096

const journalMagic = 0x736b6a31 // "skj1"

// Steps of a batch. Whatever step a crash finds, recovery knows what was done.
const (
	stepIdle    uint32 = 0 // nothing under way
	stepAppend  uint32 = 1 // the records may be in the file, wholly, partly or not at all; the pipe is untouched
	stepConsume uint32 = 2 // the records are in the file; the pipe's bytes may be taken or not
)

// page is the layout of the journal in shared memory. One batch of one container is under way at a time, so one
// record serves both streams. Fields besides step mean something only while step is not stepIdle, except those
// below "lasting".
type page struct {
	magic  uint32
	step   atomic.Uint32
	stream uint32
	crc    uint32 // of the raw bytes
	seq    uint64 // number of the file
	offset int64  // file's size before
	length int64  // bytes of records
	raw    int64  // bytes to take from the pipe
	want   byte   // last of the raw bytes
	mark   byte   // != want until the kernel has put the last raw byte here
	clears byte   // 1: the records begin with the marker for lost, which is 0 afterwards
	_      [5]byte

	// lasting
	lost   [3]int64 // by stream: raw bytes dropped and not yet told in the file
	closed uint32   // 1: stdin was closed for good
}

// journal is one container's intent record, a shared mapping of a file in the run dir: the kernel keeps what was
// stored there when the process is killed. It is guarded by its container's lock.
type journal struct {
	*page
	mem []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal maps the journal at path and makes it when it is missing.
func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	// Blocks are taken now: a store into a hole of a full disk would be a fault, which is the end of the process.
	if err := unix.Fallocate(int(f.Fd()), 0, 0, journalSize); err != nil {
		return nil, fmt.Errorf("reserve journal %s: %w", path, err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, journalSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map journal %s: %w", path, err)
	}
	j := &journal{page: (*page)(unsafe.Pointer(&mem[0])), mem: mem}
	if j.magic != journalMagic {
		clear(mem)
		j.magic = journalMagic
	}
	return j, nil
}

func (j *journal) close() error {
	if j.mem == nil {
		return nil
	}
	mem := j.mem
	j.mem, j.page = nil, nil
	return unix.Munmap(mem)
}

// begin notes a batch before anything is done with it.
func (j *journal) begin(stream logs.Stream, raw []byte, seq uint64, offset int64, length int, clears bool) {
	j.stream = uint32(stream)
	j.crc = crc32.Checksum(raw, castagnoli)
	j.seq, j.offset, j.length, j.raw = seq, offset, int64(length), int64(len(raw))
	j.want = raw[len(raw)-1]
	j.mark = ^j.want
	j.clears = 0
	if clears {
		j.clears = 1
	}
	j.step.Store(stepAppend)
}

// done ends the batch.
func (j *journal) done() {
	if j.clears == 1 {
		j.lost[j.stream] = 0
		j.clears = 0
	}
	j.step.Store(stepIdle)
}
