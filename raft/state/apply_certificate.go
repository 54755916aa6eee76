package state

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// certificateEvent is an event of the cluster's uploaded certificate.
func (t *tx) certificateEvent(c *model.Cluster, reason, message string, warning bool) {
	t.event(model.Event{Kind: "cluster", ObjectID: c.ID, Object: "certificate", Reason: reason, Message: message, Warning: warning})
}

func (t *tx) setCertificate(c *command.SetCertificate) *model.Error {
	old, ok := t.v.Cluster()
	if !ok {
		return notFound("cluster", "")
	}
	if c.Certificate == nil && old.Certificate == nil {
		return model.Errorf(model.KindNotFound, "not_found", "no certificate was uploaded: the nodes use those of the cluster's own authority already")
	}
	n := *old
	n.Version = t.index
	if n.Certificate = nil; c.Certificate != nil {
		with := *c.Certificate
		with.Names, with.Warned = slices.Clone(with.Names), 0
		n.Certificate = &with
	}
	t.replace(tabCluster, old, &n)
	if n.Certificate == nil {
		t.certificateEvent(&n, "CertificateReset", "the control plane uses the certificates of the cluster's own authority again", false)
		return nil
	}
	t.certificateEvent(&n, "CertificateSet", fmt.Sprintf("an uploaded certificate for %s is used for the control plane, until %s",
		strings.Join(n.Certificate.Names, ", "), n.Certificate.NotAfter.UTC().Format("2006-01-02")), false)
	return nil
}

func (t *tx) warnCertificate(c *command.WarnCertificate) *model.Error {
	old, ok := t.v.Cluster()
	if !ok || old.Certificate == nil {
		return model.Errorf(model.KindNotFound, "not_found", "no certificate was uploaded")
	}
	if told := old.Certificate.Warned; told == -1 || told != 0 && told <= c.Days {
		return model.Errorf(model.KindConflict, "already_warned", "the end of the certificate was told already")
	}
	n, with := *old, *old.Certificate
	with.Warned = c.Days
	n.Certificate, n.Version = &with, t.index
	t.replace(tabCluster, old, &n)
	names, end := strings.Join(with.Names, ", "), with.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	if c.Days < 0 {
		t.certificateEvent(&n, "CertificateExpired", fmt.Sprintf("the uploaded certificate for %s ended on %s; the cluster's own is used instead: upload its successor", names, end), true)
		return nil
	}
	left := fmt.Sprintf("%d days", c.Days)
	if c.Days == 1 {
		left = "a day"
	}
	t.certificateEvent(&n, "CertificateExpires", fmt.Sprintf("the uploaded certificate for %s ends on %s, in less than %s: upload its successor", names, end, left), true)
	return nil
}
