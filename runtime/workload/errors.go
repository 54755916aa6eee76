package workload

import (
	"errors"
	"fmt"
)

// Sentinel errors of the runtime. Test with errors.Is.
var (
	ErrNotFound    = errors.New("no such container on this host")
	ErrExists      = errors.New("a container with this ID already exists")
	ErrRunning     = errors.New("the container is running")
	ErrNotRunning  = errors.New("the container is not running")
	ErrNoImage     = errors.New("the image is not on this host")
	ErrInvalid     = errors.New("invalid")
	ErrUnavailable = errors.New("the engine does not answer")
	// ErrCommandNotFound and ErrNotExecutable are matched by *CommandError.
	ErrCommandNotFound = errors.New("command not found")
	ErrNotExecutable   = errors.New("command is not executable")
	ErrPathNotFound    = errors.New("no such file or directory in the container")
)

// CommandError says that the main process (or an exec) could not be started
// because of what it names.
type CommandError struct {
	Command string
	// Err is ErrCommandNotFound or ErrNotExecutable.
	Err error
}

func (e *CommandError) Error() string {
	if errors.Is(e.Err, ErrNotExecutable) {
		return fmt.Sprintf("%q in the image is not an executable file: choose another command or fix its mode", e.Command)
	}
	return fmt.Sprintf("%q was not found in the image or its $PATH: check the command", e.Command)
}

func (e *CommandError) Unwrap() error { return e.Err }

// ExitCode is 127 for a missing command and 126 for one that cannot be executed.
func (e *CommandError) ExitCode() int {
	if errors.Is(e.Err, ErrNotExecutable) {
		return ExitNotExecutable
	}
	return ExitCommandNotFound
}

// invalidf makes an error of class ErrInvalid with one clear sentence.
func invalidf(format string, args ...any) error {
	return &invalidError{text: fmt.Sprintf(format, args...)}
}

// Invalidf makes an error of class ErrInvalid whose text is one clear sentence.
func Invalidf(format string, args ...any) error { return invalidf(format, args...) }

type invalidError struct{ text string }

func (e *invalidError) Error() string        { return e.text }
func (e *invalidError) Is(target error) bool { return target == ErrInvalid }
