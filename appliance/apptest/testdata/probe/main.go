// Program probe is what tests put into containers: servers that say who they
// are, and a writer that counts its lines. It is built by the tests.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	host, _ := os.Hostname()
	switch {
	case len(os.Args) == 3 && os.Args[1] == "tcp":
		l, err := net.Listen("tcp4", ":"+os.Args[2])
		check(err)
		for {
			c, err := l.Accept()
			check(err)
			go func() {
				from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "%s %s\n", host, from)
				c.Close()
			}()
		}
	case len(os.Args) == 3 && os.Args[1] == "udp":
		p, err := net.ListenPacket("udp4", ":"+os.Args[2])
		check(err)
		buf := make([]byte, 1500)
		for {
			_, from, err := p.ReadFrom(buf)
			check(err)
			_, err = p.WriteTo([]byte(host+"\n"), from)
			check(err)
		}
	case len(os.Args) == 2 && os.Args[1] == "lines":
		lines()
	default:
		fmt.Fprintln(os.Stderr, "probe tcp PORT | udp PORT | lines")
		os.Exit(2)
	}
}

// lines writes 1 MB/s of numbered lines until it is asked to end, and then how
// long the slowest write took.
func lines() {
	const size, each = 100, 100 // 100 lines of 100 bytes every 10 ms
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	var longest time.Duration
	n := 0
	tick := time.NewTicker(10 * time.Millisecond)
	for {
		var b bytes.Buffer
		for range each {
			fmt.Fprintf(&b, "%0*d\n", size-1, n)
			n++
		}
		begun := time.Now()
		_, err := os.Stdout.Write(b.Bytes())
		check(err)
		longest = max(longest, time.Since(begun))
		select {
		case <-stop:
			fmt.Fprintf(os.Stderr, "lines %d longest_ms %d\n", n, longest.Milliseconds())
			return
		case <-tick.C:
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
