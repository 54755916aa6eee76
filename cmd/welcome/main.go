// Command welcome is a tiny web server that says that its container runs, and
// where. It is packed as the image library/welcome that every cluster is born
// with, so a host without Internet has an app to run.
//
// It is built without cgo and needs nothing from its image. Environment: PORT
// (default 80), SKERRY_APP, SKERRY_SERVICE, SKERRY_SLOT (shown when set).
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	port := os.Getenv("PORT")
	if port == "" {
		port = "80"
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", port))
	if err != nil {
		fmt.Fprintln(os.Stderr, "welcome:", err)
		os.Exit(1)
	}
	if err := run(ctx, l, newPage(os.Hostname, addresses, os.Getenv, time.Now), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "welcome:", err)
		os.Exit(1)
	}
}

// run serves on l until ctx ends; requests in flight then have one second.
func run(ctx context.Context, l net.Listener, p *page, out interface{ Write([]byte) (int, error) }) error {
	srv := &http.Server{
		Handler:           logged(p.handler(), out, p.now),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	fmt.Fprintf(out, "%s welcome listens on %s\n", p.now().UTC().Format(time.RFC3339), l.Addr())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		_ = srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	fmt.Fprintf(out, "%s welcome ends\n", p.now().UTC().Format(time.RFC3339))
	return nil
}

// addresses lists the container's own IPv4 addresses, loopback left out.
func addresses() []string {
	var out []string
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			out = append(out, n.IP.String())
		}
	}
	return out
}
