package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// fakeCertificates accepts what says "good".
type fakeCertificates struct{}

func (fakeCertificates) Accept(chain, key []byte) (*model.ServerCertificate, error) {
	if string(chain) != "good" {
		return nil, model.Errorf(model.KindInvalid, "key_mismatch", "the key does not belong to the certificate").At("key")
	}
	return &model.ServerCertificate{Chain: chain, Key: model.Sealed("sealed " + string(key)), NotAfter: time.Now().Add(time.Hour), Names: []string{"cloud.example.com"}}, nil
}

func (fakeCertificates) Describe(c *model.ServerCertificate) (Certificate, error) {
	if c == nil {
		return Certificate{Names: []string{"own"}}, nil
	}
	return Certificate{Uploaded: true, Names: c.Names}, nil
}

func TestCertificate(t *testing.T) {
	r := newRig(t)
	r.server.cfg.Certificates = fakeCertificates{}
	show := func(want bool) {
		t.Helper()
		if got := into[Certificate](t, r.as(http.MethodGet, "/certificate", nil), http.StatusOK); got.Uploaded != want {
			t.Errorf("uploaded: %t, want %t", got.Uploaded, want)
		}
	}
	show(false)
	if a := r.as(http.MethodDelete, "/certificate", nil); a.status != http.StatusNotFound || a.problem(t).Code != "not_found" {
		t.Errorf("taking away what is not there: %d %s", a.status, a.body)
	}
	a := r.as(http.MethodPut, "/certificate", CertificateInput{Certificate: "bad", Key: "k"})
	if p := a.problem(t); a.status != http.StatusBadRequest || p.Code != "key_mismatch" || p.Field != "key" {
		t.Errorf("%+v", p)
	}
	show(false)
	if got := into[Certificate](t, r.as(http.MethodPut, "/certificate", CertificateInput{Certificate: "good", Key: "secret"}), http.StatusOK); !got.Uploaded {
		t.Errorf("the answer shows %+v", got)
	}
	show(true)
	if a := r.as(http.MethodDelete, "/certificate", nil); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
	show(false)
}
