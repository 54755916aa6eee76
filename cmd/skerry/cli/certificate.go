package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerryhq/skerry/appliance/api/client"
)

// certificateTexts are this file's part of the catalogue.
var certificateTexts = map[string]text{
	"certificate":           {"The certificate of console, API and registry.", "控制台、API 和镜像仓库的证书。"},
	"certificate.show":      {"Show the certificate that is served.", "显示正在使用的证书。"},
	"certificate.set":       {"Serve a certificate of your own on every node.", "在所有节点上使用自己的证书。"},
	"certificate.set.long":  {"It is served to whoever comes by a name that it covers; other names and addresses, and the\nnodes among each other, keep the certificates of the cluster's own authority.", "凡通过证书所含名称访问的客户端都会收到该证书；其他名称和地址以及节点之间仍使用集群自己的证书。"},
	"certificate.reset":     {"Go back to the certificates of the cluster's own authority.", "恢复使用集群自己签发的证书。"},
	"flag.cert":             {"file with the server's certificate and then its issuers', PEM", "证书文件：先是服务器证书，然后是签发者证书，PEM 格式"},
	"flag.key":              {"file with its private key, PEM", "私钥文件，PEM 格式"},
	"certificate.both":      {"give the certificate with --cert and its key with --key", "请用 --cert 指定证书，用 --key 指定私钥"},
	"certificate.done":      {"%s is served now, until %s.", "已开始使用 %s 的证书，有效期至 %s。"},
	"certificate.gone":      {"The cluster's own certificates are served again.", "已恢复使用集群自己的证书。"},
	"certificate.uploaded":  {"uploaded", "上传的证书"},
	"certificate.own":       {"the cluster's own authority", "集群自己的颁发机构"},
	"certificate.from":      {"FROM", "来源"},
	"certificate.names":     {"NAMES", "名称"},
	"certificate.subject":   {"SUBJECT", "主体"},
	"certificate.issuer":    {"ISSUER", "签发者"},
	"certificate.valid":     {"VALID", "有效期"},
	"certificate.print":     {"FINGERPRINT", "指纹"},
	"certificate.too-large": {"%s is larger than a certificate can be (64 KiB)", "%s 超过了证书的大小上限（64 KiB）"},
}

// maxPEM is the most that is read of a certificate's or key's file, in bytes.
const maxPEM = 64 << 10

func (a *app) certificateCommands() []*cobra.Command {
	show := a.Command("show", "certificate.show", func(cmd *cobra.Command, _ []string) error { return a.showCertificate(cmd.Context()) })
	show.Args = a.exactly(0)
	var cert, key string
	set := a.Command("set --cert FILE --key FILE", "certificate.set", func(cmd *cobra.Command, _ []string) error {
		if cert == "" || key == "" {
			return usagef("%s", a.say("certificate.both"))
		}
		return a.setCertificate(cmd.Context(), cert, key)
	})
	set.Args = a.exactly(0)
	set.Flags().StringVar(&cert, "cert", "", a.say("flag.cert"))
	set.Flags().StringVar(&key, "key", "", a.say("flag.key"))
	reset := a.Command("reset", "certificate.reset", func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		if err := done(c.DeleteCertificate(cmd.Context())); err != nil {
			return err
		}
		return a.one(map[string]bool{"uploaded": false}, a.say("certificate.gone"))
	})
	reset.Args = a.exactly(0)
	return []*cobra.Command{a.group("certificate", "certificate", show, set, reset, a.rotateCommand())}
}

// rotateCommand replaces the cluster's authority.
func (a *app) rotateCommand() *cobra.Command {
	c := a.Command("rotate-authority", "certificate.rotate", func(cmd *cobra.Command, _ []string) error { return a.rotate(cmd.Context()) })
	c.Args = a.exactly(0)
	a.detachFlag(c)
	return c
}

// rotate begins the replacement of the authority and waits until every node has
// followed.
func (a *app) rotate(ctx context.Context) error {
	const patience, look = 10 * time.Minute, 200 * time.Millisecond
	c, err := a.connect()
	if err != nil {
		return err
	}
	got, err := answer[client.Cluster](c.RotateAuthority(ctx))
	if err != nil {
		return err
	}
	if a.detach {
		return a.one(got, a.say("certificate.rotating"))
	}
	p := a.newProgress()
	defer p.end()
	for began := time.Now(); got.Rotation != ""; {
		p.step(client.Progress{ID: "authority", Step: string(got.Rotation)})
		if took := time.Since(began); took > patience {
			return errors.New(a.say("certificate.rotate.wait", took.Round(time.Second)))
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
		if got, err = answer[client.Cluster](c.GetCluster(ctx)); err != nil {
			return err
		}
	}
	p.end()
	return a.one(got, a.say("certificate.rotated", got.CaFingerprint))
}

func (a *app) showCertificate(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	got, err := answer[client.Certificate](c.GetCertificate(ctx))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(got)
	}
	from := a.say("certificate.own")
	if got.Uploaded {
		from = a.say("certificate.uploaded")
	}
	return a.details(
		a.say("certificate.from"), from,
		a.say("certificate.names"), strings.Join(got.Names, ", "),
		a.say("certificate.subject"), got.Subject,
		a.say("certificate.issuer"), got.Issuer,
		a.say("certificate.valid"), got.NotBefore.Local().Format(time.DateTime)+" - "+got.NotAfter.Local().Format(time.DateTime),
		a.say("certificate.print"), got.Fingerprint,
	)
}

func (a *app) setCertificate(ctx context.Context, cert, key string) error {
	var in client.CertificateInput
	for _, x := range []struct {
		file string
		to   *string
	}{{cert, &in.Certificate}, {key, &in.Key}} {
		b, err := readBounded(x.file, maxPEM)
		if err != nil {
			return err
		}
		if len(b) > maxPEM {
			return errors.New(a.say("certificate.too-large", x.file))
		}
		*x.to = string(b)
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	got, err := answer[client.Certificate](c.PutCertificate(ctx, in))
	if err != nil {
		return err
	}
	return a.one(got, a.say("certificate.done", strings.Join(got.Names, ", "), got.NotAfter.Local().Format(time.DateTime)))
}
