package appliance

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNotifyTellsTheServiceManagerOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	socket := notifySocket()
	if left, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Errorf("children would inherit NOTIFY_SOCKET=%s", left)
	}
	if err := notify(t.Context(), socket, "READY=1"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if err := ln.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := ln.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	if err := notify(t.Context(), "", "READY=1"); err != nil {
		t.Fatalf("without a service manager: %v", err)
	}
	if err := notify(t.Context(), path+".gone", "READY=1"); err == nil {
		t.Fatal("a socket that is not there must be an error")
	}
}
