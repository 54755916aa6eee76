package noderuntime

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/image"
)

func TestImageErrorsAreSentences(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind model.Kind
		code string
		says string
	}{
		{image.ErrNotFound, model.KindNotFound, "image_not_found", "the image shop:1 is not on this node; pull or import it again"},
		{image.ErrDiskFull, model.KindExhausted, "disk_full", "shop:1"},
		{image.ErrRefused, model.KindInvalid, "image_refused", "shop:1"},
		{errors.New("a fault"), model.KindInternal, "", "a fault"},
	} {
		err := explainImage("shop:1", fmt.Errorf("image sha256:1: %w", c.err))
		if model.KindOf(err) != c.kind || model.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: kind %d, code %q, %q", c.err, model.KindOf(err), model.CodeOf(err), err)
		}
	}
	if err := explainImage("shop:1", nil); err != nil {
		t.Error(err)
	}
}

func TestCopyingIntoAFullDisk(t *testing.T) {
	w := newWorld(t)
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		r := w.runtime(nil, hull{copyIn: fmt.Errorf("copy into container c1: %w", errno)})
		err := r.WriteArchive(t.Context(), w.container(), "/", strings.NewReader(""))
		if model.KindOf(err) != model.KindExhausted || model.CodeOf(err) != "disk_full" {
			t.Errorf("%v gives %v", errno, err)
		} else if !strings.Contains(err.Error(), "shop-web-1") || !strings.Contains(err.Error(), "make room") {
			t.Errorf("%v is told as %q", errno, err)
		}
	}
}
