package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// site is where one peer lives: a network namespace for its node and one for the
// clients, joined by a veth pair, so that a published port is reached from outside
// the host as a user reaches it.
type site struct {
	node, client string // namespaces
	addr         string // of the node, as clients see it
	jobs         chan func()
}

// newSite makes the namespaces. n tells the sites of one run apart.
func newSite(ctx context.Context, peer string, n int) (*site, error) {
	id := fmt.Sprintf("skb%d-%s", os.Getpid(), peer)
	s := &site{node: id + "-n", client: id + "-c", addr: fmt.Sprintf("198.18.%d.1", n), jobs: make(chan func())}
	veth := fmt.Sprintf("skb%d", n)
	for _, line := range []string{
		"netns add " + s.node,
		"netns add " + s.client,
		"link add " + veth + "n netns " + s.node + " type veth peer name " + veth + "c netns " + s.client,
		"-n " + s.node + " addr add " + s.addr + "/30 dev " + veth + "n",
		"-n " + s.client + " addr add " + fmt.Sprintf("198.18.%d.2", n) + "/30 dev " + veth + "c",
		"-n " + s.node + " link set lo up",
		"-n " + s.client + " link set lo up",
		"-n " + s.node + " link set " + veth + "n up",
		"-n " + s.client + " link set " + veth + "c up",
		"-n " + s.node + " route add default via " + fmt.Sprintf("198.18.%d.2", n),
	} {
		if err := execute(ctx, "ip", strings.Fields(line)...); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	for range 16 {
		go s.work()
	}
	return s, nil
}

// close removes the namespaces and what is left in them, and ends the workers.
func (s *site) close() error {
	close(s.jobs)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var errs []error
	for _, name := range []string{s.node, s.client} {
		if _, err := os.Stat("/run/netns/" + name); err == nil {
			errs = append(errs, execute(ctx, "ip", "netns", "del", name))
		}
	}
	return errors.Join(errs...)
}

// work runs jobs on a thread that stays in the client namespace. A goroutine
// inherits no namespace, so the thread is locked and dies with the worker.
func (s *site) work() {
	runtime.LockOSThread()
	err := enter(s.client)
	for job := range s.jobs {
		if err != nil {
			note("enter %s: %v", s.client, err)
		}
		job()
	}
}

// dial connects from the client namespace. A socket keeps the namespace in which
// it was made, so only its making needs the worker.
func (s *site) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	done := make(chan struct{})
	job := func() {
		defer close(done)
		conn, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, addr)
	}
	select {
	case s.jobs <- job:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	<-done
	return conn, err
}

// answered returns when an HTTP answer, whatever its status, comes from the port.
func (s *site) answered(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	transport := &http.Transport{DialContext: s.dial, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	url := fmt.Sprintf("http://%s:%d/", s.addr, port)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("port %d did not answer: %w", port, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// start begins cmd inside the node's namespace; a child process inherits it.
func (s *site) start(cmd *exec.Cmd) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := enter(s.node); err != nil {
			result <- err
			return
		}
		result <- cmd.Start()
	}()
	return <-result
}

func enter(name string) error {
	fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	return nil
}

// execute runs a program and returns its output only inside an error.
func execute(ctx context.Context, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
