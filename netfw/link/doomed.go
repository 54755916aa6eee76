package link

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// removalGroup marks the interfaces of one removal. Any number that nobody else uses will do.
const removalGroup = 0x534b5259

// doomed collects interfaces to remove. The kernel waits some 25 ms for every removal, but only once for a whole
// group of interfaces, so what is asked for during one removal is removed together by the next.
type doomed struct {
	turn sync.Mutex // held by the caller that removes

	mu   sync.Mutex
	next *batch // collects while another is removed; guarded by mu
}

type batch struct {
	names []string
	done  chan struct{}
	err   error // set before done closes
}

// removeVeth deletes a pair by its host end, and returns when it is gone. One that is not there is no error.
func (l *Links) removeVeth(name string) error {
	_, err := l.host.LinkByName(name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	d := &l.doomed
	d.mu.Lock()
	b := d.next
	leads := b == nil
	if leads {
		b = &batch{done: make(chan struct{})}
		d.next = b
	}
	b.names = append(b.names, name)
	d.mu.Unlock()

	if leads {
		d.turn.Lock()
		d.mu.Lock()
		d.next = nil
		d.mu.Unlock()
		b.err = l.removeTogether(b.names)
		close(b.done)
		d.turn.Unlock()
	}
	<-b.done
	if b.err != nil {
		return fmt.Errorf("remove interface %s: %w", name, b.err)
	}
	return nil
}

func (l *Links) removeTogether(names []string) error {
	marked := 0
	for _, name := range names {
		link, err := l.host.LinkByName(name)
		if err == nil {
			err = l.host.LinkSetGroup(link, removalGroup)
		}
		_, missing := errors.AsType[netlink.LinkNotFoundError](err)
		switch {
		case missing || errors.Is(err, unix.ENODEV): // its namespace died in the meantime
		case err != nil:
			return fmt.Errorf("mark %s: %w", name, err)
		default:
			marked++
		}
	}
	if marked == 0 {
		return nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.Sockets = l.raw // the calling thread may be in a container's namespace
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(removalGroup)))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}
