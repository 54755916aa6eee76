package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

const fileSuffix = ".log"

// FileName is the name of log file number seq in its container's folder.
func FileName(seq uint64) string { return fmt.Sprintf("%08d%s", seq, fileSuffix) }

// Sequence lists the numbers of the log files in dir, ascending. A missing dir has none.
func Sequence(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list log files: %w", err)
	}
	var seqs []uint64
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), fileSuffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(number, 10, 64); err == nil && FileName(n) == e.Name() {
			seqs = append(seqs, n)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}
