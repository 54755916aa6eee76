// Command build compiles cmd/welcome without cgo and packs it as the image
// that package welcome embeds. `make build` runs it from the top of the tree:
//
//	go run ./packaging/welcome/build -o packaging/welcome/dist/welcome.tar
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/skerryhq/skerry/packaging/welcome"
)

const maxBinary = 6 << 20 // bytes

func main() {
	out := flag.String("o", "packaging/welcome/dist/welcome.tar", "file to write")
	arch := flag.String("arch", runtime.GOARCH, "architecture to build for")
	version := flag.String("version", "dev", "version written into the image's labels")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := build(ctx, *out, *arch, *version); err != nil {
		fmt.Fprintln(os.Stderr, "build welcome image:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, out, arch, version string) error {
	dir, err := os.MkdirTemp("", "welcome")
	if err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "welcome")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", bin, "github.com/skerryhq/skerry/cmd/welcome")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile cmd/welcome: %w", err)
	}
	binary, err := os.ReadFile(bin)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	if len(binary) > maxBinary {
		return fmt.Errorf("cmd/welcome has %d bytes, more than the %d it may have", len(binary), maxBinary)
	}
	var archive bytes.Buffer
	if err := welcome.Archive(&archive, binary, arch, version); err != nil {
		return err
	}
	if have, err := os.ReadFile(out); err == nil && bytes.Equal(have, archive.Bytes()) {
		return nil // unchanged: leave its time, so that nothing is built again
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", out, err)
	}
	if err := os.WriteFile(out, archive.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}
