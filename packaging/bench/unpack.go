package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
)

// unpacks measures how long an image of 200 MB that is in the store takes until
// containers can start from it: ours from the request for an app without replicas,
// after a push; a bare containerd's by its own client, as `ctr image` does it. Both
// get the same image, by turns.
func unpacks(ctx context.Context, o options, scratch string) (err error) {
	r, err := ourRegistry(ctx, o, scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	p, err := startEngine(ctx, o, scratch)
	if p != nil {
		defer func() { err = errors.Join(err, p.close()) }()
	}
	if err != nil {
		return err
	}
	bare := p.(*engine)
	api := socketClient(filepath.Join(r.dir, "run", "skerry.sock"))
	var ours, peer, ratio series
	for i := range o.registryRepeats {
		layout := filepath.Join(scratch, "unpack")
		if _, _, err := randomImage(layout, []int{100 << 20, 60 << 20, 40 << 20}); err != nil {
			return err
		}
		var took [2]float64
		steps := []func() (time.Duration, error){
			func() (time.Duration, error) { return r.unpack(ctx, api, layout, strconv.Itoa(i)) },
			func() (time.Duration, error) { return bare.unpack(ctx, layout) },
		}
		for k := range steps { // whoever comes second finds the image in the page cache
			who := (k + i) % 2
			d, err := steps[who]()
			if err != nil {
				return err
			}
			took[who] = d.Seconds()
		}
		ours.add(took[0])
		peer.add(took[1])
		ratio.add(took[0] / took[1])
		if err := os.RemoveAll(layout); err != nil {
			return err
		}
	}
	ours.print("unpack_ours", "s")
	peer.print("unpack_containerd", "s")
	fmt.Printf("unpack_ours_to_containerd=%.2f ratio [%.2f-%.2f]\n", ratio.median(), ratio.quantile(0), ratio.quantile(1))
	return nil
}

// unpack pushes an image and makes an app of it that runs nothing.
func (r *repository) unpack(ctx context.Context, api *http.Client, layout, i string) (time.Duration, error) {
	ref := "docker://" + r.site.addr + ":" + registryPort + "/" + r.name("unpack", i) + ":1"
	if err := r.site.asClient(ctx, "skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", r.creds[0], "oci:"+layout+":1", ref); err != nil {
		return 0, err
	}
	begin := time.Now()
	err := call(ctx, api, http.MethodPost, ourAPI+"/apps", map[string]any{
		"name": "unpack-" + i, "pull": "never",
		"services": map[string]any{"web": map[string]any{"replicas": 0, "container": map[string]any{"image": "unpack" + i + ":1", "restart": "no"}}},
	}, nil)
	return time.Since(begin), err
}

// unpack imports an image and unpacks it.
func (e *engine) unpack(ctx context.Context, layout string) (time.Duration, error) {
	tar := layout + ".tar"
	if out, err := exec.CommandContext(ctx, "tar", "-C", layout, "-cf", tar, ".").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("tar of the image: %w: %s", err, out)
	}
	f, err := os.Open(tar)
	if err != nil {
		return 0, err
	}
	imported, err := e.client.Import(ctx, f)
	if err := errors.Join(err, f.Close(), os.Remove(tar)); err != nil {
		return 0, fmt.Errorf("import into %s: %w", e.label, err)
	}
	begin := time.Now()
	err = client.NewImage(e.client, imported[0]).Unpack(ctx, "overlayfs")
	return time.Since(begin), err
}
