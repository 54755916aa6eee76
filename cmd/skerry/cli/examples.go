package cli

import "strings"

// examples are command lines that work, by the command's key; help and
// docs/cli.md show them. A test parses every one.
var examples = map[string]string{
	"daemon":           "skerry daemon --san cloud.example.com --san 192.0.2.10\nskerry daemon --config ./node.yaml --log-level debug",
	"init":             "skerry init\nskerry init --admin-password-file ./password --pool 10.99.0.0/16 --vip-pool 10.98.0.0/16",
	"reset":            "skerry reset\nskerry reset --data",
	"join":             "skerry join SK1.m.t3kz1c.default.Yx0... 10.0.0.5:7443\nskerry join SK1.w.t3kz1c.default.Yx0... sea.example.com --worker --label disk=ssd\nskerry join --rejoin",
	"recover":          "skerry recover --dry-run\nskerry recover",
	"token.create":     "skerry token create\nskerry token create --role worker --ttl 2d --uses 5",
	"token.revoke":     "skerry token revoke k3v7q2xa",
	"node.drain":       "skerry node drain sea",
	"node.rm":          "skerry node rm sea\nskerry node rm --force sea",
	"node.label":       "skerry node label sea disk=ssd zone=a old-",
	"login":            "skerry login https://cloud.example.com:7443 -u ada --password-file ./password --ca-fingerprint sha256:9f2c...",
	"run":              "skerry run -d -n web -p 8080:80 library/welcome\nskerry run -it --rm alpine sh\nskerry run -d -n db -e POSTGRES_PASSWORD=secret -v data:/var/lib/postgresql/data --memory 512m --restart always postgres",
	"ps":               "skerry ps\nskerry ps -a --filter app=shop",
	"logs":             "skerry logs -f --tail 100 web\nskerry logs --since 10m shop",
	"exec":             "skerry exec -it web sh\nskerry exec web cat /etc/os-release",
	"cp":               "skerry cp ./site web:/srv\nskerry cp web:/var/log/app.log .",
	"commit":           "skerry commit web web:with-my-change",
	"app.deploy":       "skerry app deploy -f compose.yaml\nskerry app deploy -f compose.yaml --plan",
	"app.rollback":     "skerry app rollback shop",
	"service.scale":    "skerry service scale web=3",
	"service.update":   "skerry service update web --image web:2 -e MODE=fast",
	"image.import":     "docker save web:1 | skerry image import -\nskerry image import web.tar.zst",
	"image.export":     "skerry image export web:1 -o web.tar",
	"volume.create":    "skerry volume create notes",
	"user.create":      "skerry user create ada --member default=owner --password-file ./password",
	"user.grant":       "skerry user grant ada shop=developer",
	"api-token.create": "skerry api-token create ci --role developer --ttl 30d",
	"certificate.set":  "skerry certificate set --cert fullchain.pem --key privkey.pem",
	"upstream.create":  "skerry upstream create docker.io --user shop --password-file ./password\nskerry upstream create docker.io --endpoint https://mirror.corp:5000 --ca ca.pem\nskerry upstream create registry.corp:5000 -u bot --password-file - --for shop --proxy http://proxy.corp:3128",
	"upstream.set":     "skerry upstream set docker.io --disable",
	"event":            "skerry event --warnings",
	"completion":       "skerry completion bash >/etc/bash_completion.d/skerry",
}

// indent is how help shows examples.
func indent(s string) string {
	if s == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(s, "\n", "\n  ")
}
